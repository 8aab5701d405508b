"""What clients of LIBERO, DROID and ALOHA and a policy's own recordings call things, and what is refused."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from steering.errors import InputError
from steering.serving.observing import Wanted, observation

RNG = np.random.default_rng(0)
FIRST, SECOND = (RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8) for _ in range(2))
STATE = np.arange(8, dtype=np.float32)

LIBERO = {"observation/image": FIRST, "observation/wrist_image": SECOND, "observation/state": STATE, "prompt": "go"}
DROID = {
    "observation/exterior_image_1_left": FIRST,
    "observation/wrist_image_left": SECOND,
    "observation/joint_position": STATE[:7],
    "observation/gripper_position": np.float32(7),
    "prompt": "go",
}
ALOHA = {
    "images": {"cam_high": FIRST.transpose(2, 0, 1), "cam_left_wrist": SECOND.transpose(2, 0, 1)},
    "state": STATE,
    "prompt": "go",
}
LEROBOT = {"observation.images.base_0_rgb": FIRST, "observation": {"images": {"wrist": SECOND}, "state": STATE}}
ROLES = Wanted({"exterior": "", "wrist": ""}, instruction="go")


@pytest.mark.parametrize("wanted", [Wanted(), ROLES])
@pytest.mark.parametrize("message", [LIBERO, DROID, ALOHA, {**LEROBOT, "task": "go"}])
def test_every_clients_names_are_understood(message: dict[str, Any], wanted: Wanted) -> None:
    seen = observation(message, wanted)
    assert {role: images.shape for role, images in seen.cameras.items()} == {
        "exterior": (1, 6, 8, 3),
        "wrist": (1, 6, 8, 3),
    }
    assert np.array_equal(seen.cameras["exterior"][0], FIRST) and np.array_equal(seen.cameras["wrist"][0], SECOND)
    assert seen.state.dtype == np.float32 and seen.state.tolist() == [STATE.tolist()]
    assert seen.instruction == ("go",)


def test_pictures_under_the_recordings_names_are_turned_as_the_recordings_were() -> None:
    recorded = Wanted({"exterior": "obs/agentview_rgb"}, {"exterior": partial(np.rot90, k=2)}, instruction="go")
    raw = observation({"obs/agentview_rgb": FIRST, "state": STATE}, recorded)
    upright = observation({"observation/image": FIRST, "state": STATE}, recorded)
    assert np.array_equal(raw.cameras["exterior"][0], FIRST[::-1, ::-1])
    assert np.array_equal(upright.cameras["exterior"][0], FIRST)


def test_pictures_are_no_larger_than_those_it_was_trained_on() -> None:
    wanted = Wanted({"exterior": ""}, most_px=4, instruction="go")
    assert observation({"image": FIRST, "state": STATE}, wanted).cameras["exterior"].shape == (1, 3, 4, 3)


def test_floats_from_0_to_1_are_colours() -> None:
    seen = observation({**LIBERO, "observation/image": FIRST / np.float32(255)}, ROLES)
    assert np.abs(seen.cameras["exterior"][0].astype(int) - FIRST).max() <= 1


def test_the_state_is_put_together_as_the_mapping_says() -> None:
    wanted = Wanted(state=(("obs/ee_states", (2, 0)), ("obs/gripper_states", None)), instruction="go")
    message = {"image": FIRST, "obs/gripper_states": STATE[6:], "obs/ee_states": STATE[:6], "state": STATE}
    assert observation(message, wanted).state.tolist() == [[2, 0, 6, 7]]
    with pytest.raises(InputError, match="at least 3 numbers in obs/ee_states"):
        observation({**message, "obs/ee_states": STATE[:2]}, wanted)


def deep(depth: int) -> dict[str, Any]:
    return {"a": deep(depth - 1) if depth else 1}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"observation/wrist_image": None}, "wrist camera as wrist or wrist_image"),
        ({"observation/image": FIRST.astype(np.int32)}, "8-bit colours"),
        ({"observation/image": FIRST.astype(np.float32)}, "floats from 0 to 1"),
        ({"observation/image": np.full((6, 8, 3), np.nan, np.float32)}, "floats from 0 to 1"),
        ({"observation/image": np.zeros((0, 8, 3), np.uint8)}, "height, width, 3"),
        ({"observation/image": np.zeros((5000, 1, 3), np.uint8)}, "at most 4096"),
        ({"observation/state": np.array([np.inf], np.float32)}, "finite"),
        ({"observation/state": "text"}, "robot's state"),
        ({"prompt": " "}, "instruction as prompt"),
        ({"prompt": "x" * 2001}, "instruction as prompt"),
        ({"prompt": np.float32(1)}, "instruction as prompt"),
        ({"more": deep(9)}, "maps in each other"),
        ({"more": dict.fromkeys(range(300))}, "at most 256 entries"),
    ],
)
def test_what_is_wrong_with_an_observation_is_said(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        observation({**LIBERO, **changed}, ROLES)
