"""The ridge probe of narrow and silent heads."""

from __future__ import annotations

import numpy as np
import pytest

from steering.errors import InputError
from steering.relevance import ridge
from steering.relevance.baselines import mean_errors


def test_ridge_penalty_and_silent_heads(build) -> None:
    a = build((5, 6, 7))
    features = a.outputs[:, 0, 0].copy()
    features[:, 1, 4:] = 0
    narrow = ridge.ridge_frame_errors(features[:, 1:2, :4], a.action, a.episode, a.frame)
    np.testing.assert_array_equal(ridge.ridge_frame_errors(features, a.action, a.episode, a.frame)[1:2], narrow)
    features[:] = 0
    mean = mean_errors(a.action, a.episode, a.frame)
    silent = ridge.ridge_frame_errors(features, a.action, a.episode, a.frame)[0]
    np.testing.assert_allclose([silent[a.episode == e].sum(0) for e in range(3)], mean, rtol=1e-5)
    with pytest.raises(InputError, match="A ridge probe needs 2"):
        ridge.ridge_frame_errors(features[:2], a.action[:2], np.array([0, 1]), np.zeros(2, int))
    stronger = ridge.ridge_frame_errors(a.outputs[:, 0, 0], a.action, a.episode, a.frame, penalty=1e9)[0]
    np.testing.assert_allclose([stronger[a.episode == e].sum(0) for e in range(3)], mean, rtol=1e-5)
