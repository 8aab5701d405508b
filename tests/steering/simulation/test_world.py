"""The action contract, determinism, snapshots and labels of a running scene."""

from collections.abc import Iterator

import numpy as np
import pytest

from steering.simulation.experts import expert_action
from steering.simulation.robot import FINGER_OPEN_M, rotation_error_rad
from steering.simulation.tasks import VARIATIONS, bench_scene
from steering.simulation.world import STEP_M, TURN_RAD, World
from steering.types import CAMERAS


@pytest.fixture
def world() -> Iterator[World]:
    world = World(bench_scene("place_cube_in_bowl", 0))
    yield world
    world.close()


def act(world: World, steps: int, **dims: float) -> None:
    names = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
    action = np.array([dims.get(name, -1.0 if name == "gripper" else 0.0) for name in names])
    for _ in range(steps):
        world.step(action)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", (-1, 1))
def test_a_full_translation_moves_the_tool_by_the_step(world: World, axis: int, sign: int) -> None:
    direction = {"xyz"[axis]: float(sign)}
    act(world, 4, **direction)  # under way
    before = world.position_m()
    act(world, 5, **direction)
    moved = (world.position_m() - before) / 5
    assert moved[axis] * sign == pytest.approx(STEP_M, rel=0.1)
    assert np.abs(np.delete(moved, axis)).max() < 0.15 * STEP_M


@pytest.mark.parametrize("axis", range(3))
def test_a_full_rotation_turns_the_hand_about_the_axis_of_the_base(world: World, axis: int) -> None:
    before, place = world.rotation(), world.position_m()
    act(world, 4, **{("roll", "pitch", "yaw")[axis]: 1.0})
    act(world, 6)  # catch up
    turned = rotation_error_rad(world.rotation(), before)
    assert turned[axis] == pytest.approx(4 * TURN_RAD, rel=0.1)
    assert np.abs(np.delete(turned, axis)).max() < 0.05
    assert np.linalg.norm(world.position_m() - place) < 0.01


def test_actions_beyond_one_are_clipped() -> None:
    scene = bench_scene("pick_cube", 1)
    strong, full = World(scene), World(scene)
    act(strong, 3, x=7.0, gripper=5.0)
    act(full, 3, x=1.0, gripper=1.0)
    assert strong.state().tobytes() == full.state().tobytes()


def test_the_gripper_opens_and_closes(world: World) -> None:
    act(world, 15, gripper=1.0)
    assert world.opening_m() < 0.002
    assert world.state()[7] < 0.03
    act(world, 15, gripper=-1.0)
    assert world.opening_m() == pytest.approx(2 * FINGER_OPEN_M, abs=0.002)
    assert world.state()[7] > 0.97


def test_the_arm_holds_against_gravity(world: World) -> None:
    act(world, 2)
    before = world.position_m()
    act(world, 100)
    assert np.linalg.norm(world.position_m() - before) < 1e-3


def run(seed: int, steps: int) -> bytes:
    world = World(bench_scene("place_cube_in_bowl", seed, VARIATIONS))
    actions = np.random.default_rng(4).uniform(-1, 1, (steps, 7))
    seen = b""
    for action in actions:
        world.step(action)
        seen += world.state().tobytes() + world.thing_m("cube").tobytes()
    seen += b"".join(world.render(camera, 48).tobytes() for camera in CAMERAS)
    world.close()
    return seen


def test_same_seed_and_actions_give_the_same_bytes() -> None:
    assert run(3, 30) == run(3, 30)
    assert run(3, 30) != run(4, 30)


def test_restore_is_exact_to_the_bit(world: World) -> None:
    def onward() -> list[bytes]:
        seen = []
        for _ in range(25):  # through contact with the cube
            world.step(expert_action(world)[0])
            seen.append(world.state().tobytes() + world.thing_m("cube").tobytes())
        return [*seen, world.render("wrist", 48).tobytes()]

    for _ in range(30):
        world.step(expert_action(world)[0])
    snapshot = world.snapshot()
    first = onward()
    world.restore(snapshot)
    assert onward() == first


def test_segmentation_agrees_with_the_colours_in_the_image(world: World) -> None:
    names = [thing.name for thing in world.scene.things]
    for _ in range(2):  # before and after the hand has moved over
        image = world.render("exterior", 192).astype(int)
        labels = world.segmentation("exterior", 192)
        red = (image[..., 0] > 1.8 * image[..., 1]) & (image[..., 0] > 1.8 * image[..., 2]) & (image[..., 0] > 60)
        cube = labels == names.index("cube")
        assert cube.sum() > 40
        assert (red & cube).sum() / (red | cube).sum() > 0.8
        assert (labels == names.index("bowl")).sum() > 200
        assert (labels == -2).sum() > 500  # the robot
        for _ in range(25):
            world.step(expert_action(world)[0])


def test_images_have_any_size_and_do_not_disturb_each_other(world: World) -> None:
    small = world.render("exterior", 40)
    large = world.render("exterior", 720)  # more than the model's own offscreen buffer
    assert small.shape == (40, 40, 3) and large.shape == (720, 720, 3)
    assert world.render("exterior", 40).tobytes() == small.tobytes()
    reduced = large.reshape(40, 18, 40, 18, 3).mean((1, 3))
    assert np.abs(reduced - small).mean() < 8
