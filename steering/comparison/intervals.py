"""Success rates with the Wilson score interval (Wilson, 1927; two-sided, 95 %). Instant, and without SciPy."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

import numpy as np

from steering.errors import InputError
from steering.types import SuccessRate

CONFIDENCE = 0.95
EDGE = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Lower and upper end of the Wilson interval of a success rate, both in 0..1."""
    if not (trials >= 1 and 0 <= successes <= trials):
        raise InputError(f"Expected 0 ≤ successes ≤ trials and at least one trial, got {successes} of {trials}.")
    rate, whole = successes / trials, 1 + EDGE**2 / trials
    centre = (rate + EDGE**2 / (2 * trials)) / whole
    half = EDGE / whole * sqrt(rate * (1 - rate) / trials + (EDGE / (2 * trials)) ** 2)
    return centre - half if successes else 0.0, centre + half if successes < trials else 1.0


def success_rate(method: str, success: np.ndarray) -> SuccessRate:
    """The success rate of `method` over its rollouts. success: bool [episode]."""
    successes, trials = int(np.count_nonzero(success)), len(success)
    return SuccessRate(method, successes, trials, *wilson(successes, trials))
