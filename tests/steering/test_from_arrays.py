"""Activations from arrays of any model: what they become, and what is said where they do not fit."""

from __future__ import annotations

import numpy as np
import pytest

import steering
from steering.errors import InputError
from steering.types import Stack

ROWS = 60
EPISODE = np.repeat(["b", "a", "c"], 20)


@pytest.fixture
def outputs() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((ROWS, 2, 3, 4)).astype(np.float32)


def test_stacks_of_any_size_lie_side_by_side(outputs: np.ndarray) -> None:
    wide = np.ones((ROWS, 1, 5, 2))
    made = steering.Activations.from_arrays(
        {"eyes": outputs, "words": wide}, np.zeros(ROWS), EPISODE, inert={"eyes": np.eye(2, 3, dtype=bool)}
    )
    assert made.stacks == (Stack("eyes", 2, 3, 4), Stack("words", 1, 5, 2))
    assert made.outputs.shape == (ROWS, 2, 2, 5, 4) and made.action.shape == (ROWS, 1)
    np.testing.assert_array_equal(made.outputs[:, 0, :, :3], outputs)
    assert made.outputs[:, 1, 0, :, :2].min() == 1 and not made.outputs[:, 1, 1].any()
    assert made.columns.grippers(1) == (), "no column is taken for a gripper that nobody named"
    assert made.inert[0, 0, 0] and not made.inert[0, 0, 1] and made.inert[1, 1].all()


def test_rows_of_an_episode_are_in_order_wherever_they_stand(outputs: np.ndarray) -> None:
    mixed = np.tile([2, 7], ROWS // 2)
    made = steering.Activations.from_arrays(outputs, np.zeros(ROWS), mixed)
    np.testing.assert_array_equal(made.episode, np.tile([0, 1], ROWS // 2))
    np.testing.assert_array_equal(made.frame, np.repeat(np.arange(30), 2))
    assert made.time_in_episode[0] == 0 and made.time_in_episode[-1] == 1
    given = steering.Activations.from_arrays(outputs, np.zeros(ROWS), mixed, time=np.full(ROWS, 0.5))
    assert set(given.time_in_episode) == {0.5}


def test_the_strict_score_needs_the_state_and_says_so(outputs: np.ndarray) -> None:
    generator = np.random.default_rng(1)
    action, state = generator.standard_normal((ROWS, 2)), generator.standard_normal((ROWS, 3))
    without = steering.Activations.from_arrays(outputs, action, EPISODE)
    assert steering.score(without, "paper", ks=(3,)).relevance.score.shape == (1, 2, 3)
    with pytest.raises(InputError, match=r"from_arrays\(…, state=…\)"):
        steering.score(without, "default", ks=(3,))
    within = steering.Activations.from_arrays(outputs, action, EPISODE, state=state)
    assert np.isfinite(steering.score(within, "default", ks=(3,)).relevance.score).all()


def test_what_does_not_fit_is_named(outputs: np.ndarray) -> None:
    make = steering.Activations.from_arrays
    with pytest.raises(InputError, match=r"\[row, layer, head, dim\].*model \[60, 2\]"):
        make(outputs[:, :, 0, 0], np.zeros(ROWS), EPISODE)
    with pytest.raises(InputError, match="60 rows.*action has 59"):
        make(outputs, np.zeros(ROWS - 1), EPISODE)
    with pytest.raises(InputError, match="state has 60, some of them NaN"):
        make(outputs, np.zeros(ROWS), EPISODE, state=np.full((ROWS, 1), np.nan))
    with pytest.raises(InputError, match="at least one stack"):
        make({}, np.zeros(ROWS), EPISODE)
