"""How much a ranking owes to the demonstrations that happened to be there: bootstrap, set stability, rank agreement.

Bootstrap: episodes are drawn with replacement; those drawn are the queries and, as often as they were drawn, the
memory. Score and rank of every head are computed anew from the same neighbours, at the score's k, over the same
baseline, equally resampled; what state and time leave open is not fitted anew. Intervals are percentiles around the
score; a gain has them by its correlation, widened for few episodes as Student's t is (the expanded percentile interval;
Hesterberg, The American Statistician 69, 2015). `bench_intervals.py` says how often they hold a known score.

Nogueira's S (Nogueira, Sechidis and Brown, JMLR 18, 2018) says how alike the sets of best heads are: 1 = the same set
every time, 0 = as alike as random sets of their size. Rank agreement is Spearman's, with a bootstrap over heads
(SciPy). Cost: 100 replicates of 20 episodes of 80 frames at 128 heads take about 4 s on two cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance.baselines import mean_errors
from steering.relevance.choice import best_heads
from steering.relevance.conditional import best_share
from steering.relevance.resampling import Sums, resampled
from steering.types import Neighbours, RankAgreement

CONFIDENCE = 0.95
MIN_EPISODES = 3


@dataclass(frozen=True)
class Resampled:
    """Scores of every head in every replicate, float32 [replicate, stack, layer, head]. Higher is better.

    correlation: of what each head tells with what state and time leave open, alike, and first of the demonstrations as
    they are, [1 + replicate, …]; None of scores over the mean. Near 0 a gain is its square, which has no normal spread.
    """

    score: np.ndarray
    inert: np.ndarray  # bool [stack, layer, head]
    episodes: int
    correlation: np.ndarray | None = None

    def intervals(self, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Low and high end of each head's score, float32 [stack, layer, head], NaN for inert heads.

        score: float [stack, layer, head], of the demonstrations as they are. A draw holds about two thirds of them, so
        it remembers less and scores lower: the percentiles are moved by the difference of their mean to `score`.
        """
        if self.correlation is None:
            low, high = _percentiles(self.score, self.inert)
            moved = (score - self.score.mean(0)).astype(np.float32)
            return low + moved, high + moved
        own, drawn = self.correlation[0], self.correlation[1:]
        wider = _widening(self.episodes)
        low, high = (own + wider * (end - drawn.mean(0)) for end in _percentiles(drawn, self.inert))
        moved = (score - own * np.abs(own)).astype(np.float32)
        return low * np.abs(low) + moved, high * np.abs(high) + moved

    def rank_intervals(self) -> tuple[np.ndarray, np.ndarray]:
        """Low and high end of each head's rank within its stack; 1 is the best. NaN for inert heads."""
        return _percentiles(ranks(self.score, self.inert), self.inert)

    def chosen(self, size: int) -> np.ndarray:
        """bool [replicate, stack, layer, head]: the heads among the best `size` of their stack, never inert ones."""
        sets = np.zeros(self.score.shape, bool)
        for replicate in range(len(sets)):
            for s in range(len(self.inert)):
                if not self.inert[s].all():
                    best = best_heads(-self.score[replicate, s], self.inert[s], size)
                    sets[replicate, s].ravel()[best] = True
        return sets


def bootstrap(
    neighbours: Neighbours,
    target: np.ndarray,
    k: Mapping[str, int],
    *,
    counted: np.ndarray,
    inert: np.ndarray,
    shared: bool = False,
    replicates: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> Resampled:
    """Scores at the k of each stack when the episodes are drawn anew with replacement.

    target: float [frame, dim]. k: stack -> neighbours. counted, inert: as in the score itself. shared: `target` is what
    state and time leave open, and predictions are shrunk by the share c that fits the other drawn episodes best, as in
    `conditional`; else the score is over the mean of the target.
    """
    episodes = len(np.unique(neighbours.episode))
    if episodes < MIN_EPISODES:
        raise InputError(f"Stability needs at least {MIN_EPISODES} episodes to draw from, got {episodes}.")
    if replicates < 2:
        raise InputError(f"Expected at least two bootstrap replicates, got {replicates}.")
    generator = np.random.default_rng(seed)
    counts = np.zeros((replicates, episodes), np.uint8)
    for row in counts:
        while np.count_nonzero(row) < 2:  # a draw of one episode only has no memory
            row[:] = np.bincount(generator.integers(0, episodes, episodes), minlength=episodes)
    ks = tuple(sorted(set(k.values())))

    def at_k(values: np.ndarray) -> np.ndarray:
        """float32 [replicate, stack, layer, head] of float [replicate, k, head], each stack at its own k."""
        wide = values.reshape(len(values), len(ks), *neighbours.grid)
        of_stack = [wide[:, ks.index(k[stack]) if stack in k else 0, s] for s, stack in enumerate(neighbours.stacks)]
        return np.stack(of_stack, axis=1).astype(np.float32)

    if shared:
        counts = np.concatenate([np.ones_like(counts[:1]), counts])
    sums = resampled(neighbours, target, ks, counts, counted, progress)
    times = counts[:, None, None].astype(np.float64)
    if shared:
        return Resampled(at_k(_gain(sums, times)[1:]), inert, episodes, at_k(_correlation(sums, times)))
    error = (sums.error * times).sum(3) / np.maximum((sums.frames * times).sum(3), 1)  # [replicate, k, head]
    score = 1 - error / _of_mean(neighbours, target, counts, counted)[:, None, None]
    return Resampled(at_k(score), inert, episodes)


def _gain(sums: Sums, times: np.ndarray) -> np.ndarray:
    """float64 [replicate, k, head]: the share of the target told. times: float64 [replicate, 1, 1, episode]."""
    product, square = sums.product * times, sums.square * times
    others = (one.sum(3, keepdims=True) - one for one in (product, square))
    share = best_share(*others)
    told: np.ndarray = (2 * share * product - share**2 * square).sum(3) / (sums.target * times).sum(3)
    return told


def _correlation(sums: Sums, times: np.ndarray) -> np.ndarray:
    """float64 [replicate, k, head], 0 where nothing is predicted: of predictions with the target, around 0."""
    product, square, target = ((one * times).sum(3) for one in (sums.product, sums.square, sums.target))
    size = np.sqrt(square * target)
    found: np.ndarray = product / np.where(size > 0, size, 1)
    return found


def _widening(episodes: int) -> float:
    """By how much the spread of a bootstrap over that many episodes is too small, with Student's t for the normal."""
    from scipy import stats

    upper = (1 + CONFIDENCE) / 2
    return float(np.sqrt(episodes / (episodes - 1)) * stats.t.ppf(upper, episodes - 1) / stats.norm.ppf(upper))


def nogueira(sets: np.ndarray) -> tuple[float, float, float]:
    """Nogueira's S of `sets`, bool [set, item], with its 95 % interval: (low, S, high). NaN where it is not defined.

    Theorem 5 of the paper gives the estimator, Theorem 7 its asymptotic variance. It is not defined where every set is
    empty or full.
    """
    chosen = sets.reshape(len(sets), -1).astype(np.float64)
    number, items = chosen.shape
    if number < 2:
        raise InputError(f"Stability needs at least two sets, got {number}.")
    share, mean_size = chosen.mean(0), chosen.sum(1).mean()
    spread = mean_size / items * (1 - mean_size / items)
    if spread == 0:
        return float("nan"), float("nan"), float("nan")
    stability = 1 - (number / (number - 1) * share * (1 - share)).mean() / spread
    sizes = chosen.sum(1)
    phi = (chosen * share).mean(1) - sizes * mean_size / items**2
    phi += stability / 2 * (2 * sizes * mean_size / items**2 - sizes / items - mean_size / items + 1)
    phi /= spread
    deviation = 1.959964 * np.sqrt(4 / number**2 * ((phi - phi.mean()) ** 2).sum())
    return float(stability - deviation), float(stability), float(min(stability + deviation, 1))


def rank_agreement(
    first: np.ndarray,
    second: np.ndarray,
    names: tuple[str, str],
    inert: np.ndarray | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> RankAgreement:
    """Spearman's ρ of two scores of the same heads, any shape, over the heads that are not inert."""
    from scipy import stats

    keep = np.ones(first.shape, bool) if inert is None else ~np.asarray(inert, bool)
    if first.shape != second.shape or keep.shape != first.shape:
        raise InputError(f"Expected two scores of the same heads, got {first.shape} and {second.shape}.")
    x, y = first[keep].astype(np.float64), second[keep].astype(np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        raise InputError(f"Rank agreement of {names[0]} and {names[1]} needs at least four heads of different scores.")

    def rho(i: np.ndarray, axis: int = -1) -> np.ndarray:
        a, b = stats.rankdata(x[i], axis=axis), stats.rankdata(y[i], axis=axis)
        a, b = a - a.mean(axis, keepdims=True), b - b.mean(axis, keepdims=True)
        scale = np.sqrt((a * a).sum(axis) * (b * b).sum(axis))
        return np.where(scale > 0, (a * b).sum(axis) / np.where(scale > 0, scale, 1), 0)

    interval = stats.bootstrap(
        (np.arange(len(x)),),
        rho,
        vectorized=True,
        n_resamples=replicates,
        method="percentile",
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    found = float(stats.spearmanr(x, y).statistic)
    return RankAgreement(names[0], names[1], len(x), found, float(interval.low), float(interval.high))


def ranks(score: np.ndarray, inert: np.ndarray) -> np.ndarray:
    """float32 [..., stack, layer, head]: rank of each head in its stack, 1 = the highest score, inert heads last."""
    flat = np.where(inert, -np.inf, score).reshape(*score.shape[:-2], -1)
    place = np.argsort(np.argsort(-flat, axis=-1, kind="stable"), axis=-1) + 1
    return place.reshape(score.shape).astype(np.float32)


def _of_mean(neighbours: Neighbours, target: np.ndarray, counts: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """float64 [replicate]: error of the mean, equally resampled."""
    place = np.unique(neighbours.episode, return_inverse=True)[1]
    result = np.empty(len(counts))
    for replicate, times in enumerate(counts):
        rows = np.repeat(np.arange(len(place)), times[place])
        drawn, frame, here = place[rows], neighbours.frame[rows], counted[rows]
        result[replicate] = mean_errors(target[rows], drawn, frame, here).sum() / here.sum() / target.shape[1]
    return result


def _percentiles(values: np.ndarray, inert: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.percentile(values, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)], axis=0)
    return np.where(inert, np.nan, low).astype(np.float32), np.where(inert, np.nan, high).astype(np.float32)
