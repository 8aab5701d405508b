"""Tests of several training runs in the same scenes, against all sign flips counted one by one and exact McNemar."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from steering.comparison.paired import mcnemar, paired_runs
from steering.errors import InputError


@pytest.mark.parametrize("seed", range(5))
def test_equals_every_flip_of_whole_scenes_counted(seed):
    one, two = np.random.default_rng(seed).random((2, 3, 9)) < [[[0.4]], [[0.7]]]
    test = paired_runs("a", one, "b", two)
    difference = two.sum(0) - one.sum(0)  # [scene]
    sums = [abs(np.dot(signs, difference)) for signs in product((-1, 1), repeat=9)]
    assert test.p == pytest.approx(np.mean(np.array(sums) >= abs(difference.sum())))
    assert test.only_second - test.only_first == difference.sum()


def test_one_run_is_exact_mcnemar():
    one, two = np.random.default_rng(0).random((2, 60)) < [[0.5], [0.75]]
    assert paired_runs("a", one[None], "b", two[None]).p == pytest.approx(mcnemar("a", one, "b", two).p)


def test_repeating_a_run_adds_no_evidence():
    one, two = np.random.default_rng(1).random((2, 50)) < [[0.4], [0.7]]
    alone, thrice = (paired_runs("a", np.tile(one, (n, 1)), "b", np.tile(two, (n, 1))) for n in (1, 3))
    assert thrice.p == pytest.approx(alone.p) and thrice.only_second == 3 * alone.only_second


def test_equal_outcomes_show_nothing_and_shapes_must_agree():
    assert paired_runs("a", np.ones((2, 4)), "b", np.ones((2, 4))).p == 1
    with pytest.raises(InputError, match="the same runs"):
        paired_runs("a", np.ones((2, 4)), "b", np.ones((1, 4)))
