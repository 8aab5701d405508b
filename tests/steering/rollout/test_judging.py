"""Kinds of failure and distances, from scripted arms that fail in known ways."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from steering.rollout.judging import Judge
from steering.simulation.experts import expert_action
from steering.simulation.tasks import LIFTED_M, bench_scene, succeeded
from steering.simulation.world import World
from steering.types import FAILURES

Arm = Callable[[World, int], np.ndarray]
OPEN_GRIPPER = np.array([0, 0, 0, 0, 0, 0, -1.0])


def run(task: str, arm: Arm, steps: int, seed: int = 3, variations: tuple[str, ...] = ()) -> tuple[Judge, World]:
    world = World(bench_scene(task, seed, variations))
    judge = Judge(world)
    for step in range(steps):
        world.step(arm(world, step))
        judge.watch()
    return judge, world


def stand(world: World, step: int) -> np.ndarray:
    return OPEN_GRIPPER


def expert(world: World, step: int) -> np.ndarray:
    return expert_action(world)[0]


def expert_until(ready: Callable[[World], bool], then: np.ndarray) -> Arm:
    """The expert until something is so, from then on one action."""
    done = []

    def arm(world: World, step: int) -> np.ndarray:
        if done or ready(world):
            done.append(True)
            return then
        return expert_action(world)[0]

    return arm


def height_m(world: World, name: str) -> float:
    return float(world.thing_m(name)[2] - world.scene.thing(name).rest_z_m)


def bench_gap_m(seed: int) -> float:
    cube, bowl = bench_scene("place_cube_in_bowl", seed).things
    return float(np.hypot(cube.xy_m[0] - bowl.xy_m[0], cube.xy_m[1] - bowl.xy_m[1]))


@pytest.mark.parametrize("task", ["pick_cube", "place_cube_in_bowl", "push_cup_to_bowl", "press_button"])
def test_an_arm_that_stands_never_reached(task: str) -> None:
    judge, world = run(task, stand, 10)
    assert judge.failure() == "never_reached" and not judge.wrong_object
    assert judge.distance_m() > 0.03


def test_the_distance_of_a_standing_arm_is_geometry() -> None:
    judge, world = run("place_cube_in_bowl", stand, 5)
    cube, bowl = world.thing_m("cube"), world.thing_m("bowl")
    gap = np.hypot(*(cube - bowl)[:2]) - world.scene.thing("bowl").radius_m
    assert judge.distance_m() == pytest.approx(gap, abs=1e-6)
    judge, world = run("press_button", stand, 5)
    cap = world.data.body("button_cap").xpos + np.array([0, 0, 0.008])
    assert judge.distance_m() == pytest.approx(np.linalg.norm(world.position_m() - cap), abs=0.006)


def test_a_cube_let_go_in_the_air_is_dropped() -> None:
    seed = next(s for s in range(50) if bench_gap_m(s) > 0.2)
    early = expert_until(lambda w: height_m(w, "cube") > 0.05, OPEN_GRIPPER)
    judge, world = run("place_cube_in_bowl", early, 110, seed)
    assert judge.failure() == "dropped" and not succeeded(world)
    judge, world = run("pick_cube", expert_until(lambda w: height_m(w, "cube") > 0.04, OPEN_GRIPPER), 100)
    assert judge.failure() == "dropped"
    assert judge.distance_m() > LIFTED_M - 0.01, "it must be lifted again"


def test_a_cube_held_too_low_ran_out_of_time_near_success() -> None:
    hold = -OPEN_GRIPPER
    judge, world = run("pick_cube", expert_until(lambda w: height_m(w, "cube") > 0.05, hold), 100)
    assert not succeeded(world) and judge.failure() == "near_success"
    assert 0 < judge.distance_m() < 0.03
    assert judge.distance_m() == pytest.approx(LIFTED_M - height_m(world, "cube"))


def test_a_cube_carried_but_far_from_the_bowl_ran_out_of_time() -> None:
    hold = -OPEN_GRIPPER
    judge, world = run("place_cube_in_bowl", expert_until(lambda w: height_m(w, "cube") > 0.06, hold), 100)
    assert judge.failure() == "timed_out" and judge.distance_m() > 0.03


def test_an_arm_that_reaches_but_does_not_close_has_not_grasped() -> None:
    def reach(world: World, step: int) -> np.ndarray:
        return np.append(expert_action(world)[0][:6], -1.0)

    judge, _ = run("pick_cube", reach, 90)
    assert judge.failure() == "reached_not_grasped"


def test_a_cup_pushed_some_way_misses_the_target_or_is_near() -> None:
    def moved(by_m: float) -> Callable[[World], bool]:
        start: dict[int, np.ndarray] = {}

        def ready(world: World) -> bool:
            first = start.setdefault(id(world), world.thing_m("cup"))
            return bool(np.hypot(*(world.thing_m("cup") - first)[:2]) > by_m)

        return ready

    still = -OPEN_GRIPPER
    judge, world = run("push_cup_to_bowl", expert_until(moved(0.03), still), 160)
    expected = "near_success" if judge.distance_m() < 0.03 else "missed_target"
    assert judge.failure() == expected and not succeeded(world)
    assert judge.distance_m() > 0


def test_a_button_half_pressed_is_near_and_a_table_pressed_is_missed() -> None:
    def beside(world: World, step: int) -> np.ndarray:
        goal = world.thing_m("button") + np.array([0.035, 0.0, 0.02])
        return np.append(np.clip((goal - world.position_m()) / 0.012, -1, 1), [0, 0, 0, 1.0])

    judge, _ = run("press_button", beside, 80)
    assert judge.failure() in ("missed_target", "near_success")
    judge, _ = run("press_button", expert_until(lambda w: w.pressed_m("button") > 0.002, -OPEN_GRIPPER), 80)
    assert judge.failure() == "near_success"


def test_another_thing_touched_is_told() -> None:
    def towards_another(world: World, step: int) -> np.ndarray:
        goal = world.thing_m(world.scene.things[1].name) + np.array([0, 0, 0.005])
        return np.append(np.clip((goal - world.position_m()) / 0.012, -1, 1), [0, 0, 0, 1.0])

    judge, world = run("pick_cube", towards_another, 90, variations=("distractors",))
    assert world.scene.things[1].name.startswith("distractor")
    assert judge.wrong_object and judge.failure() in ("wrong_object", "reached_not_grasped")


def test_the_expert_leaves_nothing_and_touches_nothing_else() -> None:
    world = World(bench_scene("place_cube_in_bowl", 3, ("distractors",)))
    judge = Judge(world)
    while not succeeded(world):
        world.step(expert_action(world)[0])
        judge.watch()
    assert judge.distance_m() < 0.02 and not judge.wrong_object


def test_every_kind_has_a_label() -> None:
    assert all(kind == kind.lower() and label for kind, label in FAILURES.items())
