"""The bench as gymnasium environments, one for each task of tasks.TASKS; importing this module registers them.

    environment = gymnasium.make("steering/PlaceCubeInBowl-v0", variations=("lighting",), render_mode="rgb_array")

Without the import: `gymnasium.make("steering.simulation.environment:steering/PlaceCubeInBowl-v0")`.

The names are the tasks' in camel case. The action and the state are World's (see world.py for units). An episode ends
when the task succeeds, with reward 1, or is truncated at the task's step limit. The scene of a seed is that of
`bench_scene`; the same seed and actions give the same bytes. Cost of a step: that of World and of two images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from steering.errors import InputError, unknown_name
from steering.simulation.robot import JOINT_HIGH_RAD, JOINT_LOW_RAD
from steering.simulation.scene import CONTROL_HZ
from steering.simulation.tasks import TASKS, VARIATIONS, bench_scene, succeeded
from steering.simulation.world import ACTION_DIM, World
from steering.types import CAMERAS

_SEEDS = 1_000_000
"""Resets without a seed draw scenes below this; demonstrations are recorded from it on."""
_JOINT_SLACK_RAD = 0.1

BenchObservation = dict[str, Any]


class BenchEnvironment(gymnasium.Env[BenchObservation, np.ndarray]):
    """One bench task.

    Observation: `exterior` and `wrist`, uint8 [image_px, image_px, 3]; `state`, float32 [8].
    Action: float32 [7] in [-1, 1]. Reward: 1 when the task succeeds, which ends the episode, else 0.

    info: `instruction`; `seed` of the scene; `success`, also as `is_success`, which lerobot counts; `position_m` [3]
    and `rotation` [3, 3] of every thing by name, base frame; `tool_m` [3], the tool centre point; with
    `segmentation=True` also `segmentation`: camera -> int16 [image_px, image_px], index into `things` (names in order),
    -1 elsewhere, -2 the robot.

    `render()` gives uint8 [render_px, render_px, 3] of `render_camera`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": int(CONTROL_HZ)}

    def __init__(
        self,
        task: str,
        *,
        variations: Sequence[str] = (),
        image_px: int = 192,
        segmentation: bool = False,
        render_mode: str | None = None,
        render_px: int = 384,
        render_camera: str = "exterior",
    ) -> None:
        if task not in TASKS:
            raise unknown_name("task", task, TASKS)
        for variation in variations:
            if variation not in VARIATIONS:
                raise unknown_name("variation", variation, VARIATIONS)
        if render_camera not in CAMERAS:
            raise unknown_name("camera", render_camera, CAMERAS)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"Expected render_mode None or 'rgb_array', got {render_mode!r}. There is no window.")
        if image_px < 1 or render_px < 1:
            raise InputError(f"Expected image sizes of at least 1 pixel, got {image_px} and {render_px}.")
        self.task, self.variations = task, tuple(variations)
        self.image_px, self.segmentation = image_px, segmentation
        self.render_mode, self.render_px, self.render_camera = render_mode, render_px, render_camera
        image = spaces.Box(0, 255, (image_px, image_px, 3), np.uint8)
        low = np.append(JOINT_LOW_RAD - _JOINT_SLACK_RAD, 0.0).astype(np.float32)
        high = np.append(JOINT_HIGH_RAD + _JOINT_SLACK_RAD, 1.0).astype(np.float32)
        self.observation_space = spaces.Dict(
            {**{camera: image for camera in CAMERAS}, "state": spaces.Box(low, high, dtype=np.float32)}
        )
        self.action_space = spaces.Box(-1.0, 1.0, (ACTION_DIM,), np.float32)
        self._world: World | None = None
        self._seed = 0

    @property
    def world(self) -> World:
        """The running scene, e.g. for `expert_action`. Exists after `reset`."""
        if self._world is None:
            raise InputError("Expected a running scene, but the environment was not reset. Call reset() first.")
        return self._world

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[BenchObservation, dict[str, Any]]:
        """The start of the scene of `seed`; without a seed, of one drawn from the environment's generator."""
        super().reset(seed=seed)
        self._seed = int(self.np_random.integers(_SEEDS)) if seed is None else seed
        self.close()
        self._world = World(bench_scene(self.task, self._seed, self.variations))
        return self._observe(), self._info(success=succeeded(self._world))

    def step(self, action: np.ndarray) -> tuple[BenchObservation, float, bool, bool, dict[str, Any]]:
        """One control step; `action` is clipped to [-1, 1]."""
        world = self.world
        world.step(action)
        success = succeeded(world)
        return self._observe(), float(success), success, False, self._info(success=success)

    def render(self) -> np.ndarray | None:
        """An image for people, or None where the environment was made without a render mode."""
        if self.render_mode is None:
            return None
        return self.world.render(self.render_camera, self.render_px)

    def close(self) -> None:
        """Free the renderers."""
        if self._world is not None:
            self._world.close()
            self._world = None

    def _observe(self) -> BenchObservation:
        images = {camera: self.world.render(camera, self.image_px) for camera in CAMERAS}
        return {**images, "state": self.world.state()}

    def _info(self, *, success: bool) -> dict[str, Any]:
        world = self.world
        names = [thing.name for thing in world.scene.things]
        info: dict[str, Any] = {
            "instruction": world.scene.instruction,
            "seed": self._seed,
            "success": success,
            "is_success": success,
            "things": tuple(names),
            "position_m": {name: world.thing_m(name) for name in names},
            "rotation": {name: world.thing_rotation(name) for name in names},
            "tool_m": world.position_m(),
        }
        if self.segmentation:
            info["segmentation"] = {camera: world.segmentation(camera, self.image_px) for camera in CAMERAS}
        return info


def environment_id(task: str) -> str:
    """The gymnasium id of a task, e.g. `steering/PlaceCubeInBowl-v0`."""
    return f"steering/{task.title().replace('_', '')}-v0"


for _task in TASKS.values():
    gymnasium.register(
        environment_id(_task.name),
        entry_point="steering.simulation.environment:BenchEnvironment",
        max_episode_steps=_task.step_limit,
        kwargs={"task": _task.name},
    )
