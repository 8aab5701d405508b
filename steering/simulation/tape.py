"""The frames of an episode while it is recorded, whoever acts in it: the expert, a person or a policy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from steering.simulation.scene import CONTROL_HZ
from steering.simulation.world import World
from steering.types import CAMERAS, PHASES, Episode

IMAGE_PX = 192
"""Side of the pictures that are recorded, and that a policy sees in the simulator: that of real datasets."""


class Tape:
    """The frames of one episode while it is recorded in `world`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._frames: dict[str, list[np.ndarray]] = {camera: [] for camera in CAMERAS}
        self._places: dict[str, list[np.ndarray]] = {thing.name: [] for thing in world.scene.things}
        self._states: list[np.ndarray] = []
        self._actions: list[np.ndarray] = []
        self._phases: list[int] = []

    def __len__(self) -> int:
        """Frames recorded so far."""
        return len(self._actions)

    def add(self, action: np.ndarray, phase: str | None = None, images: Mapping[str, np.ndarray] | None = None) -> None:
        """Record the world as it is with the command, float32 [7] in [-1, 1], that is about to be carried out.

        phase: one of PHASES, given at every frame or at none. images: camera -> uint8 [IMAGE_PX, IMAGE_PX, 3] of the
        world as it is, where it was drawn already; 12 ms otherwise.
        """
        for camera, frames in self._frames.items():
            frames.append(images[camera] if images else self._world.render(camera, IMAGE_PX))
        for name, place in self._places.items():
            place.append(self._world.thing_m(name))
        self._states.append(self._world.state())
        self._actions.append(action)
        if phase is not None:
            self._phases.append(PHASES.index(phase))

    def episode(self, name: str, seed: int, success: bool) -> Episode:
        """What was recorded; `phase` is None where none was given."""
        return Episode(
            name=name,
            instruction=self._world.scene.instruction,
            rate_hz=CONTROL_HZ,
            cameras={camera: np.stack(images) for camera, images in self._frames.items()},
            state=np.stack(self._states),
            action=np.stack(self._actions),
            phase=np.array(self._phases, dtype=np.int8) if self._phases else None,
            success=success,
            seed=seed,
            ground_truth={name: np.stack(place).astype(np.float32) for name, place in self._places.items()},
        )
