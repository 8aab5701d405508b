"""What columns are: by their names, their features, the layout, the mapping; and that keyframes go by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from steering.demonstrations.column_roles import role, words_of
from steering.demonstrations.dataset import Dataset, EpisodeSummary, Feature
from steering.demonstrations.guessing import guess
from steering.demonstrations.health import examine
from steering.demonstrations.importing import import_episodes
from steering.demonstrations.limits import LIMITS
from steering.demonstrations.mapping import corrected, parse
from steering.demonstrations.readers.registry import open_dataset
from steering.errors import InputError
from steering.relevance.keyframes import of_demonstrations
from steering.types import Robot

ARM = ("shoulder_pan.pos", "shoulder_lift.pos", "elbow_flex.pos", "wrist_flex.pos", "wrist_roll.pos", "gripper.pos")
TWO = tuple(f"{side}_{name}" for side in ("left", "right") for name in (*(f"joint_{i}" for i in range(7)), "gripper"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[("wrist_roll.pos", "joint"), ("left_forearm_roll", "joint"), ("kLeftShoulderPitch", "joint")],
        *[("roll", "pose"), ("axis_angle1", "pose"), ("robot0_eef_quat", "pose"), ("left_qw", "pose")],
        *[("robot0_gripper_qpos", "gripper"), ("rightGripper", "gripper"), ("left_finger_1", "gripper")],
        *[("x.vel", "other"), ("joint_velocity_3", "other"), ("observation.state", ""), ("motor_4", ""), ("7", "")],
    ],
)
def test_names_say_what_a_column_is(name: str, expected: str) -> None:
    assert role(words_of(name)) == expected


class _Numbers:
    """A source whose numbers are those given, for every episode."""

    def __init__(self, numbers: dict[str, np.ndarray]) -> None:
        self._numbers = numbers

    def numbers(self, episode: int, feature: str) -> np.ndarray:
        return self._numbers[feature]

    def images(self, episode: int, feature: str, frames: Sequence[int]) -> Iterator[np.ndarray]:
        yield from (np.zeros((4, 4, 3), np.uint8) for _ in frames)

    def close(self) -> None:
        pass


def described(numbers: dict[str, tuple[int, tuple[str, ...]]], cameras: Sequence[str], robot: str = "") -> Dataset:
    """A dataset of number features, each of a size and with names of its columns; the last action opens and closes."""
    features = {name: Feature(name, "image", (4, 4, 3), "video") for name in cameras}
    features |= {name: Feature(name, "number", (size,), "float32", names) for name, (size, names) in numbers.items()}
    values = {name: np.zeros((20, size)) for name, (size, _) in numbers.items()}
    for name in set(values) & {"action", "actions"}:
        values[name][:10, -1] = 1
    episodes = tuple(EpisodeSummary(f"e{i}", 20, "do it", 20.0) for i in range(3))
    return Dataset("set", "LeRobotDataset v3.0", features, episodes, _Numbers(values), LIMITS, robot)


def named(size: int, state: tuple[str, ...] = (), action: tuple[str, ...] = (), robot: str = "") -> Dataset:
    """A dataset of `size` states and actions, which calls its columns so."""
    return described({"observation.state": (size, state), "action": (size, action)}, ["observation.images.top"], robot)


def roles_of(found: Dataset, **changes: object) -> Robot:
    robot = found.robot_of(corrected(guess(found).mapping, changes))
    assert robot is not None
    return robot


def test_two_arms_of_seven_joints_have_two_grippers_by_name_and_by_size() -> None:
    for robot in (roles_of(named(16, TWO, TWO)), roles_of(named(16)), Robot()):
        assert robot.grippers(16) == (7, 15)
        assert robot.arm(16, 16) == ("joint", (*range(7), *range(8, 15)))


def test_grippers_are_where_their_names_say_not_last() -> None:
    names = ("left_gripper", "right_gripper", *(f"{side}_joint_{i}" for side in ("left", "right") for i in range(3)))
    robot = roles_of(named(8, names, names))
    assert robot.grippers(8) == (0, 1) and robot.arm(8, 8) == ("joint", tuple(range(2, 8)))
    assert robot.state_names == names


def test_six_columns_of_an_so_101_without_names_are_five_joints_and_a_gripper() -> None:
    for robot in (roles_of(named(6, ARM, ARM, robot="so101_follower")), roles_of(named(6, robot="so101_follower"))):
        assert robot.arm(6, 6) == ("joint", (0, 1, 2, 3, 4)) and robot.grippers(6) == (5,)
    assert robot.name == "so101_follower" and robot.turned == (0.0, 100.0)


@pytest.mark.parametrize(
    ("layout", "robot", "cameras", "numbers"),
    [
        ("LIBERO", "panda", ["image", "wrist_image"], {"state": 8, "actions": 7}),
        ("Bridge", "widowx", ["observation.images.image_0"], {"observation.state": 8, "action": 7}),
    ],
)
def test_states_of_poses_are_told_by_their_layout(
    layout: str, robot: str, cameras: list[str], numbers: dict[str, int]
) -> None:
    found = described({name: (size, ()) for name, size in numbers.items()}, cameras, robot)
    assert guess(found).mapping.layout == layout
    assert roles_of(found).arm(8, 7) == ("pose", tuple(range(6)))


def test_poses_and_joints_are_told_by_the_names_of_features(files: ModuleType, tmp_path: Path) -> None:
    kinds = {}
    for kind in ("libero", "robomimic", "droid"):
        with open_dataset(getattr(files, kind)(tmp_path / f"{kind}.hdf5")) as found:
            kinds[kind] = roles_of(found).arm(8, 7)
    assert kinds == {
        "libero": ("pose", tuple(range(6))),
        "robomimic": ("pose", tuple(range(7))),
        "droid": ("joint", tuple(range(7))),
    }


def test_a_mapping_that_names_arms_and_grippers_is_believed() -> None:
    found = named(10)
    robot = roles_of(found, grippers=[3, 9], arms=[0, 1, 2], arms_are="pose")
    assert robot.grippers(10) == (3, 9) and robot.arm(10, 10) == ("pose", (0, 1, 2))
    assert roles_of(found, grippers=[]).grippers(10) == ()
    with pytest.raises(InputError, match="grippers of the mapping should be columns 0 to 9"):
        roles_of(found, grippers=[10])
    for wrong in ({"grippers": [-1]}, {"arms": "all"}, {"arms_are": "legs"}):
        with pytest.raises(InputError, match="of the mapping should be"):
            parse({"cameras": {}, "state": [], "action": [], **wrong})
    assert parse(corrected(guess(found).mapping, {"grippers": [3], "arms": []}).document()).arms == ()


def test_every_gripper_is_turned_over_and_turned_back() -> None:
    found = named(16, TWO, TWO)
    recorded = found.numbers(0, "action")
    recorded[:10, 7] = 1  # both are open at first
    found = replace(found, source=_Numbers({"observation.state": recorded, "action": recorded}))
    mapping = guess(found).mapping
    assert mapping.gripper_range == (0.0, 1.0)
    episode, robot = found.episode(0, mapping), found.robot_of(mapping)
    np.testing.assert_array_equal(episode.action[:, [7, 15]], np.repeat([[0, 0], [1, 1]], 10, axis=0))
    assert robot is not None
    np.testing.assert_array_equal(robot.as_recorded(episode.action), recorded)


def test_an_import_keeps_names_and_roles_and_its_keyframes_go_by_them(files: ModuleType, tmp_path: Path) -> None:
    with open_dataset(files.libero(tmp_path / "set.hdf5")) as found:
        made = import_episodes(found, guess(found).mapping).demonstrations
    assert made.robot is not None and made.robot.state_names[:2] == ("ee_states_0", "ee_states_1")
    for episode, marked in zip(made.episodes, of_demonstrations(made), strict=True):
        still = np.linalg.norm(np.diff(episode.state[:, :6], axis=0), axis=1) < 0.05  # the release's rule for LIBERO
        flip = np.sign(episode.action[1:, 6]) != np.sign(episode.action[:-1, 6])
        expected = np.concatenate([[True], still | flip])
        expected[-1] = True
        np.testing.assert_array_equal(marked, expected)


def test_the_report_says_which_columns_keyframes_go_by() -> None:
    found = named(16, TWO, TWO)
    said = examine(found, guess(found)).reasons[-1]
    assert "left_joint_0" in said and "right_joint_6" in said and said.endswith("left_gripper, right_gripper.")
