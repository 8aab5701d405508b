"""The tests hold at every look: exact sums over all outcomes, and simulations of looking after every pair."""

import itertools

import numpy as np
import pytest

from steering.comparison.anytime import bound_evidence, chance, interval, needed_evidence, sign_evidence


def test_the_sign_evidence_of_fair_coins_is_a_fair_game() -> None:
    tosses = np.array(list(itertools.product((-1, 1), repeat=8)))
    assert np.exp(sign_evidence(tosses)).mean(0) == pytest.approx(np.ones(8))


def test_ties_carry_no_evidence_and_sides_are_alike() -> None:
    signs = np.array([1, 0, 0, 1, -1, 0, 1])
    assert sign_evidence(signs)[-1] == pytest.approx(sign_evidence(signs[signs != 0])[-1])
    assert sign_evidence(signs) == pytest.approx(sign_evidence(-signs))
    assert sign_evidence(np.ones(5))[-1] == pytest.approx(np.log(2**5 / 6))  # the chance of 5 of 5, all coins alike


def test_the_chance_is_that_of_all_games_that_reach_it() -> None:
    tosses = np.array(list(itertools.product((-1, 1), repeat=10)))
    highest = sign_evidence(tosses).max(-1)
    for evidence in (0.5, 1.0, 2.0, 3.0):
        assert chance(evidence, 10) == pytest.approx((highest >= evidence).mean())


@pytest.mark.parametrize("pairs", [5, 40, 200])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_needed_evidence_is_the_least_that_holds_the_level(pairs: int, alpha: float) -> None:
    needed = needed_evidence(pairs, alpha)
    assert chance(needed, pairs) <= alpha and needed <= np.log(1 / alpha)
    assert pairs == 5 or chance(needed - 0.05, pairs) > 0.9 * alpha


@pytest.mark.parametrize("bound", [-0.3, 0.0, 0.15, 0.6])
def test_the_evidence_against_a_bound_is_a_fair_game_at_the_bound(bound: float) -> None:
    values, rng = np.array([-1.0, 0.0, 1.0]), np.random.default_rng(0)
    low = rng.uniform(0, (1 - bound) / 2)
    shares = np.array([low, 1 - 2 * low - bound, low + bound]) if low + bound >= 0 else np.array([-bound, 1 + bound, 0])
    assert shares @ values == pytest.approx(bound) and shares.min() >= 0
    played = np.array(list(itertools.product(range(3), repeat=5)))
    weight = shares[played].prod(1)
    assert weight @ np.exp(bound_evidence(values[played], bound)[:, -1]) == pytest.approx(1.0)


def test_the_level_holds_although_somebody_looks_after_every_pair() -> None:
    rng = np.random.default_rng(1)
    equal = (rng.random((4000, 60)) < 0.6).astype(int) - (rng.random((4000, 60)) < 0.6)
    assert (sign_evidence(equal) >= needed_evidence(60, 0.05)).any(-1).mean() < 0.05
    better = (rng.random((4000, 60)) < 0.85).astype(int) - (rng.random((4000, 60)) < 0.5)
    assert (sign_evidence(better) >= needed_evidence(60, 0.05)).any(-1).mean() > 0.9
    assert (bound_evidence(better, 0.35).max(-1) >= np.log(20)).mean() < 0.05
    assert (bound_evidence(-better, 0.0).max(-1) >= np.log(20)).mean() > 0.5


def test_the_interval_narrows_on_the_truth_also_of_progress() -> None:
    rng = np.random.default_rng(2)
    assert interval(np.zeros(0), 0.05) == (-1.0, 1.0)
    progress = rng.uniform(-0.2, 0.6, 400)
    low, high = interval(progress, 0.05)
    assert low < 0.2 < high and high - low < 0.15
    few = interval(progress[:20], 0.05)
    assert few[1] - few[0] > high - low
