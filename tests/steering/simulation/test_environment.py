"""The gymnasium environments: registered, checked, reproducible."""

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from steering.errors import InputError, NotFound
from steering.simulation.environment import BenchEnvironment, environment_id
from steering.simulation.experts import expert_action
from steering.simulation.tasks import TASKS, bench_scene
from steering.simulation.world import World

PLACE = "steering/PlaceCubeInBowl-v0"
Make = Callable[..., gymnasium.Env]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[gymnasium.Env] = []

    def one(name: str = PLACE, **settings: Any) -> gymnasium.Env:
        made.append(gymnasium.make(name, **{"image_px": 24, **settings}))
        return made[-1]

    yield one
    for environment in made:
        environment.close()


def test_every_task_is_registered_with_its_step_limit() -> None:
    assert environment_id("place_cube_in_bowl") == PLACE
    for task in TASKS.values():
        assert gymnasium.spec(environment_id(task.name)).max_episode_steps == task.step_limit


def test_gymnasium_finds_no_fault(make: Make) -> None:
    settings = {"segmentation": True, "render_mode": "rgb_array", "render_px": 32}
    check_env(make(variations=("distractors",), **settings).unwrapped)  # warnings are errors in these tests


def test_same_seed_and_actions_give_the_same_bytes(make: Make) -> None:
    def run(seed: int) -> bytes:
        environment = make(segmentation=True)
        environment.action_space.seed(1)
        observation, info = environment.reset(seed=seed)
        seen = b""
        for _ in range(12):
            seen += b"".join(observation[name].tobytes() for name in sorted(observation))
            seen += info["segmentation"]["wrist"].tobytes() + info["tool_m"].tobytes()
            observation, _, _, _, info = environment.step(environment.action_space.sample())
        return seen

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_the_scene_of_a_seed_is_that_of_the_bench(make: Make) -> None:
    observation, info = make(variations=("form",)).reset(seed=9)
    world = World(bench_scene("place_cube_in_bowl", 9, ("form",)))
    np.testing.assert_array_equal(observation["exterior"], world.render("exterior", 24))
    np.testing.assert_array_equal(observation["state"], world.state())
    np.testing.assert_array_equal(info["position_m"]["bowl"], world.thing_m("bowl"))
    assert info["instruction"] == "place the cube in the bowl" and info["seed"] == 9
    assert "segmentation" not in info


def test_without_a_seed_scenes_differ_and_follow_from_the_first(make: Make) -> None:
    environment = make()
    environment.reset(seed=3)
    drawn = [environment.reset()[1]["seed"] for _ in range(3)]
    environment.reset(seed=3)
    assert [environment.reset()[1]["seed"] for _ in range(3)] == drawn
    assert len(set(drawn)) == 3


def test_the_expert_is_rewarded_once_and_the_episode_ends(make: Make) -> None:
    environment = make()
    environment.reset(seed=0)
    rewards, terminated = [], False
    while not terminated:
        action, _ = expert_action(environment.unwrapped.world)
        observation, reward, terminated, truncated, info = environment.step(action)
        assert observation in environment.observation_space and not truncated
        assert info["success"] == info["is_success"] == terminated
        rewards.append(reward)
    assert rewards[-1] == 1.0 and sum(rewards) == 1.0


def test_without_success_the_step_limit_truncates(make: Make) -> None:
    environment = make("steering/PressButton-v0", image_px=8)
    environment.reset(seed=0)
    for _ in range(TASKS["press_button"].step_limit - 1):
        assert environment.step(np.zeros(7, np.float32))[1:4] == (0.0, False, False)
    assert environment.step(np.zeros(7, np.float32))[1:4] == (0.0, False, True)


def test_images_for_people_have_the_size_asked_for(make: Make) -> None:
    environment = make(render_mode="rgb_array", render_px=50, render_camera="wrist")
    environment.reset(seed=0)
    image = environment.render()
    assert image.shape == (50, 50, 3) and image.dtype == np.uint8 and image.std() > 5


def test_wrong_settings_are_refused_in_words() -> None:
    with pytest.raises(NotFound, match="Did you mean 'pick_cube'"):
        BenchEnvironment("pick_cub")
    with pytest.raises(NotFound, match="Did you mean 'form'"):
        BenchEnvironment("pick_cube", variations=("forms",))
    with pytest.raises(InputError, match="rgb_array"):
        BenchEnvironment("pick_cube", render_mode="human")
    with pytest.raises(InputError, match="reset"):
        BenchEnvironment("pick_cube").step(np.zeros(7))
