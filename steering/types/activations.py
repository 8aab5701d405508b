"""What a policy computes on a frame: head outputs, attention weights, the effect of a gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from steering.errors import InputError
from steering.types.axes import STACKS, Head, HeadShape, Stack, stacks_of
from steering.types.robot import Robot
from steering.types.showing import Shown

_ABSENT = "absent"  # what older versions called the token of a stack that was not captured


@dataclass(frozen=True, repr=False)
class Activations(Shown):
    """Head outputs (the vector before the output projection) at one token per stack, for chosen frames.

    outputs: float32 [frame, stack, layer, head, dim]. episode, frame: int32 [frame], where each row came from.
    action: float32 [frame, dim], raw demonstrated action. chunk: float32 [frame, step, dim], the following
    actions (past the end the arm stays still: no motion, or the last position again). state: float32 [frame, dim].
    time_in_episode: float32 [frame], 0..1.
    tokens: of each stack, by name. timestep: flow-matching time of the capture (1 = pure noise).
    image: float32 [frame, dim], an embedding of the cameras' images (mean over patches), None where not captured.
    timesteps, samples: of an average over several times (`timestep` is the first) and draws of noise (those of `seed`,
    `seed` + 1, …).
    inert: bool [stack, layer, head], heads that cannot move an action; they are scored but never chosen. Cells that
    hold no head are inert too. stacks: those that were captured; unless named, a VLM and an expert with the same heads.
    Heads narrower than the widest are filled up with zeros, which changes neither cosine nor Euclidean distance.
    robot: whose actions and states they are, as of the demonstrations.
    """

    outputs: np.ndarray
    episode: np.ndarray
    frame: np.ndarray
    action: np.ndarray
    chunk: np.ndarray
    state: np.ndarray
    time_in_episode: np.ndarray
    tokens: tuple[str, ...]
    timestep: float
    seed: int
    inert: np.ndarray
    image: np.ndarray | None = None
    timesteps: tuple[float, ...] = ()
    samples: int = 1
    stacks: tuple[Stack, ...] = ()
    robot: Robot | None = None

    def __post_init__(self) -> None:
        if self.outputs.ndim != 5:
            raise InputError(f"Expected head outputs [frame, stack, layer, head, dim], got {self.outputs.shape}.")
        grid, dim = self.outputs.shape[1:4], self.outputs.shape[4]
        object.__setattr__(self, "stacks", stacks_of(self.stacks, grid, dim))
        if np.shape(self.inert) != grid:
            raise InputError(f"Expected a mask of inert heads of shape {grid}, got {np.shape(self.inert)}.")
        if not self.shape.present.all():
            object.__setattr__(self, "inert", self.inert | ~self.shape.present)

    @property
    def shape(self) -> HeadShape:
        """The heads whose outputs these are."""
        return HeadShape(self.stacks)

    @property
    def columns(self) -> Robot:
        """What the columns of state and action are: `robot`, or what goes by their number."""
        return self.robot or Robot()

    @classmethod
    def from_arrays(
        cls,
        outputs: np.ndarray | Mapping[str, np.ndarray],
        action: np.ndarray,
        episode: np.ndarray | Sequence[Any],
        *,
        frame: np.ndarray | None = None,
        state: np.ndarray | None = None,
        time: np.ndarray | None = None,
        inert: Mapping[str, np.ndarray] | np.ndarray | None = None,
        tokens: Mapping[str, str] | None = None,
        robot: Robot | None = None,
    ) -> Activations:
        """Activations of any model, from arrays that you have: what `steering.score` and every later stage take.

        outputs: float [row, layer, head, dim], or name of a stack -> such an array, of stacks with any layers and
        heads; a single array is the stack `model`. action: float [row, dim] or [row], what the heads are to predict.
        episode: [row], labels of any kind; a row is predicted from rows of other episodes alone. frame: int [row], the
        place of a row in its episode; by default the rows of an episode are in order. state: float [row, dim], what the
        robot felt; without it only the preset `paper` answers, the strict ones ask what heads know beyond it. time:
        float [row], 0..1 in the episode; by default frame / last frame. inert: bool [layer, head] (or by stack), heads
        that cannot move an action. tokens: stack -> where its outputs were read, in words. robot: what the columns of
        state and action are; by default no joints, poses or grippers, so that every column counts alike.

        Raises InputError where lengths differ, or a number is NaN or infinite.
        """
        given = dict(outputs) if isinstance(outputs, Mapping) else {"model": outputs}
        arrays = {name: np.asarray(one, np.float32) for name, one in given.items()}
        if not arrays or any(one.ndim != 4 for one in arrays.values()):
            shapes = ", ".join(f"{name} {list(one.shape)}" for name, one in arrays.items())
            raise InputError(f"Expected head outputs [row, layer, head, dim] of at least one stack, got {shapes}.")
        labels, numbers = np.unique(np.asarray(episode), return_inverse=True)
        rows = len(numbers)
        wanted = np.asarray(action, np.float32)
        parts = {"action": wanted[:, None] if wanted.ndim == 1 else wanted, **arrays}
        parts["state"] = np.zeros((rows, 0), np.float32) if state is None else np.asarray(state, np.float32)
        places = _places(numbers) if frame is None else np.asarray(frame)
        last = np.array([places[numbers == one].max() for one in range(len(labels))])[numbers]
        parts["time"] = np.asarray(places / np.maximum(last, 1) if time is None else time, np.float32)
        for name, one in {**parts, "frame": places}.items():
            if len(one) != rows or not np.isfinite(one).all():
                raise InputError(
                    f"Expected {rows} rows of finite numbers, as many as `episode` has labels; {name} has {len(one)}"
                    f"{'' if np.isfinite(one).all() else ', some of them NaN or infinite'}."
                )
        stacks = tuple(Stack(name, *one.shape[1:]) for name, one in arrays.items())
        shape = HeadShape(stacks)
        joined = np.zeros((rows, *shape.grid, shape.head_dim), np.float32)
        still = np.zeros(shape.grid, bool)
        of_stack = inert if isinstance(inert, Mapping) else {} if inert is None else {stacks[0].name: inert}
        for s, (stack, array) in enumerate(zip(stacks, arrays.values(), strict=True)):
            joined[:, s, : stack.layers, : stack.heads, : stack.head_dim] = array
            still[s, : stack.layers, : stack.heads] = of_stack.get(stack.name, False)
        return cls(
            outputs=joined,
            episode=numbers.astype(np.int32),
            frame=places.astype(np.int32),
            action=parts["action"],
            chunk=parts["action"][:, None],
            state=parts["state"],
            time_in_episode=parts["time"],
            tokens=tuple((tokens or {}).get(one.name, "given") for one in stacks),
            timestep=1.0,
            seed=0,
            inert=still,
            stacks=stacks,
            robot=robot or Robot(action_roles=("other",) * parts["action"].shape[1]),
        )

    @classmethod
    def completed(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The stored fields, with what an older version did not store: its policies' VLMs end in an inert layer."""
        if "inert" in fields or not {"outputs", "tokens"} <= set(fields):
            return dict(fields)
        outputs, tokens = fields["outputs"], fields["tokens"]
        if outputs.ndim != 5 or not outputs.shape[1] == len(tokens) == len(STACKS):
            return dict(fields)
        captured = [s for s, token in enumerate(tokens) if token != _ABSENT]
        pair = HeadShape.pair(*outputs.shape[2:])
        shape = HeadShape(tuple(pair.stacks[s] for s in captured))
        kept = {"outputs": outputs[:, captured], "tokens": tuple(tokens[s] for s in captured), "stacks": shape.stacks}
        return {**fields, **kept, "inert": shape.last_layer("vlm")}


def _places(numbers: np.ndarray) -> np.ndarray:
    """The place of every row among those of the same number, in order: int32 [row]."""
    places = np.empty(len(numbers), np.int32)
    for one in np.unique(numbers):
        mine = numbers == one
        places[mine] = np.arange(mine.sum())
    return places


@dataclass(frozen=True, repr=False)
class Attention(Shown):
    """Attention weights of every head of one episode, for display.

    image: uint8 [frame, stack, layer, head, camera, patch], 255 = the largest weight over patches of that frame
    and head, cameras in the episode's order. mass: float32 [frame, stack, layer, head, group], summing to 1 over
    TOKEN_GROUPS. grid: patches per side. bar: share of the black around a picture that is not square which the policy
    has on its left or above it, 0.5 where it is centred.
    """

    image: np.ndarray
    mass: np.ndarray
    grid: int
    bar: float = 0.5


@dataclass(frozen=True, repr=False)
class FrameAttention(Shown):
    """Attention weights of every head at one frame, from the query tokens `tokens` (of each stack) to every token.

    image: float32 [stack, layer, head, camera, patch], cameras in the episode's order. word: float32 [stack, layer,
    head, word], over `words` of the instruction in order. other: float32 [stack, layer, head], the rest of the prompt.
    state: float32 [stack, layer, head]. actions: float32 [stack, layer, head, step]. All of a head sum to 1; the VLM
    sees neither state nor actions. grid: patches per side.
    """

    tokens: tuple[str, ...]
    words: tuple[str, ...]
    grid: int
    image: np.ndarray
    word: np.ndarray
    other: np.ndarray
    state: np.ndarray
    actions: np.ndarray


@dataclass(frozen=True, repr=False)
class GainSweep(Shown):
    """What the policy would do at one frame with one head turned up, down or off.

    gains: factors on the head's output, ascending, 0 = switched off, 1 = the policy's own. chunk: float32 [gain, step,
    dim], the predicted actions. demonstrated: float32 [step, dim], to the episode's end. spread: float32 [dim],
    standard deviation of each action over the demonstrations. path_m: float32 [gain, step + 1, 3], base frame, where
    the chunk's translations would take the tool; path_px: camera -> float32 [gain, step + 1, 2], those places in its
    picture, fractions from the top left; both only for demonstrations whose scene can be set up again. `None` or empty
    otherwise.
    """

    head: Head
    episode: int
    frame: int
    gains: tuple[float, ...]
    chunk: np.ndarray
    demonstrated: np.ndarray
    spread: np.ndarray
    names: tuple[str, ...]
    path_m: np.ndarray | None = None
    path_px: Mapping[str, np.ndarray] = field(default_factory=dict)


TOKEN_GROUPS = ("exterior", "wrist", "instruction", "state", "actions")
