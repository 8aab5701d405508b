"""Attention on masks against the weights of single frames."""

from __future__ import annotations

import numpy as np
import pytest

from steering.activations.attention import attention_at
from steering.attribution.attention_mass import attention_mass, patch_cover
from steering.attribution.probe import probe
from steering.errors import InputError


@pytest.fixture
def asked(policy, demonstrations):
    return probe(policy, demonstrations, frames=6, samples=1)


def test_mass_on_covered_patches(policy, demonstrations, asked):
    masks = np.zeros((6, 2, 8, 8), bool)
    masks[:, 0, :4, 4:] = True  # the whole second patch of the first camera
    masks[:, 1, 4:, :2] = True  # half of the third patch of the second
    found = attention_mass(asked, masks, batch_size=4)
    for row in (1, 4):
        image = attention_at(policy, demonstrations.episodes[asked.episode[row]], int(asked.frame[row])).image
        # the VLM is asked the same; the expert from another noise
        np.testing.assert_allclose(found.mass[row, 0], (image[..., 0, 1] + image[..., 1, 2] / 2)[0], atol=1e-5)
        np.testing.assert_allclose(found.even_mass[row, 0], image.sum((-1, -2))[0] * 1.5 / 8, atol=1e-5)
    assert (found.mass > 0).all() and (found.mass[:, 1] < 1).all()


def test_everything_covered_leaves_nothing_beyond_size(asked):
    found = attention_mass(asked, np.ones((6, 2, 8, 8), bool))
    np.testing.assert_allclose(found.mass, found.even_mass, atol=1e-5)


def test_cover_is_the_share_of_a_patch(asked):
    masks = np.zeros((6, 2, 12, 12), bool)
    masks[0, 1, :3, :3] = True
    cover = patch_cover(asked, masks)
    np.testing.assert_allclose(cover[0], [0, 0, 0, 0, 0.25, 0, 0, 0], atol=1e-6)
    assert (cover[1:] == 0).all()


def test_masks_of_other_frames_are_refused(asked):
    with pytest.raises(InputError, match="6 frames"):
        attention_mass(asked, np.zeros((5, 2, 8, 8), bool))
