"""Bench scenes, variations, success tests, and that the scripted experts pass them."""

import numpy as np
import pytest

from steering.errors import NotFound
from steering.simulation.expert_table import VARIATION_SETS, steps_to_success
from steering.simulation.experts import expert_action
from steering.simulation.tasks import TASKS, UNSEEN_TASK, VARIATIONS, bench_scene, succeeded
from steering.simulation.world import World

NO_MOTION = np.array([0.0] * 6 + [-1.0])


@pytest.mark.parametrize("variations", VARIATION_SETS, ids=lambda v: "+".join(v) or "none")
@pytest.mark.parametrize("task", TASKS)
def test_the_expert_succeeds(task: str, variations: tuple[str, ...]) -> None:
    scene = bench_scene(task, 11 + len(variations) % 2, variations)
    steps = steps_to_success(scene, TASKS[task].step_limit, lambda action: action)
    assert steps is not None and steps >= 20


@pytest.mark.parametrize("task", TASKS)
def test_doing_nothing_fails(task: str) -> None:
    world = World(bench_scene(task, 5))
    for _ in range(TASKS[task].step_limit):
        assert not succeeded(world)
        world.step(NO_MOTION)
    assert not succeeded(world)


def test_placing_counts_only_once_the_hand_has_let_go() -> None:
    world = World(bench_scene("place_cube_in_bowl", 2))
    over_the_bowl_and_held = 0
    for _ in range(TASKS["place_cube_in_bowl"].step_limit):
        offset = (world.thing_m("cube") - world.thing_m("bowl"))[:2]
        if np.hypot(*offset) < 0.02 and all(world.touched_by("cube")):
            over_the_bowl_and_held += 1
            assert not succeeded(world)
        world.step(expert_action(world)[0])
        if succeeded(world):
            break
    assert over_the_bowl_and_held > 0
    assert succeeded(world)


def test_picking_counts_only_while_the_thing_is_held() -> None:
    world = World(bench_scene("pick_cube", 2))
    for _ in range(120):
        world.step(expert_action(world)[0])
    assert succeeded(world)
    for _ in range(25):
        world.step(NO_MOTION)  # opens: the cube falls
    assert not succeeded(world)


@pytest.mark.parametrize("seed", (0, 1, 2))
def test_the_marker_stands_in_the_mug_at_the_end(seed: int) -> None:
    world = World(bench_scene("place_marker_in_mug", seed))
    while not succeeded(world):
        world.step(expert_action(world)[0])
    for _ in range(40):
        world.step(NO_MOTION)
    marker, mug = world.scene.thing("marker"), world.scene.thing("mug")
    axis = world.thing_rotation("marker")[:, 2]
    low = world.thing_m("marker") - np.sign(axis[2]) * axis * marker.height_m / 2
    assert np.hypot(*(low - world.thing_m("mug"))[:2]) < mug.radius_m
    assert 0 < low[2] < 0.03, "its foot is on the mug's floor"
    assert abs(axis[2]) > np.cos(np.deg2rad(35)), "upright, leaning on the rim at most"
    assert world.thing_rotation("mug")[2, 2] > 0.99, "the mug still stands"
    assert succeeded(world)


@pytest.mark.parametrize("task", TASKS)
def test_variations_change_what_they_claim_and_nothing_else(task: str) -> None:
    for seed in range(20):
        plain = bench_scene(task, seed)
        main = len(plain.things)
        assert bench_scene(task, seed) == plain
        lighting = bench_scene(task, seed, ("lighting",))
        assert lighting.look != plain.look and lighting.look.table_rgb == plain.look.table_rgb
        assert (lighting.things, lighting.view, lighting.start_m) == (plain.things, plain.view, plain.start_m)
        distractors = bench_scene(task, seed, ("distractors",))
        assert distractors.things[:main] == plain.things and distractors.look == plain.look
        assert 2 <= len(distractors.things) - main <= 3
        form = bench_scene(task, seed, ("form",))
        assert form.look == plain.look
        for before, after in zip(plain.things, form.things, strict=True):
            assert (after.name, after.kind) == (before.name, before.kind)
            assert (after.colour, after.radius_m) != (before.colour, before.radius_m)
        everything = bench_scene(task, seed, VARIATIONS)
        assert everything == bench_scene(task, seed, VARIATIONS[::-1])
        assert everything.things[:main] == form.things
        assert {s.goal for s in (plain, lighting, form, distractors, everything)} == {plain.goal}
        assert {s.instruction for s in (plain, lighting, form, distractors, everything)} == {TASKS[task].instruction}


@pytest.mark.parametrize("task", TASKS)
def test_variations_leave_the_main_things_in_their_places(task: str) -> None:
    for seed in range(40):
        plain = bench_scene(task, seed)
        form = bench_scene(task, seed, ("form",))
        assert [thing.xy_m for thing in form.things] == [thing.xy_m for thing in plain.things]
        assert (form.view, form.start_m, form.start_turn_rad) == (plain.view, plain.start_m, plain.start_turn_rad)


@pytest.mark.parametrize("task", TASKS)
def test_things_stand_apart(task: str) -> None:
    for seed in range(20):
        things = bench_scene(task, seed, VARIATIONS).things
        for i, a in enumerate(things):
            for b in things[:i]:
                assert np.hypot(a.xy_m[0] - b.xy_m[0], a.xy_m[1] - b.xy_m[1]) > a.radius_m + b.radius_m


def test_the_unseen_task_is_a_task() -> None:
    assert TASKS[UNSEEN_TASK].instruction == "pick up the mug"


def test_unknown_names_suggest_the_closest() -> None:
    with pytest.raises(NotFound, match="Did you mean 'pick_cube'"):
        bench_scene("pick_cubes", 0)
    with pytest.raises(NotFound, match="Did you mean 'lighting'"):
        bench_scene("pick_cube", 0, ("lightning",))
