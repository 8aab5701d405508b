"""Tests and intervals that hold at every look, so that trials may stop when they have shown enough. NumPy alone.

`sign_evidence` is a paired sign test: under equal methods each pair whose outcomes differ is a fair coin, and the
beta-binomial mixture over other coins is a test martingale, whose chance of ever reaching 1 / alpha is at most alpha
(Ville, 1939; Robbins, 1970). A plan ends, so the chance of reaching a value by then is computed exactly (`chance`), and
less evidence is needed (`needed_evidence`: 9.3 for alpha .05 and 40 pairs, not 20). Its fixed-size counterpart is
McNemar's exact test. `bound_evidence` tests by betting that a mean of values in [-1, 1] lies beyond a bound
(Waudby-Smith and Ramdas, arXiv 2010.09686): of success, differences are -1, 0 or 1; of partial progress, anything
between. Inverted it gives `interval`. Level and power beside McNemar: `tests/benchmarks/bench_trials.py`. The field's
references are arXiv 2503.10966 and arXiv 2603.13616.
"""

from __future__ import annotations

from functools import cache

import numpy as np

PRIOR = 1.0
"""Of the beta mixture, the same on both sides: every coin is as likely. Larger values stop later (bench_trials.py)."""
_BETS = np.geomspace(0.02, 0.98, 16)
"""Shares of the largest bet that cannot be ruined; the evidence is their mean."""


def sign_evidence(differences: np.ndarray) -> np.ndarray:
    """Log e-value after each pair, float64 [..., pair], of `differences` [..., pair], whose signs count, 0 for a tie.

    Of "neither method wins a pair that differs more often than the other".
    """
    return _evidence(np.cumsum(differences > 0, axis=-1), np.cumsum(differences < 0, axis=-1))


def _evidence(wins: np.ndarray, losses: np.ndarray) -> np.ndarray:
    from scipy.special import betaln  # not before a page asks

    return betaln(PRIOR + wins, PRIOR + losses) - betaln(PRIOR, PRIOR) + (wins + losses) * np.log(2)


@cache
def chance(evidence: float, pairs: int) -> float:
    """The chance that equal methods reach this log e-value at some look within so many pairs: the p-value of a plan.

    Exact where all pairs differ; where fewer do, it is smaller.
    """
    reached, waiting = 0.0, np.ones(1)
    for tossed in range(1, pairs + 1):
        waiting = (np.append(waiting, 0.0) + np.append(0.0, waiting)) / 2  # [win]
        here = _table(pairs)[tossed, : tossed + 1] >= evidence - 1e-9
        reached += float(waiting[here].sum())
        waiting[here] = 0.0
    return min(reached, 1.0)


@cache
def needed_evidence(pairs: int, alpha: float) -> float:
    """The least log e-value that equal methods reach within so many pairs with a chance of at most alpha."""
    low, high = 0.0, float(np.log(1 / alpha))
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (low, middle) if chance(middle, pairs) <= alpha else (middle, high)
    return high


@cache
def _table(pairs: int) -> np.ndarray:
    """Log e-values [tossed, win], -inf where there are more wins than tosses."""
    wins, tossed = np.arange(pairs + 1), np.arange(pairs + 1)[:, None]
    possible = wins <= tossed
    return np.where(possible, _evidence(wins, np.where(possible, tossed - wins, 0)), -np.inf)


def bound_evidence(differences: np.ndarray, bound: float) -> np.ndarray:
    """Log e-value after each pair, float64 [..., pair], of "the mean difference is `bound` or more"; values in [-1, 1].

    For "-bound or less" give the differences with their signs changed.
    """
    mean, value = (bound + 1) / 2, (differences + 1) / 2
    bets = (_BETS / (1 - mean)).reshape(-1, *(1,) * differences.ndim)
    grown = np.cumsum(np.log1p(bets * (mean - value)), axis=-1)
    return np.logaddexp.reduce(grown, axis=0) - np.log(len(_BETS))  # SciPy's logsumexp takes ten times as long


def interval(differences: np.ndarray, alpha: float) -> tuple[float, float]:
    """Lower and upper end of the mean difference, which hold at every look with a chance of 1 - alpha.

    differences: [pair], in [-1, 1], in the order of the trials.
    """
    if not len(differences):
        return -1.0, 1.0
    limit = float(np.log(2 / alpha))
    return -_highest(-differences, limit), _highest(differences, limit)


def _highest(differences: np.ndarray, limit: float) -> float:
    """The least bound that the mean is shown to lie below; the evidence rises with the bound."""
    low, high = -1.0, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        shown = bound_evidence(differences, middle).max() >= limit
        low, high = (low, middle) if shown else (middle, high)
    return high
