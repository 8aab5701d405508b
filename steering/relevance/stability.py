"""How much a ranking owes to the demonstrations that happened to be there: bootstrap, set stability, rank agreement.

Bootstrap: episodes are drawn with replacement; those drawn are the queries and, as often as they were drawn, the
memory. Score and rank of every head are computed anew from the same neighbours, over the same baseline, equally
resampled. Intervals are percentiles. Nogueira's S (Nogueira, Sechidis and Brown, JMLR 18, 2018) says how alike the sets
of best heads are: 1 = the same set every time, 0 = as alike as random sets of their size. Rank agreement is Spearman's,
with a bootstrap over heads (SciPy).
Cost: 100 replicates of 20 episodes of 80 frames at 128 heads take
about 4 s on two cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance.baselines import MEAN, contenders, mean_errors
from steering.relevance.choice import best_heads
from steering.relevance.resampling import resampled_errors
from steering.types import Neighbours, RankAgreement

CONFIDENCE = 0.95
MIN_EPISODES = 3


@dataclass(frozen=True)
class Resampled:
    """Scores of every head in every replicate, float32 [replicate, stack, layer, head]. Higher is better."""

    score: np.ndarray
    inert: np.ndarray  # bool [stack, layer, head]

    def intervals(self) -> tuple[np.ndarray, np.ndarray]:
        """Low and high end of each head's score, float32 [stack, layer, head], NaN for inert heads."""
        return _percentiles(self.score, self.inert)

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
    zero: str,
    counted: np.ndarray,
    inert: np.ndarray,
    replicates: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> Resampled:
    """Scores at the k of each stack when the episodes are drawn anew with replacement.

    target: float [frame, dim]. k: stack -> neighbours. zero, counted, inert: as in the score itself.
    """
    episodes = _enough(neighbours)
    if replicates < 2:
        raise InputError(f"Expected at least two bootstrap replicates, got {replicates}.")
    generator = np.random.default_rng(seed)
    counts = np.zeros((replicates, episodes), np.uint8)
    for row in counts:
        while np.count_nonzero(row) < 2:  # a draw of one episode only has no memory
            row[:] = np.bincount(generator.integers(0, episodes, episodes), minlength=episodes)
    return _resampled(neighbours, target, k, counts, zero, counted, inert, progress or Progress())


def subsets(
    neighbours: Neighbours,
    target: np.ndarray,
    k: Mapping[str, int],
    count: int,
    *,
    zero: str,
    counted: np.ndarray,
    inert: np.ndarray,
    replicates: int = 50,
    seed: int = 0,
    progress: Progress | None = None,
) -> Resampled:
    """Scores from `count` of the episodes, drawn without replacement: what fewer demonstrations would have said."""
    episodes = _enough(neighbours)
    if not 2 <= count <= episodes:
        raise InputError(f"Expected 2 to {episodes} episodes to draw, got {count}.")
    generator = np.random.default_rng(seed)
    counts = np.zeros((replicates, episodes), np.uint8)
    for row in counts:
        row[generator.permutation(episodes)[:count]] = 1
    return _resampled(neighbours, target, k, counts, zero, counted, inert, progress or Progress())


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


def _resampled(
    neighbours: Neighbours,
    target: np.ndarray,
    k: Mapping[str, int],
    counts: np.ndarray,
    zero: str,
    counted: np.ndarray,
    inert: np.ndarray,
    progress: Progress,
) -> Resampled:
    ks = tuple(sorted(set(k.values())))
    heads = int(np.prod(neighbours.grid))
    sums, number = resampled_errors(neighbours, target, ks, counts, counted, progress)
    times = counts[:, None, None].astype(np.float64)
    error = (sums * times).sum(3) / np.maximum((number * times).sum(3), 1)  # [replicate, k, unit]
    at_zero = _zero(neighbours, target, counts, error, zero, counted)
    score = 1 - error[:, :, :heads] / at_zero[:, None, None]
    score = score.reshape(len(counts), len(ks), *neighbours.grid)
    chosen = [score[:, ks.index(k[stack]) if stack in k else 0, s] for s, stack in enumerate(neighbours.stacks)]
    return Resampled(np.stack(chosen, axis=1).astype(np.float32), inert)


def _zero(
    neighbours: Neighbours, target: np.ndarray, counts: np.ndarray, error: np.ndarray, zero: str, counted: np.ndarray
) -> np.ndarray:
    """float64 [replicate]: error of the baseline, equally resampled."""
    if zero != MEAN:
        heads = int(np.prod(neighbours.grid))
        return error[:, :, heads + np.array(contenders(zero, neighbours.baselines))].min((1, 2))
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


def _enough(neighbours: Neighbours) -> int:
    episodes = len(np.unique(neighbours.episode))
    if episodes < MIN_EPISODES:
        raise InputError(f"Stability needs at least {MIN_EPISODES} episodes to draw from, got {episodes}.")
    return episodes
