"""Success rates with the Wilson score interval (Wilson, 1927; two-sided, 95 %), by SciPy. Instant."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.stats import binomtest

from steering.errors import InputError
from steering.types import SuccessRate

CONFIDENCE = 0.95


@cache  # SciPy works out a p-value first, which costs far more than the interval
def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Lower and upper end of the Wilson interval of a success rate, both in 0..1."""
    if not (trials >= 1 and 0 <= successes <= trials):
        raise InputError(f"Expected 0 ≤ successes ≤ trials and at least one trial, got {successes} of {trials}.")
    interval = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def success_rate(method: str, success: np.ndarray) -> SuccessRate:
    """The success rate of `method` over its rollouts. success: bool [episode]."""
    successes, trials = int(np.count_nonzero(success)), len(success)
    return SuccessRate(method, successes, trials, *wilson(successes, trials))
