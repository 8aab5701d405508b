"""Which frames may predict which, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from steering.errors import InputError
from steering.relevance import folds


def test_one_episode_leaves_out_thirty_frames_and_not_the_thirty_first() -> None:
    episode, frame = np.zeros(70, int), np.arange(70)
    left_out = folds.excluded(episode, frame, np.array([35]))[0]
    np.testing.assert_array_equal(np.flatnonzero(~left_out), [0, 1, 2, 3, 4, *range(66, 70)])
    assert folds.fewest_training_frames(episode, frame) == 70 - 61
    assert folds.most_training_frames(episode, frame) == 70 - 31
    folds.check(episode, frame, 9, "It")
    with pytest.raises(InputError, match="It needs 10 .* 30 frames on each side leaves only 9 of 70"):
        folds.check(episode, frame, 10, "It")


def test_several_episodes_leave_their_own_out_whole() -> None:
    episode, frame = np.array([1, 0, 1, 0, 1]), np.array([1, 5, 0, 2, 7])
    assert [rows.tolist() for rows in folds.rows_by_episode(episode, frame)] == [[3, 1], [2, 0, 4]]
    assert (folds.fewest_training_frames(episode, frame), folds.most_training_frames(episode, frame)) == (2, 3)
    np.testing.assert_array_equal(folds.excluded(episode, frame, slice(1, 2)), [[False, True, False, True, False]])
    folds.check(episode, frame, 2, "It")
    with pytest.raises(InputError, match="leaving one episode out leaves only 2 of 5"):
        folds.check(episode, frame, 3, "It")
    with pytest.raises(InputError, match="at least one frame"):
        folds.check(episode[:0], frame[:0], 0, "It")
