"""Bootstrap, Nogueira's S and rank agreement against their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cosine

from steering.errors import InputError
from steering.relevance import scoring, stability
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


def test_nogueiras_interval_has_the_jackknifes_width_where_sizes_differ():
    generator, number = np.random.default_rng(5), 60
    rate = generator.choice([0.1, 0.5], number)[:, None] * np.repeat([1.8, 0.6], [15, 25])
    sets = generator.random((number, 40)) < rate
    low, _, high = nogueira(sets)
    without = np.array([nogueira(np.delete(sets, one, 0))[1] for one in range(number)])
    jackknife = np.sqrt((number - 1) * without.var())
    assert (high - low) / 2 / 1.959964 == pytest.approx(jackknife, rel=0.03)


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


def test_nogueira_by_the_formulas_of_the_paper() -> None:
    """Theorems 5 and 7 in plain loops, for sets of unequal sizes."""
    sets_of = np.random.default_rng(3).random((6, 9)) < 0.4
    number, items = sets_of.shape
    share, size = sets_of.mean(0), sets_of.sum(1).mean()
    spread = size / items * (1 - size / items)
    s = 1 - np.mean([number / (number - 1) * p * (1 - p) for p in share]) / spread
    phi = []
    for one in sets_of.astype(float):
        k = one.sum()
        middle = s / 2 * (2 * k * size / items**2 - k / items - size / items + 1)
        phi.append(((one @ share) / items - k * size / items**2 + middle) / spread)
    deviation = 1.959964 * np.sqrt(4 / number**2 * np.sum((np.array(phi) - np.mean(phi)) ** 2))
    assert stability.nogueira(sets_of) == pytest.approx((s - deviation, s, min(s + deviation, 1)))
    alike = np.array([[1, 1, 0, 0]] * 5 + [[1, 1, 1, 0]], bool)
    low, s, high = stability.nogueira(alike)
    assert low < s < high == 1
    assert np.isnan(stability.nogueira(np.ones((2, 4), bool))).all()


def test_ranks_of_many_scores_are_those_of_each() -> None:
    scores = np.random.default_rng(0).random((5, 2, 3, 4))
    inert = np.zeros((2, 3, 4), bool)
    inert[0, 1] = True
    np.testing.assert_array_equal(stability.ranks(scores, inert), [stability.ranks(one, inert) for one in scores])


def test_chosen_heads_are_the_highest_movable_scores() -> None:
    score = np.array([[[[0.1, 0.4, 0.3, 0.2]], [[1.0, 2.0, 3.0, 4.0]]]] * 2)
    inert = np.array([[[False, False, False, False]], [[True] * 4]])
    found = stability.Resampled(score, inert, 5).chosen(2)
    np.testing.assert_array_equal(found, [[[[False, True, True, False]], [[False] * 4]]] * 2)


def test_intervals_over_the_mean_are_percentiles_moved_to_the_score() -> None:
    drawn = np.linspace(0, 1, 201)[:, None, None, None] + np.zeros((1, 1, 1, 2))
    found = stability.Resampled(drawn, np.array([[[False, True]]]), 5)
    low, high = found.intervals(np.array([[[0.7, 0.7]]]))
    np.testing.assert_allclose([low[0, 0, 0], high[0, 0, 0]], [0.225, 1.175], atol=1e-6)
    assert np.isnan(low[0, 0, 1]) and np.isnan(high[0, 0, 1]) and low.dtype == np.float32


def test_rank_agreement_at_its_boundaries() -> None:
    x = np.array([[1.0, 2, 3, 4]])
    found = stability.rank_agreement(x, np.array([[1.0, 2, 4, 3]]), ("a", "b"), replicates=50)
    assert found.heads == 4 and found.rho == pytest.approx(0.8)
    again = stability.rank_agreement(x, np.array([[1.0, 2, 4, 3]]), ("a", "b"), replicates=50, seed=0)
    assert (again.low, again.high) == (found.low, found.high)
    for first, second in (
        (x[:, :3], x[:, 1:]),
        (x, np.ones((1, 4))),
        (np.ones((1, 4)), x),
        (x, x * [[1, 1, 1, np.nan]]),
    ):
        with pytest.raises(InputError, match="different scores"):
            stability.rank_agreement(first, second, ("a", "b"))
    with pytest.raises(InputError, match="same heads"):
        stability.rank_agreement(x, x, ("a", "b"), np.zeros((1, 3), bool))
    mixed = np.array([[1.0, np.nan, 2, 5, 9, np.inf]])
    found = stability.rank_agreement(mixed, np.array([[4.0, 1, 3, 2, 1, 0]]), ("a", "b"), replicates=20)
    assert found.heads == 4 and found.rho == pytest.approx(-1)


def test_an_interval_of_a_rank_agreement_resamples_heads() -> None:
    """By a plain loop: ρ of the ranks of each draw, ties at their mean rank, 0 where a draw does not vary."""
    from scipy import stats

    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5])
    found = stability.rank_agreement(x, y, ("a", "b"), replicates=400, seed=3)
    draws = np.random.default_rng(3).integers(0, 5, (400, 5))
    rho = []
    for rows in draws:
        varies = np.ptp(x[rows]) > 0
        rho.append(stats.spearmanr(x[rows], y[rows]).statistic if varies else 0)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(rho, [2.5, 97.5])), abs=1e-9)


def test_a_bootstrap_needs_three_episodes_and_two_draws(build) -> None:
    a = build((5, 6, 7))
    given = {"counted": np.ones(18, bool), "inert": np.zeros((2, 3, 4), bool)}
    found = stability.bootstrap(scoring.prepare(a, 6), a.action, {"vlm": 2, "expert": 3}, replicates=2, **given)
    assert found.score.shape == (2, 2, 3, 4) and found.episodes == 3 and found.correlation is None
    with pytest.raises(InputError, match="two bootstrap replicates"):
        stability.bootstrap(scoring.prepare(a, 6), a.action, {"vlm": 2}, replicates=1, **given)


def test_a_bootstrap_over_the_mean_by_hand(build) -> None:
    """Both stacks at their own k; episodes drawn as memory and as queries, over the mean of what was drawn."""
    a = build((5, 6, 4, 5))
    counted = np.ones(20, bool)
    counted[::4] = False
    given = {"counted": counted, "inert": np.zeros((2, 3, 4), bool), "replicates": 3, "seed": 7}
    found = stability.bootstrap(scoring.prepare(a, 40), a.action, {"vlm": 3, "expert": 2}, **given)
    generator, draws = np.random.default_rng(7), []
    for _ in range(3):
        times = np.zeros(4, int)
        while np.count_nonzero(times) < 2:
            times = np.bincount(generator.integers(0, 4, 4), minlength=4)
        draws.append(times)
    y = a.action.astype(float)
    for r, times in enumerate(draws):
        for s, k in enumerate((3, 2)):
            x = a.outputs[:, s, 1, 2].astype(float)
            told, zero = 0.0, 0.0
            for q in np.flatnonzero(counted):
                memory = [
                    row for row in range(20) for _ in range(times[a.episode[row]]) if a.episode[row] != a.episode[q]
                ]
                near = sorted(memory, key=lambda row: cosine(x[row], x[q]))[:k]
                weight = [1 / (cosine(x[row], x[q]) + 1e-8) for row in near]
                told += times[a.episode[q]] * ((np.average(y[near], axis=0, weights=weight) - y[q]) ** 2).mean()
                mean = y[[row for row in memory if counted[row]]].mean(0)
                zero += times[a.episode[q]] * ((mean - y[q]) ** 2).mean()
            assert found.score[r, s, 1, 2] == pytest.approx(1 - told / zero, abs=1e-4)
