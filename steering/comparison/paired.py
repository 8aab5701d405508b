"""Paired tests of two methods on the same scenes: exact McNemar, and Holm's correction over several pairs. Instant.

Only scenes where the outcomes differ carry evidence: under equal methods each is a fair coin (McNemar, 1947, in the
exact form). With several training runs a method, the runs of one scene share its difficulty, so a scene flips as a
whole (Fisher's sign-flip test): its runs are not independent trials. Holm (1979) holds the chance of any false
difference among all pairs at the level of a single test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from math import comb

import numpy as np

from steering.errors import InputError
from steering.types import PairedTest


def mcnemar(first: str, first_success: np.ndarray, second: str, second_success: np.ndarray) -> PairedTest:
    """Exact two-sided McNemar test; `p_holm` equals `p` until `holm` has seen all pairs.

    first_success, second_success: bool [episode], outcomes on the same scenes in the same order.
    """
    one, two = np.asarray(first_success, bool), np.asarray(second_success, bool)
    if one.shape != two.shape or one.ndim != 1:
        raise InputError(f"Expected outcomes on the same scenes, got {one.shape} and {two.shape}.")
    only_first, only_second = int(np.sum(one & ~two)), int(np.sum(two & ~one))
    p = fair_coin(only_first, only_second)
    return PairedTest(first, second, only_first, only_second, p, p)


@cache
def fair_coin(heads: int, tails: int) -> float:
    """The exact two-sided p of a fair coin (binomial test): twice the smaller tail, at most 1."""
    thrown = heads + tails
    return min(1.0, 2 * sum(comb(thrown, i) for i in range(min(heads, tails) + 1)) / 2**thrown)


def paired_runs(first: str, first_success: np.ndarray, second: str, second_success: np.ndarray) -> PairedTest:
    """Exact two-sided sign-flip test over scenes of several training runs; of one run it is `mcnemar`.

    first_success, second_success: bool [run, scene], the same scenes in the same order. The counts are of pairs of
    one scene and run. It speaks of the runs that were trained, not of those that other seeds would give.
    """
    one, two = np.asarray(first_success, bool), np.asarray(second_success, bool)
    if one.shape != two.shape or one.ndim != 2:
        raise InputError(f"Expected outcomes of the same runs on the same scenes, got {one.shape} and {two.shape}.")
    p = _sign_flip((two.astype(int) - one.astype(int)).sum(0))
    return PairedTest(first, second, int(np.sum(one & ~two)), int(np.sum(two & ~one)), p, p)


def holm(tests: Sequence[PairedTest]) -> tuple[PairedTest, ...]:
    """The same tests with `p_holm` corrected over all of them (step-down, never above 1)."""
    corrected: dict[int, float] = {}
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(tests)), key=lambda i: tests[i].p)):
        highest = max(highest, min(1.0, (len(tests) - rank) * tests[index].p))
        corrected[index] = highest
    return tuple(replace(test, p_holm=corrected[index]) for index, test in enumerate(tests))


def _sign_flip(difference: np.ndarray) -> float:
    """The chance that |sum| is as large as it is if every sign were a fair coin. difference: int [scene].

    Exact: the distribution of the sum grows scene by scene (scipy.stats.permutation_test would draw from 2^scenes).
    """
    sizes = np.abs(difference[difference != 0])
    chance = np.ones(1)  # of the sums -total, ..., total
    for size in sizes:
        chance = np.convolve(chance, np.r_[0.5, np.zeros(2 * size - 1), 0.5])
    sums = np.arange(len(chance)) - len(chance) // 2
    return min(1.0, float(chance[np.abs(sums) >= abs(difference.sum())].sum()))
