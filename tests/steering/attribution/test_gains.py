"""Predicted paths with heads turned down against weights edited by hand."""

from __future__ import annotations

import numpy as np
import pytest

from steering.attribution.gains import predicted_path
from steering.errors import InputError
from steering.models.preprocessing import observe
from steering.types import Head


def test_without_gains_it_is_the_policys_own_path_to_the_bit(policy, demonstrations):
    episode = demonstrations.episodes[2]
    noise = np.random.default_rng(3).standard_normal((1, 4, 8), np.float32)
    own = policy.act(observe(demonstrations, np.array([2]), np.array([5])), noise)[0]
    np.testing.assert_array_equal(predicted_path(policy, episode, 5, {}, seed=3), own)
    np.testing.assert_array_equal(predicted_path(policy, episode, 5, {Head("vlm", 1, 1): 1.0}, seed=3), own)


def test_a_gain_is_a_factor_on_the_heads_columns(policy, demonstrations):
    episode, gains = demonstrations.episodes[0], {Head("vlm", 1, 2): 0.0, Head("expert", 0, 3): 2.5}
    changed = predicted_path(policy, episode, 2, gains)
    own = predicted_path(policy, episode, 2, {})
    for head, gain in gains.items():
        weight = policy.model.get_submodule(policy.layout.output(head.stack, head.layer)).weight
        weight.data[:, head.head * 8 : head.head * 8 + 8] *= gain
    np.testing.assert_allclose(predicted_path(policy, episode, 2, {}), changed, atol=1e-4)
    assert changed.shape == (4, 7) and np.abs(changed - own).max() > 1e-3


def test_what_does_not_exist_is_refused(policy, demonstrations):
    episode = demonstrations.episodes[0]
    with pytest.raises(InputError, match="frame of 0 to 5"):
        predicted_path(policy, episode, 6, {})
    with pytest.raises(InputError, match="no head"):
        predicted_path(policy, episode, 0, {Head("vlm", 9, 0): 0.0})
    with pytest.raises(InputError, match="finite"):
        predicted_path(policy, episode, 0, {Head("vlm", 0, 0): float("nan")})
    assert not any(m._forward_pre_hooks for m in policy.model.modules())
