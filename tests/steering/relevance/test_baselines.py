"""What predicts without a head, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steering.errors import InputError
from steering.relevance.baselines import baseline_features, contenders, mean_errors


def test_the_mean_predicts_from_counted_frames_of_other_episodes() -> None:
    target = np.array([[1.0], [3.0], [5.0], [9.0], [2.0]])
    episode, frame, counted = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 0]), np.array([1, 1, 1, 0, 0], bool)
    np.testing.assert_allclose(mean_errors(target, episode, frame, counted), [[16 + 4], [9], [0]])
    whole = [(1 - 16 / 3) ** 2 + (3 - 16 / 3) ** 2, (5 - 2) ** 2 + (9 - 2) ** 2, (2 - 4.5) ** 2]
    np.testing.assert_allclose(mean_errors(target, episode, frame)[:, 0], whole)
    with pytest.raises(InputError, match="one episode only"):
        mean_errors(target, episode, frame, episode == 1)
    assert contenders("state_time", ("time", "state", "state_time")) == [2, 1, 0]
    assert contenders("state", ("time", "state", "state_time")) == [1]


def test_in_state_and_time_the_clock_counts_as_much_as_the_moving_state(build) -> None:
    a = build((5, 6))
    a.state[:, 3:] = 7  # three columns move
    found = baseline_features(a)
    np.testing.assert_allclose((found["state_time"][:, :8] ** 2).sum(1).mean(), 1)
    np.testing.assert_allclose((found["state_time"][:, 8] ** 2).mean(), 1)
    np.testing.assert_allclose(found["state_time"][:, :3] * np.sqrt(3), found["state"][:, :3])
    a.state[:] = 7
    count = np.arange(11, dtype=np.float32)
    few = baseline_features(replace(a, state=np.stack([count - 5, 0 * count, count % 4], 1)))  # once its own mean
    np.testing.assert_allclose(few["state_time"][:, :3], few["state"] / np.sqrt(2))  # of the two that move
    assert not baseline_features(a)["state_time"][:, :8].any()
    assert set(baseline_features(replace(a, state=a.state[:, :0]))) == {"time"}
