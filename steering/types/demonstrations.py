"""What a policy sees, and recorded episodes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape

import numpy as np

from steering.errors import InputError
from steering.types.robot import Robot
from steering.types.showing import MOST_CHARACTERS, Shown, brief, curves, picture, table

IMITATED = (
    "training would imitate them like the rest: compare heads on this set, and train on demonstrations that succeed."
)
"""What is to be known before a training on a policy's failures."""


def failures_words(failures: int, episodes: int) -> str:
    """How many of the `episodes` that a policy was recorded in are failures, without a full stop."""
    those = "is a failure" if failures == 1 else "are failures"
    return f"{failures} of its {episodes} episodes {those} of the policy that acted"


@dataclass(frozen=True, repr=False)
class Observation(Shown):
    """What a policy sees, batched.

    cameras: name -> uint8 [batch, height, width, 3], RGB. state: float32 [batch, dim] (STATE_NAMES; rad and
    opening in 0..1). instruction: one string per batch row.
    """

    cameras: Mapping[str, np.ndarray]
    state: np.ndarray
    instruction: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Episode(Shown):
    """One demonstration or recorded rollout.

    cameras: name -> uint8 [frame, height, width, 3], RGB. state: float32 [frame, dim] (STATE_NAMES).
    action: float32 [frame, dim] in [-1, 1] (ACTION_NAMES), the command given at that frame. absolute_actions: commands
    are positions to reach (joint targets of ALOHA, SO-101), not motions: repeating the last one keeps the arm still.
    phase: int8 [frame] index into PHASES, or None where unknown. success: None where unknown.
    seed: the simulator's seed, None for outside recordings.
    ground_truth: name -> float32 [frame, ...], simulator only (object positions in metres, base frame).
    instruction: of the first frame. Where it changes within the episode, instructions are the different ones and told,
    int16 [frame], says which of them a frame has; else () and None.
    """

    name: str
    instruction: str
    rate_hz: float
    cameras: Mapping[str, np.ndarray]
    state: np.ndarray
    action: np.ndarray
    phase: np.ndarray | None = None
    success: bool | None = None
    seed: int | None = None
    ground_truth: Mapping[str, np.ndarray] = field(default_factory=dict)
    absolute_actions: bool = False
    instructions: tuple[str, ...] = ()
    told: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.told is None:
            return
        fits = len(self.told) == len(self.state) and ((self.told >= 0) & (self.told < len(self.instructions))).all()
        if not fits:
            raise InputError(
                f"{self.name}: expected for each frame which of its {len(self.instructions)} instructions."
            )

    def instruction_at(self, frame: int) -> str:
        """The instruction of a frame."""
        return self.instruction if self.told is None else self.instructions[int(self.told[frame])]

    @property
    def all_instructions(self) -> tuple[str, ...]:
        """The different instructions of its frames, in the order in which they come."""
        if self.told is None:
            return (self.instruction,)
        return tuple(self.instructions[i] for i in dict.fromkeys(int(i) for i in self.told))

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.state)

    @property
    def pictures_px(self) -> dict[str, tuple[int, int]]:
        """Camera -> (height, width) of its pictures; cameras that are read when asked for are not read."""
        known: Mapping[str, tuple[int, ...]] | None = getattr(self.cameras, "shapes", None)
        shapes = known if known is not None else {name: images.shape for name, images in self.cameras.items()}
        return {name: (shape[1], shape[2]) for name, shape in shapes.items()}

    def first_picture(self, camera: str) -> np.ndarray:
        """uint8 [height, width, 3]: the first frame of a camera, read alone where cameras are read when asked for."""
        read: Callable[[str], np.ndarray] | None = getattr(self.cameras, "first", None)
        return self.cameras[camera][0] if read is None else read(camera)

    def pictures(self, camera: str) -> Iterable[np.ndarray]:
        """The frames of a camera in order, uint8 [height, width, 3], none of them kept where cameras are read when
        asked for.
        """
        read: Callable[[str], Iterable[np.ndarray]] | None = getattr(self.cameras, "each", None)
        return self.cameras[camera] if read is None else read(camera)

    @property
    def side_px(self) -> int:
        """Longest side of the cameras' pictures."""
        return max(side for size in self.pictures_px.values() for side in size)

    @property
    def words(self) -> str:
        """Length and outcome, e.g. `83 frames, 8.3 s, success`."""
        outcome = {True: ", success", False: ", failure", None: ""}[self.success]
        return f"{self.frames} frames, {self.frames / self.rate_hz:.1f} s{outcome}"

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {width}×{height}" for name, (height, width) in self.pictures_px.items())
        return f"Episode({brief(self.name)}, {brief(self.instruction)}, {self.words}, cameras: {sizes or 'none'})"

    def _repr_html_(self) -> str:
        """The first picture of every camera and the course of every action dimension."""
        pictures = "".join(picture(self.first_picture(camera), camera) for camera in self.pictures_px)
        names = Robot().names("action", self.action.shape[1])
        head = f"<b>{escape(self.name)}</b>: {escape(self.instruction[: 4 * MOST_CHARACTERS])} ({self.words})"
        return f"<div><div>{head}</div>{pictures}<div>{curves(self.action, names)}</div></div>"


@dataclass(frozen=True, repr=False)
class Demonstrations(Shown):
    """A set of episodes of one task. `task` and `variations` are simulator names, empty for outside recordings.

    robot: whose motions they are, None for our own recordings and where an older version kept nothing of it. policy:
    the name of the policy that acted in the simulator, empty for an expert, a person and recordings from outside.
    """

    name: str
    task: str
    variations: tuple[str, ...]
    episodes: tuple[Episode, ...]
    robot: Robot | None = None
    policy: str = ""

    @property
    def columns(self) -> Robot:
        """What the columns of state and action are: `robot`, or what goes by their number."""
        return self.robot or Robot()

    @property
    def imitated(self) -> str:
        """What training makes of a policy's failures among them, a sentence; empty where there are none."""
        failures = sum(one.success is False for one in self.episodes) if self.policy else 0
        return f"{failures_words(failures, len(self.episodes))}; {IMITATED}" if failures else ""

    def _repr_html_(self) -> str:
        """The episodes as a table."""
        rows = [(i, one.name, one.words, one.instruction[: 2 * MOST_CHARACTERS]) for i, one in enumerate(self.episodes)]
        caption = f"{self.name}: {len(self.episodes)} episodes"
        return table(("", "episode", "length", "instruction"), rows, caption)

    def split(self, heldout: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """Episode indices for training and held out. By default the last tenth, at least one of three or more.

        Raises InputError where that leaves none to train on.
        """
        count = len(self.episodes)
        if heldout is None:
            heldout = range(count - max(count // 10, 1), count) if count >= 3 else ()
        held = sorted(set(heldout))
        training = [e for e in range(count) if e not in held]
        if not training or any(not 0 <= e < count for e in held):
            raise InputError(
                f"Expected held-out episodes among 0 to {count - 1} that leave at least one to train on; got {held}."
            )
        return training, held

    def without(self, episodes: Sequence[int]) -> Demonstrations:
        """The demonstrations without these episodes."""
        return replace(self, episodes=tuple(e for i, e in enumerate(self.episodes) if i not in set(episodes)))

    def fingerprint(self) -> str:
        """SHA-256 (hex) over every camera, state, action and instruction byte, and what kind the actions are."""
        digest = hashlib.sha256()
        for episode in self.episodes:
            digest.update("\0".join((episode.instruction, *episode.instructions)).encode())
            digest.update(b"" if episode.told is None else np.ascontiguousarray(episode.told, np.int16).data)
            for camera in sorted(episode.cameras):
                digest.update(np.ascontiguousarray(episode.cameras[camera]).data)
            digest.update(np.ascontiguousarray(episode.state).data)
            digest.update(np.ascontiguousarray(episode.action).data)
            digest.update(b"absolute" if episode.absolute_actions else b"")
        return digest.hexdigest()
