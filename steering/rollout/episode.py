"""One running scene: stepped by action chunks, judged from the simulator's ground truth, filmed and traced if wished.

Loads no torch, so that simulation processes start in half a second. A control step costs 0.7 ms, an observation two
images (`steering.simulation.world`), a filmed step two more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steering.rollout.judging import Judge
from steering.rollout.tracing import Trace
from steering.rollout.video import write_video
from steering.simulation.scene import CONTROL_HZ, Goal, Scene
from steering.simulation.tape import IMAGE_PX, Tape
from steering.simulation.tasks import succeeded
from steering.simulation.world import World
from steering.types import CAMERAS
from steering.types import Episode as Recorded

VIDEO_PX = 288
_FRAMES_AFTER_SUCCESS = 10


@dataclass(frozen=True)
class Start:
    """A scene to run. named: the goal that a changed instruction names, if the scene has such a thing.

    film, trace: files to write, for recorded scenes. taped: every step is kept as an episode of demonstrations.
    """

    index: int
    scene: Scene
    step_limit: int
    named: Goal | None = None
    film: Path | None = None
    trace: Path | None = None
    taped: bool = False


@dataclass(frozen=True)
class Seen:
    """What the policy gets: cameras, name -> uint8 [height, width, 3]; state float32 [dim]."""

    cameras: dict[str, np.ndarray]
    state: np.ndarray
    instruction: str


@dataclass(frozen=True)
class SceneOutcome:
    """How one scene ended. steps: control steps until success, or the limit.

    failure: one of types.FAILURES, empty for a success. distance_m: what was left to the goal at the end, 0 for a
    success. wrong_object: whether the fingers touched a thing that the goal does not name. named_success: whether the
    goal that a changed instruction names was reached, None where there is none. recorded: the scene as it went, step by
    step, where its Start says `taped`; without name and seed, which it does not know.
    """

    success: bool
    steps: int
    failure: str = ""
    distance_m: float = 0.0
    wrong_object: bool = False
    named_success: bool | None = None
    recorded: Recorded | None = None


class Episode:
    """The scene of a Start, from its beginning to its outcome."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.world = World(start.scene)
        self.step = 0
        self._success_step: int | None = None
        self._judge = Judge(self.world)
        self._named_success = None if start.named is None else False
        self._trace = Trace(self.world) if start.trace is not None else None
        self._tape = Tape(self.world) if start.taped else None
        self._seen: dict[str, np.ndarray] = {}
        self._frames: list[np.ndarray] = []
        self._film_frame()

    @property
    def ended(self) -> bool:
        """Whether the goal is reached (and the film's last frames are shot) or the limit."""
        limit = self.start.step_limit
        if self._success_step is None:
            return self.step >= limit
        return self.start.film is None or self.step >= min(self._success_step + _FRAMES_AFTER_SUCCESS, limit)

    def see(self) -> Seen:
        """What the cameras and the arm's sensors say now."""
        self._seen = {camera: self.world.render(camera, IMAGE_PX) for camera in CAMERAS}
        return Seen(self._seen, self.world.state(), self.start.scene.instruction)

    def advance(self, chunk: np.ndarray, steps: int) -> None:
        """Run the first `steps` actions of a predicted `chunk` float32 [step, dim], or fewer if the scene ends."""
        if self._trace is not None:
            self._trace.predicted(self.step, chunk)
        for action in chunk[:steps]:
            if self.ended:
                return
            if self._tape is not None:
                images = self._seen or self.see().cameras
                self._tape.add(np.clip(action, -1, 1).astype(np.float32), images=images)
            self.world.step(action)
            self._seen = {}
            self.step += 1
            if self._success_step is None:
                self._judge.watch()
                if succeeded(self.world):
                    self._success_step = self.step
            if self._named_success is False:
                self._named_success = succeeded(self.world, self.start.named)
            if self._trace is not None:
                self._trace.moved()
            self._film_frame()

    def finish(self) -> SceneOutcome:
        """Write the recordings, free the scene and say how it went."""
        won = self._success_step is not None
        outcome = SceneOutcome(
            success=won,
            steps=self.start.step_limit if self._success_step is None else self._success_step,
            failure="" if won else self._judge.failure(),
            distance_m=0.0 if won else self._judge.distance_m(),
            wrong_object=self._judge.wrong_object,
            named_success=self._named_success,
            recorded=None if self._tape is None else self._tape.episode("", 0, won),
        )
        if self.start.film is not None:
            write_video(self.start.film, self._frames, CONTROL_HZ)
        if self._trace is not None and self.start.trace is not None:
            self._trace.write(self.start.trace)
        self.close()
        return outcome

    def close(self) -> None:
        """Free the renderers."""
        self.world.close()

    def _film_frame(self) -> None:
        if self.start.film is not None:
            self._frames.append(np.concatenate([self.world.render(c, VIDEO_PX) for c in CAMERAS], axis=1))
