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


def test_reach_of_one_layer_and_ties() -> None:
    assert reach(np.ones((1, 2), bool)).tolist() == [[0, 0]]
    assert best(np.zeros((4, 3)), MOVABLE, 4) == ((0, 0), (0, 1), (0, 2), (1, 0))
    assert len(best(SCORE, MOVABLE, 9)) == 9 and len(best(SCORE, MOVABLE, 1)) == 1
    assert worst(SCORE, MOVABLE, 9) == best(SCORE, MOVABLE, 9)
    assert by_reach_and_relevance(-SCORE, MOVABLE, 2) == ((0, 0), (0, 1))  # all 0, in order
    with pytest.raises(InputError, match="1 to 9 heads that can move an action; got 0"):
        best(SCORE, MOVABLE, 0)
    with pytest.raises(InputError, match="same heads"):
        best(SCORE[:2], MOVABLE, 1)
    assert best(np.where(MOVABLE, SCORE, np.nan), MOVABLE, 1) == ((2, 0),)  # of the others nothing is asked


def test_draws_are_those_of_generators_named_by_their_seed_and_rule() -> None:
    """Written out, since the published comparison of rules rests on them."""
    flat = np.random.default_rng((5, 71)).permutation(9)[:4]
    assert drawn(MOVABLE, 4, 5) == tuple(sorted((int(i) // 3, int(i) % 3) for i in flat))
    within = np.random.default_rng((5, 73)).random((4, 3))
    assert by_reach(MOVABLE, 1, 5) == ((0, int(within[0].argmax())),)
    assert by_reach(MOVABLE, 5, 5)[:3] == ((0, 0), (0, 1), (0, 2))
    assert {layer for layer, _ in by_reach(MOVABLE, 5, 5)[3:]} == {1}


def test_the_lower_half_of_layers_that_can_move_counts_up() -> None:
    """Of layers 1, 2, 4 the lower half is 1 and 2; 4 comes after both are full."""
    movable = np.zeros((5, 2), bool)
    movable[[1, 2, 4]] = True
    movable[2, 0] = False
    score = np.array([[9, 9], [1, 2], [9, 3], [9, 9], [5, 6.0]])
    chosen = [set(within_layers(score, movable, n)) for n in range(1, 6)]
    added = [chosen[0], *(b - a for a, b in zip(chosen, chosen[1:], strict=False))]
    assert added == [{(1, 1)}, {(2, 1)}, {(1, 0)}, {(4, 1)}, {(4, 0)}]


def test_spread_divides_by_the_heads_a_layer_has() -> None:
    fall = np.array([[12.0, 11, 10], [5.8, 5.4, 1], [9, 9, 9]])
    movable = np.array([[True] * 3, [True] * 3, [False] * 3])
    chosen = [set(with_spread(fall, movable, n)) for n in range(1, 6)]
    added = [chosen[0], *(b - a for a, b in zip(chosen, chosen[1:], strict=False))]
    # 12, then 5.8 before 11 / 2, then 5.5, then 10 / 3 before 5.4 / 2
    assert added == [{(0, 0)}, {(1, 0)}, {(0, 1)}, {(0, 2)}, {(1, 1)}]
