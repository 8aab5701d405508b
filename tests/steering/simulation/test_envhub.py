"""`envhub/env.py` gives the bench as lerobot's EnvHub asks for it; lerobot runs it in scripts/check_envhub.py."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steering.simulation.envhub import LerobotBench
from steering.simulation.experts import expert_action
from steering.simulation.tasks import TASKS
from steering.types import CAMERAS

ENV = Path(__file__).parents[3] / "envhub" / "env.py"


@pytest.fixture(scope="module")
def suites() -> Any:
    spec = importlib.util.spec_from_file_location("env", ENV)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.make_env(n_envs=2, use_async_envs=False)
    yield made
    for one in made["steering_bench"].values():
        one.close()


def test_every_task_has_its_environments_and_words(suites: Any) -> None:
    assert list(suites) == ["steering_bench"]
    tasks = suites["steering_bench"]
    assert [one.call("task")[0] for one in tasks.values()] == list(TASKS)
    for one in tasks.values():
        task = TASKS[one.call("task")[0]]
        assert one.num_envs == 2 and one.call("task_description") == (task.instruction,) * 2
        assert one.call("_max_episode_steps") == (task.step_limit,) * 2


def test_observations_are_lerobots(suites: Any) -> None:
    vector = suites["steering_bench"][0]
    seen, _ = vector.reset(seed=[3, 4])
    assert set(seen) == {"pixels", "agent_pos"} and list(seen["pixels"]) == list(CAMERAS)
    assert seen["pixels"]["wrist"].shape == (2, 192, 192, 3) and seen["pixels"]["wrist"].dtype == np.uint8
    assert seen["agent_pos"].shape == (2, 8) and vector.render()[0].ndim == 3
    assert not vector.step(np.zeros((2, 7), np.float32))[4]["is_success"].any()


def test_success_is_told_as_lerobot_counts_it() -> None:
    environment = LerobotBench("press_button", image_px=8)
    environment.reset(seed=0)
    ended = False
    while not ended:
        world: Any = environment.unwrapped
        *_, terminated, truncated, info = environment.step(expert_action(world.world)[0])
        ended = terminated or truncated
    assert info["is_success"] is True
    environment.close()
