"""How many rows a policy is asked for: as few as give the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

from steering.rollout.calls import PolicyCalls
from steering.rollout.episode import Seen
from steering.types import CAMERAS, HeadShape, Observation


class Rounding:
    """Gives state and noise back, with an error for calls of some sizes."""

    name, head_shape = "rounding", HeadShape.pair(1, 1, 1)
    chunk_size, action_dim, noise_dim = 3, 2, 2

    def __init__(self, uneven: tuple[int, ...] = ()) -> None:
        self.uneven = uneven
        self.asked: list[int] = []

    def act(self, observation: Observation, noise: np.ndarray) -> np.ndarray:
        self.asked.append(len(noise))
        error = 1e-7 if len(noise) in self.uneven else 0.0
        return noise + observation.state[:, None, :] * (1 + error)


def scenes(count: int, words: str = "go") -> tuple[list[Seen], list[np.ndarray]]:
    images = {camera: np.zeros((4, 4, 3), np.uint8) for camera in CAMERAS}
    rng = np.random.default_rng(count)
    seen = [Seen(images, rng.uniform(1, 2, 2).astype(np.float32), words) for _ in range(count)]
    return seen, list(rng.standard_normal((count, 3, 2)).astype(np.float32))


def test_fewer_rows_are_asked_for_once_they_gave_the_same_bytes() -> None:
    policy = Rounding()
    calls = PolicyCalls(policy, 16)
    for _ in range(2):
        for count in (16, 9, 5, 3, 1):
            seen, noise = scenes(count)
            expected = np.stack(noise) + np.stack([one.state for one in seen])[:, None]
            np.testing.assert_array_equal(calls.act(seen, noise), expected)
    assert policy.asked == [16, 16, 16, 8, 8, 4, 4, 2, 16, 16, 8, 4, 2], "compared with the next size that is known"
    calls.act(*scenes(3, "another instruction"))
    assert policy.asked[-2:] == [16, 4], "a prompt of another length is another shape"


def test_sizes_that_round_otherwise_are_never_used() -> None:
    policy, even = Rounding(uneven=(2, 8)), Rounding()
    calls = PolicyCalls(policy, 16)
    assert [calls.rows(count) for count in (1, 6)] == [2, 8]
    for count in (6, 1, 6, 1):
        seen, noise = scenes(count)
        np.testing.assert_array_equal(calls.act(seen, noise), PolicyCalls(even, 16).act(seen, noise))
    assert policy.asked == [16, 8, 16, 2, 16, 16]
    assert [calls.rows(count) for count in (1, 3, 6)] == [16, 4, 16]


@pytest.mark.parametrize(("batch_size", "counts"), [(1, (1,)), (3, (1, 2, 3)), (8, (1, 3, 8))])
def test_no_call_has_more_rows_than_the_batch(batch_size: int, counts: tuple[int, ...]) -> None:
    policy = Rounding()
    calls = PolicyCalls(policy, batch_size)
    for count in counts:
        assert calls.act(*scenes(count)).shape == (count, 3, 2)
    assert max(policy.asked) == batch_size
