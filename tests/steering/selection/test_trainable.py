"""Rules for the heads to train, on scores made by hand."""

import numpy as np
import pytest

from steering.errors import InputError
from steering.selection.trainable import (
    best,
    by_reach,
    by_reach_and_relevance,
    drawn,
    reach,
    with_spread,
    within_layers,
    worst,
)

MOVABLE = np.array([[True, True, True]] * 3 + [[False] * 3])
SCORE = np.array([[0.1, 0.2, 0.0], [0.5, 0.4, 0.3], [0.9, 0.8, 0.7], [9.0, 9.0, 9.0]])


def test_best_and_worst_leave_out_what_cannot_move_an_action() -> None:
    assert best(SCORE, MOVABLE, 2) == ((2, 0), (2, 1))
    assert worst(SCORE, MOVABLE, 2) == ((0, 0), (0, 2))


def test_reach_falls_to_zero_in_the_last_layer() -> None:
    assert reach(MOVABLE)[:, 0].tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0])


def test_reach_alone_takes_the_lowest_layers_and_draws_within_one() -> None:
    assert {layer for layer, _ in by_reach(MOVABLE, 3, 0)} == {0}
    sets = {by_reach(MOVABLE, 1, seed) for seed in range(20)}
    assert sets == {((0, 0),), ((0, 1),), ((0, 2),)}
    assert by_reach(MOVABLE, 4, 1) == by_reach(MOVABLE, 4, 1)


def test_reach_times_relevance_weighs_and_clips() -> None:
    assert by_reach_and_relevance(SCORE, MOVABLE, 2) == ((1, 0), (2, 0))  # 1/3 and .3; (0, 1) has .2
    assert by_reach_and_relevance(-SCORE, MOVABLE, 1) == ((0, 0),)


def test_within_layers_goes_round_the_lower_half_before_it_goes_up() -> None:
    assert within_layers(SCORE, MOVABLE, 3) == ((0, 0), (0, 1), (1, 0))
    assert within_layers(SCORE, MOVABLE, 7) == ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0))


def test_spread_shares_what_a_layer_promises() -> None:
    assert with_spread(np.array([[10.0, 9.0, 8.0], [5.0, 1.0, 1.0]]), np.ones((2, 3), bool), 2) == ((0, 0), (1, 0))


def test_draws_come_from_all_layers_and_repeat_with_their_seed() -> None:
    assert drawn(MOVABLE, 4, 5) == drawn(MOVABLE, 4, 5)
    assert {place for seed in range(40) for place in drawn(MOVABLE, 2, seed)} == {
        (layer, head) for layer in range(3) for head in range(3)
    }


def test_too_many_heads_and_unknown_scores_are_said() -> None:
    with pytest.raises(InputError, match="1 to 9 heads"):
        best(SCORE, MOVABLE, 10)
    with pytest.raises(InputError, match="finite"):
        best(np.full((4, 3), np.nan), MOVABLE, 1)
