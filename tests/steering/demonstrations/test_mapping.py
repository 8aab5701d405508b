"""Mappings: guessed with reasons, known layouts recognised, corrected, written, remembered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from steering.demonstrations.dataset import Dataset, EpisodeSummary, Feature
from steering.demonstrations.guessing import guess
from steering.demonstrations.limits import LIMITS
from steering.demonstrations.mapping import Camera, Columns, Mapping, corrected, parse, read, remember, write
from steering.demonstrations.readers.registry import open_dataset
from steering.errors import InputError

FRAMES = 20


class Zeros:
    """A source whose numbers are zero, but for a gripper that closes half way."""

    def __init__(self, features: dict[str, Feature], gripper: tuple[float, float]) -> None:
        self._features, self._gripper = features, gripper

    def numbers(self, episode: int, feature: str) -> np.ndarray:
        values = np.zeros((FRAMES, *self._features[feature].shape))
        if "action" in feature:
            values[..., -1].T[:] = np.where(np.arange(FRAMES) < FRAMES // 2, *self._gripper)
        return values

    def images(self, episode: int, feature: str, frames: Sequence[int]) -> Iterator[np.ndarray]:
        yield from (np.zeros((4, 4, 3), np.uint8) for _ in frames)

    def close(self) -> None:
        pass


def dataset(
    cameras: Sequence[str],
    numbers: dict[str, int],
    *,
    robot: str = "",
    rate_hz: float | None = 20.0,
    gripper: tuple[float, float] = (-1.0, 1.0),
    kind: str = "LeRobotDataset v3.0",
) -> Dataset:
    features = {name: Feature(name, "image", (4, 4, 3), "video") for name in cameras}
    features |= {name: Feature(name, "number", (size,), "float32") for name, size in numbers.items()}
    episodes = tuple(EpisodeSummary(f"e{i}", FRAMES, "do it", rate_hz) for i in range(3))
    return Dataset("set", kind, features, episodes, Zeros(features, gripper), LIMITS, robot)


LAYOUTS = {
    "DROID": (
        ["exterior_image_1_left", "exterior_image_2_left", "wrist_image_left"],
        {"joint_position": 7, "gripper_position": 1, "actions": 8},
        "panda",
        {"exterior": "exterior_image_1_left", "wrist": "wrist_image_left"},
    ),
    "LIBERO": (
        ["image", "wrist_image"],
        {"state": 8, "actions": 7},
        "panda",
        {"exterior": "image", "wrist": "wrist_image"},
    ),
    "ALOHA": (
        ["observation.images.cam_high", "observation.images.cam_left_wrist", "observation.images.cam_right_wrist"],
        {"observation.state": 14, "action": 14},
        "aloha",
        {"exterior": "cam_high", "wrist": "cam_left_wrist", "right_wrist": "cam_right_wrist"},
    ),
    "SO-101": (
        ["observation.images.wrist", "observation.images.front"],
        {"observation.state": 6, "action": 6},
        "so101_follower",
        {"exterior": "front", "wrist": "observation.images.wrist"},
    ),
    "Bridge": (
        [f"observation.images.image_{i}" for i in range(4)],
        {"observation.state": 8, "action": 7},
        "widowx",
        {"exterior": "image_0", "wrist": "image_3"},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_known_layouts_are_recognised(name: str) -> None:
    cameras, numbers, robot, roles = LAYOUTS[name]
    found = guess(dataset(cameras, numbers, robot=robot))
    assert found.mapping.layout == name
    assert {role: camera.feature for role, camera in found.mapping.cameras.items()}.keys() == roles.keys()
    assert all(found.mapping.cameras[role].feature.endswith(feature) for role, feature in roles.items())
    assert found.reasons[0].startswith(f"Recognised as {name} by its names")


def test_the_same_names_of_another_robot_are_no_so_101() -> None:
    cameras, numbers, _, _ = LAYOUTS["SO-101"]
    assert guess(dataset(cameras, numbers, robot="panda")).mapping.layout == ""


def test_libero_s_pictures_are_turned_and_put_right(files: ModuleType, tmp_path: Path) -> None:
    with open_dataset(files.libero(tmp_path / "set.hdf5")) as opened:
        found = guess(opened)
    assert all(camera.rotate == 180 for camera in found.mapping.cameras.values())
    assert any("upside down" in reason for reason in found.reasons)


def test_unknown_names_are_taken_by_their_words_and_sizes() -> None:
    found = guess(dataset(["cam_b", "my_gripper_view"], {"proprio": 9, "my_actions": 5, "reward": 1}))
    assert found.mapping.cameras == {"exterior": Camera("cam_b"), "wrist": Camera("my_gripper_view")}
    assert found.mapping.state == (Columns("proprio"),) and found.mapping.action == (Columns("my_actions"),)
    assert any("because its name has 'gripper'" in reason for reason in found.reasons)
    assert any("is the first that is not at the wrist" in reason for reason in found.reasons)


@pytest.mark.parametrize(("gripper", "turned"), (((-1.0, 1.0), None), ((1.0, 0.0), (0.0, 1.0)), ((0.0, 1.0), None)))
def test_the_gripper_s_direction_is_judged_from_how_episodes_begin(
    gripper: tuple[float, float], turned: tuple[float, float] | None
) -> None:
    opened = dataset(["top"], {"state": 7, "action": 7}, gripper=gripper)
    found = guess(opened)
    assert found.mapping.gripper_range == turned
    action = opened.episode(0, found.mapping).action[:, -1]
    assert action[0] < action[-1], "larger closes"


def test_a_missing_rate_is_assumed_and_said() -> None:
    found = guess(dataset(["top"], {"state": 7, "action": 7}, rate_hz=None))
    assert found.mapping.rate_hz == 10.0
    assert any("does not say its rate" in reason for reason in found.reasons)


def test_what_is_missing_stays_empty() -> None:
    found = guess(dataset([], {"reward": 1}))
    assert (found.mapping.cameras, found.mapping.state, found.mapping.action) == ({}, (), ())


def test_a_mapping_is_remembered_for_the_same_layout_only(tmp_path: Path) -> None:
    opened = dataset(["a", "b"], {"state": 7, "action": 7})
    chosen = replace(guess(opened).mapping, cameras={"exterior": Camera("b", rotate=90)}, instruction="only here")
    remember(tmp_path, opened.signature(), chosen)
    again = guess(dataset(["a", "b"], {"state": 7, "action": 7}), tmp_path)
    assert again.mapping == replace(chosen, instruction=None)
    assert again.reasons == ("As you mapped a dataset of the same layout before.",)
    other = guess(dataset(["a", "b"], {"state": 8, "action": 7}), tmp_path)
    assert other.mapping.cameras["exterior"].feature == "a"


def test_a_mapping_goes_through_its_file(tmp_path: Path) -> None:
    mapping = Mapping(
        {"exterior": Camera("x", 90, True, True)},
        (Columns("s", (3, 1)), Columns("t")),
        (Columns("a"),),
        gripper_range=(0.0, 1.0),
        instruction="do",
        rate_hz=12.5,
        layout="DROID",
    )
    write(tmp_path / "m.json", mapping)
    assert read(tmp_path / "m.json") == mapping
    assert corrected(mapping, {"instruction": "other"}) == replace(mapping, instruction="other")


@pytest.mark.parametrize(
    ("document", "words"),
    (
        ([], "a JSON object"),
        ({"camera": {}}, "there is no 'camera'"),
        ({"cameras": {"wrist": {"feature": "x", "rotate": 45}}}, "rotate is one of"),
        ({"cameras": {"wrist": 3}}, "needs a feature"),
        ({"state": [{"feature": "x", "indices": ["a"]}]}, "whole numbers"),
        ({"gripper_range": [1, 0]}, "the lower first"),
        ({"rate_hz": -1}, "frames a second"),
        ({"instruction": 5}, "should be text"),
    ),
)
def test_a_wrong_mapping_says_which_field(document: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse(document)


def test_cameras_are_turned_clockwise_mirrored_and_swapped(files: ModuleType, tmp_path: Path) -> None:
    image = files.episodes(1)[0].cameras["wrist"][0]
    with open_dataset(files.npz(tmp_path / "set.npz", files.episodes(1))) as opened:
        base = guess(opened).mapping
        turned = {90: np.rot90(image, -1), 180: image[::-1, ::-1], 270: np.rot90(image)}
        for rotate, expected in turned.items():
            mapping = replace(base, cameras={"wrist": Camera("image.wrist", rotate)})
            shown = opened.episode(0, mapping, frames=[0]).cameras["wrist"][0]
            np.testing.assert_array_equal(shown, expected)
        mapping = replace(base, cameras={"wrist": Camera("image.wrist", 0, mirror=True, bgr=True)})
        shown = opened.episode(0, mapping, frames=[0]).cameras["wrist"][0]
        np.testing.assert_array_equal(shown, image[:, ::-1, ::-1])


def test_columns_are_taken_in_the_order_given(files: ModuleType, tmp_path: Path) -> None:
    one = files.episodes(1)[0]
    with open_dataset(files.npz(tmp_path / "set.npz", [one])) as opened:
        mapping = replace(guess(opened).mapping, state=(Columns("state", (5, 0)), Columns("action", (6,))))
        state = opened.episode(0, mapping).state
        np.testing.assert_allclose(state, np.column_stack([one.state[:, [5, 0]], one.action[:, 6]]), rtol=1e-6)
        wrong = replace(mapping, state=(Columns("state", (8,)),))
        with pytest.raises(InputError, match="has the columns 0 to 7"):
            opened.episode(0, wrong)
        with pytest.raises(LookupError, match="Did you mean 'state'"):
            opened.episode(0, replace(mapping, state=(Columns("stat"),)))


def test_cameras_are_told_by_whole_words() -> None:
    found = guess(dataset(["observation.images.laptop", "observation.images.top"], {"state": 9, "action": 5}))
    assert found.mapping.cameras == {"exterior": Camera("observation.images.top")}
    alone = guess(dataset(["observation.images.laptop"], {"state": 9, "action": 5}))
    assert "is the first that is not at the wrist" in alone.reasons[0]
    names = ["beforehand", "wristCam", "frontview_image"]  # `hand` is no word of the first
    roles = guess(dataset(names, {"state": 9, "action": 5})).mapping.cameras
    assert roles == {"exterior": Camera("frontview_image"), "wrist": Camera("wristCam")}
    assert not guess(dataset(["front"], {"transaction": 5, "estate": 9})).mapping.action


def test_of_actions_that_are_chunks_the_first_step_is_taken() -> None:
    opened = dataset(["observation.images.front", "observation.images.wrist"], {"observation.state": 6, "action": 6})
    names = tuple(f"joint_{i}" for i in range(5)) + ("gripper",)
    chunked = {**opened.features, "action": Feature("action", "number", (16, 6), "float32", names)}
    opened = replace(opened, features=chunked, source=Zeros(chunked, (1.0, -1.0)), robot="so101_follower")
    found = guess(opened)
    assert found.mapping.action == (Columns("action", tuple(range(6))),) and found.mapping.layout == "SO-101"
    assert any("16 steps of 6 numbers a frame; the first step is taken" in reason for reason in found.reasons)
    robot = opened.robot_of(found.mapping)
    assert robot is not None and robot.action_names == names and robot.grippers(6) == (5,)
    assert opened.episode(0, found.mapping).action.shape == (FRAMES, 6)
