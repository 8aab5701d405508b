"""Masks of the named things against the recorded images and places."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from steering.demonstrations.masks import named_masks
from steering.demonstrations.recording import record
from steering.errors import InputError
from steering.simulation.tape import IMAGE_PX
from steering.types import Demonstrations


@pytest.fixture(scope="module")
def recorded() -> Demonstrations:
    return record("place_cube_in_bowl", 2)


def test_masks_lie_on_the_cube_and_the_bowl(recorded):
    episode, frame = np.array([1, 0, 1]), np.array([0, 5, 40])
    masks = named_masks(recorded, episode, frame, size_px=IMAGE_PX)
    assert masks.shape == (3, 2, IMAGE_PX, IMAGE_PX) and masks.dtype == bool
    for row, (one, at) in enumerate(zip(episode, frame, strict=True)):
        image = recorded.episodes[one].cameras["exterior"][at].astype(int)
        red = (image[..., 0] > 2 * image[..., 1]) & (image[..., 0] > 2 * image[..., 2])
        white = image.min(-1) > 200
        mask = masks[row, 0]
        assert mask.any() and (red & mask).any(), "the red cube is in the mask"
        assert (mask & (red | white)).sum() > 0.5 * mask.sum(), "most of the mask is red or white"
        assert (red & ~mask).sum() < 0.2 * red.sum() + 5, "the red pixels are in the mask"


def test_an_episode_that_does_not_come_out_again_is_refused(recorded):
    other = dataclasses.replace(recorded.episodes[0], state=recorded.episodes[0].state + 0.01)
    with pytest.raises(InputError, match="leaves the recording at frame 0"):
        named_masks(dataclasses.replace(recorded, episodes=(other,)), [0], [0])


def test_recordings_from_outside_have_no_scene(recorded):
    outside = dataclasses.replace(recorded.episodes[0], seed=None)
    with pytest.raises(InputError, match="no scene"):
        named_masks(dataclasses.replace(recorded, episodes=(outside,)), [0], [0])
