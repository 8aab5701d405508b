from __future__ import annotations

import numpy as np
import pytest

from steering.errors import InputError, NotFound
from steering.selection import algebra
from steering.types import Head, HeadShape, Selection

SHAPE = HeadShape.pair(3, 4, 1)
VLM = [head for head in SHAPE.all_heads() if head.stack == "vlm"]
EXPERT = [head for head in SHAPE.all_heads() if head.stack == "expert"]


@pytest.fixture
def inert():
    mask = np.zeros((2, 3, 4), bool)
    mask[0, 2] = True
    return mask


def test_shared_union_and_difference_are_those_of_sets():
    a, b, c = ({*VLM[:5]}, {*VLM[3:8]}, {*VLM[4:6], EXPERT[0]})
    sets = [Selection(tuple(one), "manual") for one in (a, b, c)]
    assert set(algebra.combine(sets, "shared").heads) == a & b & c
    assert set(algebra.combine(sets, "union").heads) == a | b | c
    difference = algebra.combine(sets, "difference")
    assert set(difference.heads) == a - b - c and difference.heads == algebra.in_order(difference.heads)
    with pytest.raises(NotFound, match="Did you mean 'union'"):
        algebra.combine(sets, "unions")
    with pytest.raises(InputError, match="at least two"):
        algebra.combine(sets[:1], "union")
    with pytest.raises(InputError, match="holds no head"):
        algebra.combine([sets[0], sets[0]], "difference")


def test_own_heads_are_in_no_other_set():
    sets = {"a": VLM[:4], "b": VLM[2:6], "c": [VLM[3], EXPERT[1]]}
    assert algebra.own(sets) == {"a": tuple(VLM[:2]), "b": tuple(VLM[4:6]), "c": (EXPERT[1],)}


def test_overlap_by_chance_against_drawing_at_random(inert):
    """8 movable VLM heads and 12 of the expert; sets of 3 + 2 and 4 + 5 heads."""
    first, second = VLM[:3] + EXPERT[:2], VLM[1:5] + EXPERT[1:6]
    found = algebra.overlap(first, second, SHAPE, inert, ("a", "b"))
    assert found.shared == (VLM[1], VLM[2], EXPERT[1]) and found.sizes == (5, 9)
    assert found.jaccard == 3 / 11
    generator = np.random.default_rng(0)
    shared, jaccard = [], []
    for _ in range(20_000):
        number = 0
        for available, a, b in ((8, 3, 4), (12, 2, 5)):
            number += len(
                np.intersect1d(
                    generator.choice(available, a, replace=False), generator.choice(available, b, replace=False)
                )
            )
        shared.append(number)
        jaccard.append(number / (14 - number))
    assert found.expected == pytest.approx(3 * 4 / 8 + 2 * 5 / 12)
    assert found.expected == pytest.approx(np.mean(shared), abs=0.03)
    assert found.expected_jaccard == pytest.approx(np.mean(jaccard), abs=0.003)
    assert found.p == pytest.approx(np.mean(np.array(shared) >= 3), abs=0.01)


def test_a_set_shares_everything_with_itself_and_chance_is_unlikely(inert):
    found = algebra.overlap(VLM[:4], VLM[:4], SHAPE, inert, ("a", "a"))
    assert found.jaccard == 1 and found.p == pytest.approx(1 / 70)  # 8 over 4


def test_how_many_sets_hold_a_head_against_drawing_at_random(inert):
    sets = {"a": VLM[:3], "b": VLM[2:6] + EXPERT[:3], "c": VLM[:2] + EXPERT[2:9]}
    counted, expected = algebra.held_by(sets, SHAPE, inert)
    assert counted.sum() == 20 and counted.tolist() == [sum(n == m for n in _times(sets, inert)) for m in range(4)]
    generator = np.random.default_rng(1)
    drawn = np.zeros(4)
    for _ in range(5_000):
        times = np.zeros(20, int)
        for vlm, expert in ((3, 0), (4, 3), (2, 7)):
            times[generator.choice(8, vlm, replace=False)] += 1
            times[8 + generator.choice(12, expert, replace=False)] += 1
        drawn += np.bincount(times, minlength=4)
    np.testing.assert_allclose(expected, drawn / 5_000, atol=0.1)


def test_only_stacks_that_sets_take_from_are_counted(inert):
    counted, expected = algebra.held_by({"a": VLM[:2], "b": VLM[1:3]}, SHAPE, inert)
    assert counted.tolist() == [5, 2, 1] and expected.sum() == pytest.approx(8)


def _times(sets, inert):
    movable = [head for head in SHAPE.all_heads() if not (head.stack == "vlm" and head.layer == 2)]
    return [sum(head in heads for heads in sets.values()) for head in movable]


def test_empty_or_impossible_sets_are_worded_errors(inert):
    with pytest.raises(InputError, match="'b' is empty"):
        algebra.overlap(VLM[:2], [], SHAPE, inert, ("a", "b"))
    with pytest.raises(InputError, match="at most 8 heads of vlm"):
        algebra.overlap(VLM[:9], VLM[:2], SHAPE, inert, ("a", "b"))
    assert Head("vlm", 0, 0) in algebra.in_order({Head("vlm", 0, 0)})


def test_sets_as_large_as_all_that_can_move_share_all(inert):
    found = algebra.overlap(VLM[:8], VLM[:8], SHAPE, inert, ("a", "b"))
    assert (found.jaccard, found.expected_jaccard, found.p) == (1, 1, 1) and found.expected == pytest.approx(8)
    apart = algebra.overlap(VLM[:2], EXPERT[:2], SHAPE, inert, ("a", "b"))
    assert (apart.jaccard, apart.expected, apart.expected_jaccard, apart.p) == (0, 0, 0, 1) and apart.shared == ()
    one = algebra.overlap(VLM[:1], VLM[:2], SHAPE, inert, ("a", "b"))  # shared with the chance of a quarter
    assert (one.jaccard, one.p) == (0.5, pytest.approx(0.25)) and one.expected_jaccard == pytest.approx(0.25 / 2)


def test_held_by_is_a_poisson_binomial_law(inert):
    """Two of 8 and four of 8: both with 1/8, one with 1/2, none with 3/8 of the heads."""
    counted, expected = algebra.held_by({"a": VLM[:2], "b": VLM[1:5]}, SHAPE, inert)
    assert counted.tolist() == [3, 4, 1] and expected == pytest.approx([3, 4, 1])
    assert counted.dtype.kind == "i"


def test_the_rule_of_a_combined_set_says_how_it_was_made():
    sets = [Selection((VLM[0], VLM[1]), "manual"), Selection((VLM[1],), "manual")]
    rules = [algebra.combine(sets, one).rule for one in algebra.OPERATIONS]
    assert rules == ["shared by 2 sets", "union of 2 sets", "first without the others of 2 sets"]
