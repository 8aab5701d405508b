"""A bench scene driven by a person, command by command, and recorded as the expert's demonstrations are.

    drive = DrivenScene("pick_cube", driven_seed(0, 0))
    while not drive.ended:
        drive.step(command)  # float32 [7], see steering.simulation.world
    episode = drive.episode("episode_000")

Time runs by commands only, so a person may think between two of them. Standing still before the first motion is not
recorded; the episode ends FRAMES_AFTER_SUCCESS frames after success, as the expert's does, or at the step limit. Phases
are left unknown: `steering.relevance.phases` reads them off gripper and speed, as for recordings from outside. A step
costs that of World and of two images, about 12 ms; a frame holds 220 kB.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steering.demonstrations.recording import FRAMES_AFTER_SUCCESS
from steering.errors import InputError
from steering.simulation.robot import FINGER_OPEN_M
from steering.simulation.tape import IMAGE_PX, Tape
from steering.simulation.tasks import TASKS, bench_scene, succeeded
from steering.simulation.world import ACTION_DIM, World
from steering.types import CAMERAS, Episode

LIMIT_FACTOR = 4
"""Steps a person has, over those of a policy: up to 800, the most frames that the page's sprite sheets hold."""
SHORTEST_FRAMES = 10
"""Fewer are no demonstration, whatever they show."""
_STILL_PER_S = 0.03  # m/s and rad/s


class DrivenScene:
    """One try at the scene of `seed`. The same commands give the same bytes. Raises NotFound for unknown names."""

    def __init__(self, task: str, seed: int, variations: Sequence[str] = ()) -> None:
        self.scene = bench_scene(task, seed, variations)
        self.seed, self.limit = seed, LIMIT_FACTOR * TASKS[task].step_limit
        self.success = False
        self._world = World(self.scene)
        self._tape = Tape(self._world)
        self._after = 0
        self.gripper = -1.0 if self._world.opening_m() > FINGER_OPEN_M else 1.0
        """The gripper's last command: -1 open ... 1 closed."""
        self._seen: dict[str, np.ndarray] = {}

    @property
    def frames(self) -> int:
        """Frames recorded so far."""
        return len(self._tape)

    @property
    def ended(self) -> bool:
        """Whether no further step is taken: some frames after success, or at the limit."""
        return self._after > FRAMES_AFTER_SUCCESS or self.frames >= self.limit

    @property
    def opening(self) -> float:
        """How far the gripper is open, 0 to 1."""
        return float(self._world.state()[-1])

    @property
    def still(self) -> bool:
        """Whether nothing moves any more: arm, fingers and things."""
        return bool(np.abs(self._world.data.qvel).max() < _STILL_PER_S)

    @property
    def away(self) -> tuple[float, float]:
        """The horizontal direction in which the exterior camera looks: unit vector [x, y], base frame."""
        azimuth = np.deg2rad(self.scene.view.azimuth_deg)
        return -float(np.cos(azimuth)), -float(np.sin(azimuth))

    def step(self, action: np.ndarray) -> bool:
        """Carry out one command, 7 finite numbers, clipped to [-1, 1]; whether it was recorded.

        It is not after the end, nor before the first motion where it asks for none.
        """
        command = np.asarray(action, dtype=np.float32)
        if command.shape != (ACTION_DIM,) or not np.isfinite(command).all():
            raise InputError(
                f"Expected a command of {ACTION_DIM} finite numbers, got shape {command.shape} with "
                f"{int((~np.isfinite(command)).sum())} that are not finite. Send the command again."
            )
        command = np.clip(command, -1, 1)
        waits = self.frames == 0 and not command[:6].any() and command[6] == self.gripper
        if self.ended or waits:
            return False
        self._tape.add(command, images={camera: self.look(camera) for camera in CAMERAS})
        self._world.step(command)
        self._seen = {}
        self.gripper = float(command[6])
        self.success = self.success or bool(succeeded(self._world))
        self._after += self.success
        return True

    def finish(self) -> None:
        """After success, stand still until the end."""
        while self.success and not self.ended:
            self.step(np.array([0, 0, 0, 0, 0, 0, self.gripper], np.float32))

    def look(self, camera: str) -> np.ndarray:
        """The picture that is recorded of the present state, uint8 [IMAGE_PX, IMAGE_PX, 3]; drawn once, 6 ms."""
        if camera not in self._seen:
            self._seen[camera] = self._world.render(camera, IMAGE_PX)
        return self._seen[camera]

    def picture(self, camera: str, size_px: int) -> np.ndarray:
        """A picture for people, uint8 [size_px, size_px, 3]."""
        return self._world.render(camera, size_px)

    def episode(self, name: str) -> Episode:
        """What was recorded so far. Raises InputError for fewer than SHORTEST_FRAMES frames."""
        if self.frames < SHORTEST_FRAMES:
            raise InputError(
                f"Expected at least {SHORTEST_FRAMES} frames, got {self.frames}. Drive the arm first; holding a key "
                "moves it."
            )
        return self._tape.episode(name, self.seed, self.success)

    def close(self) -> None:
        """Free the renderers."""
        self._world.close()
