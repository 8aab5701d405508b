"""The bench as lerobot evaluates it: its observations, its words for the task, and `make_env` as its EnvHub asks for.

A repository of the hub with `envhub/env.py` in it makes the bench an environment of `lerobot-eval`, one suite with the
six tasks; success is `info["is_success"]`. Importing this module loads no lerobot. A step costs what one of
`BenchEnvironment` does.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from steering.simulation.environment import environment_id
from steering.simulation.tasks import TASKS
from steering.types import CAMERAS

SUITE = "steering_bench"


class LerobotBench(gymnasium.ObservationWrapper):
    """One bench task with observations as lerobot reads them.

    Observation: `pixels`, camera -> uint8 [image_px, image_px, 3]; `agent_pos`, float32 [8]. task, task_description:
    its name and its instruction.
    """

    def __init__(self, task: str, **options: Any) -> None:
        """options: of `BenchEnvironment`."""
        super().__init__(gymnasium.make(environment_id(task), render_mode="rgb_array", **options))
        seen: Any = self.env.observation_space
        pixels = spaces.Dict({camera: seen[camera] for camera in CAMERAS})
        self.observation_space = spaces.Dict({"pixels": pixels, "agent_pos": seen["state"]})
        self.task, self.task_description = task, TASKS[task].instruction
        self._max_episode_steps = TASKS[task].step_limit

    def observation(self, observation: dict[str, np.ndarray]) -> dict[str, Any]:
        """The bench's observation in lerobot's form."""
        return {"pixels": {camera: observation[camera] for camera in CAMERAS}, "agent_pos": observation["state"]}


def make_env(n_envs: int = 1, use_async_envs: bool = False, cfg: Any = None) -> dict[str, dict[int, Any]]:
    """Suite -> number of the task -> so many environments side by side, as `lerobot.envs.make_env` expects it.

    cfg: lerobot's configuration of the environment, of which nothing is read.
    """
    kind = gymnasium.vector.AsyncVectorEnv if use_async_envs else gymnasium.vector.SyncVectorEnv
    mode = gymnasium.vector.AutoresetMode.NEXT_STEP
    return {
        SUITE: {
            number: kind([partial(LerobotBench, task)] * n_envs, autoreset_mode=mode)
            for number, task in enumerate(TASKS)
        }
    }
