"""Bootstrap, Nogueira's S and rank agreement against their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from steering.errors import InputError
from steering.relevance.scoring import prepare
from steering.relevance.stability import Resampled, bootstrap, nogueira, rank_agreement, ranks

K = {"vlm": 4, "expert": 6}


def arguments(a):
    return {"counted": np.ones(len(a.episode), bool), "inert": np.zeros((2, 3, 4), bool)}


def test_nogueira_is_one_for_equal_sets_and_near_zero_for_random_ones():
    one = np.zeros(144, bool)
    one[:20] = True
    low, stability, high = nogueira(np.tile(one, (10, 1)))
    assert low == stability == high == 1
    generator = np.random.default_rng(0)
    drawn = np.stack([generator.permutation(one) for _ in range(200)])
    low, stability, high = nogueira(drawn)
    assert low < 0 < high and abs(stability) < 0.01


def test_nogueira_equals_kuncheva_for_sets_of_one_size():
    """For sets of equal size S is the mean over pairs of (overlap − s²/d) / (s − s²/d) (their section 3.2)."""
    generator = np.random.default_rng(1)
    drawn = np.stack([generator.permutation(np.arange(30) < 7) for _ in range(12)])
    expected = 49 / 30
    pairs = [(np.sum(a & b) - expected) / (7 - expected) for a, b in itertools.combinations(drawn, 2)]
    assert nogueira(drawn)[1] == pytest.approx(np.mean(pairs))


def test_nogueiras_interval_covers_the_true_stability():
    generator = np.random.default_rng(2)
    share = np.repeat([0.9, 0.1], [10, 40])
    truth = 1 - (share * (1 - share)).mean() / (share.mean() * (1 - share.mean()))
    intervals = [nogueira(generator.random((40, 50)) < share) for _ in range(200)]
    covered = np.mean([low <= truth <= high for low, _, high in intervals])
    assert 0.88 < covered < 0.99


def test_stability_of_empty_sets_is_unknown_and_of_one_set_an_error():
    assert np.isnan(nogueira(np.zeros((3, 9), bool))).all()
    with pytest.raises(InputError, match="two sets"):
        nogueira(np.ones((1, 9), bool))


def test_ranks_count_from_one_within_each_stack():
    score = np.array([[[0.1, 0.9, 0.5]], [[0.3, 0.2, 0.9]]])
    inert = np.zeros((2, 1, 3), bool)
    inert[1, 0, 2] = True
    np.testing.assert_array_equal(ranks(score, inert), [[[3, 1, 2]], [[1, 2, 3]]])


def test_bootstrap_repeats_with_the_seed_and_brackets_the_score(build):
    a = build((12, 12, 12, 12, 12))
    neighbours = prepare(a)
    first = bootstrap(neighbours, a.action, K, replicates=40, seed=1, **arguments(a))
    again = bootstrap(neighbours, a.action, K, replicates=40, seed=1, **arguments(a))
    other = bootstrap(neighbours, a.action, K, replicates=40, seed=2, **arguments(a))
    np.testing.assert_array_equal(first.score, again.score)
    assert not np.allclose(first.score, other.score)
    low, high = first.rank_intervals()
    assert (low >= 1).all() and (high <= 12).all() and (low <= high).all()
    chosen = first.chosen(5)
    assert (chosen.sum((2, 3)) == 5).all()


def test_inert_heads_have_no_interval_and_are_never_chosen(build):
    a = build()
    given = arguments(a)
    given["inert"][0, 2] = True
    found = bootstrap(prepare(a), a.action, K, replicates=5, **given)
    for values in (*found.intervals(np.zeros((2, 3, 4))), *found.rank_intervals()):
        assert np.isnan(values[0, 2]).all() and np.isfinite(values[1]).all()
    assert not found.chosen(20)[:, 0, 2].any()


def test_rank_agreement_is_spearmans_with_an_interval():
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, 8, 8))
    y = x + generator.standard_normal(x.shape)
    inert = np.zeros(x.shape, bool)
    inert[0, 7] = True
    found = rank_agreement(x, y, ("knn", "ablation"), inert)
    assert found.rho == pytest.approx(stats.spearmanr(x[~inert], y[~inert]).statistic)
    assert found.low < found.rho < found.high and found.heads == 120
    assert rank_agreement(x, x, ("a", "a")).rho == pytest.approx(1)
    with pytest.raises(InputError, match="same heads"):
        rank_agreement(x, y[:1], ("a", "b"))
    with pytest.raises(InputError, match="different scores"):
        rank_agreement(x, np.ones_like(x), ("a", "b"))


def test_too_few_episodes_or_replicates_are_errors(build):
    two = build((20, 20))
    with pytest.raises(InputError, match="at least 3 episodes"):
        bootstrap(prepare(two), two.action, K, **arguments(two))


def test_a_gain_has_its_interval_by_its_correlation_widened_for_few_episodes() -> None:
    """Of 20 episodes √(20/19) t₁₉ / z = 1.0956 (tables of Student's t); the ends are squares with their sign."""
    drawn = np.linspace(-0.1, 0.1, 201)  # percentiles at ∓.095
    shape = (-1, 1, 1, 2)
    correlation = np.stack([0.3 + drawn, 0.02 + drawn], -1).reshape(shape)
    correlation = np.concatenate([np.array([0.5, 0.05]).reshape(shape), correlation]).astype(np.float32)
    found = Resampled(np.zeros((201, 1, 1, 2), np.float32), np.zeros((1, 1, 2), bool), 20, correlation)
    low, high = found.intervals(np.array([[[0.3, 0.01]]]))
    reach = 1.0956 * 0.095
    np.testing.assert_allclose(low[0, 0], [0.05 + (0.5 - reach) ** 2, 0.0075 - (0.05 - reach) ** 2], atol=1e-4)
    np.testing.assert_allclose(high[0, 0], [0.05 + (0.5 + reach) ** 2, 0.0075 + (0.05 + reach) ** 2], atol=1e-4)
