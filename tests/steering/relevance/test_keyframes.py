"""Keyframes at their boundaries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steering.errors import InputError
from steering.relevance import keyframes, targets


def test_a_command_in_the_middle_of_its_range_is_open(build) -> None:
    a = build((5,))
    action, state = np.zeros((5, 7), np.float32), np.zeros((5, 8), np.float32)
    action[:, 6], state[:, 0] = [0, 0.5, 0.5, 1, 1], np.arange(5)
    a = replace(a, action=action, state=state)
    np.testing.assert_array_equal(targets.closed(a)[:, 0], [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(np.flatnonzero(keyframes.keyframes(a, rate_hz=20)), [0, 3, 4])
    with pytest.raises(InputError, match="above 0 Hz"):
        keyframes.keyframes(a, rate_hz=0)


def test_joints_beyond_two_turns_to_either_side_are_in_degrees(build) -> None:
    a = build((4,))
    state = np.zeros((4, 8), np.float32)
    for most, degrees in ((12.5, False), (-12.5, False), (12.6, True), (-12.6, True)):
        state[:, 0], state[:, 1] = most, [0, 0.05, 0.05, 0.1]  # 1 a second: slow in degrees, not in radians
        marked = keyframes.keyframes(replace(a, state=state, action=np.zeros((4, 7), np.float32)), rate_hz=20)
        np.testing.assert_array_equal(marked, [True, degrees, True, True])
