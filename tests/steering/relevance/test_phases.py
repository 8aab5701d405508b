"""Phases read off gripper and speed, at their boundaries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from steering.relevance import phases
from steering.types import PHASES, Robot


def test_a_slow_run_touches_its_frame() -> None:
    slow = np.array([1, 1, 0, 1, 0, 1, 1, 0], bool)
    assert [phases._around(slow, frame) for frame in (0, 1, 2, 3, 4, 5, 7)] == [
        *((0, 2), (0, 2), (0, 4), (3, 4), (3, 7), (5, 7), (5, 8))
    ]


def test_phases_of_a_grasp_that_is_never_released_and_of_one_that_is_twice(build) -> None:
    a = build((10,))
    state, action = np.zeros((10, 8), np.float32), np.full((10, 7), -1, np.float32)
    state[:, 0] = np.cumsum([4, 4, 4, 1, 1, 4, 4, 4, 4, 4])

    def found(closed: list[int]) -> str:
        action[:, 6] = np.where(np.isin(np.arange(10), closed), 1, -1)
        return "".join(PHASES[p][0] for p in phases.infer(replace(a, state=state, action=action)))

    assert found([3, 4, 5, 6, 7, 8, 9]) == "aaaggttttt"
    assert found([4, 5, 6, 7]) == "aaaggtttrr"
    assert found([4, 6, 7]) == "aaaggtttrr"  # the last opening counts
    assert found([3]) == "aaaggttttt"  # opened within the grasp
    assert found([3, 4]) == "aaaggrrrrr"  # and just after it
    assert found([0, 1]) == "gtrrrrrrrr"
    assert found([]) == "a" * 10


def test_slow_is_below_half_the_median_of_the_moving_frames(build) -> None:
    a = build((6,), frame=np.array([0, 1, 2, 4, 5, 6], np.int32))
    state = np.zeros((6, 8), np.float32)
    state[:, 1] = np.cumsum([0, 2, 0, 2, 1, 0.875])  # speeds 2, 2, 0, 1 over two frames, 1, .875: the median is 1
    np.testing.assert_array_equal(phases._slow(replace(a, state=state), np.arange(6)), [0, 0, 1, 0, 0, 0])
    state[:, 1] = np.cumsum([0, 2, 0, 2, 1, 0.25])
    np.testing.assert_array_equal(phases._slow(replace(a, state=state), np.arange(6)), [0, 0, 1, 0, 0, 1])
    assert phases._slow(replace(a, state=np.zeros((6, 8), np.float32)), np.arange(6)).all()
    robot = Robot(state_roles=("other",) * 8, action_roles=("other",) * 6 + ("gripper",))
    action = np.zeros((6, 7), np.float32)
    action[:, 0], action[:, 6] = [4, 4, 4, 2, 1.75, 0], 100
    moved = replace(a, state=state, action=action, robot=robot)
    np.testing.assert_array_equal(phases._slow(moved, np.arange(6)), [0, 0, 0, 0, 1, 1])


def test_an_episode_of_one_frame_has_a_phase(build) -> None:
    a = build((1, 3))
    action = np.full((4, 7), -1, np.float32)
    action[[0, 2], 6] = 1
    assert [PHASES[p] for p in phases.infer(replace(a, action=action))][:2] == ["grasp", "approach"]
