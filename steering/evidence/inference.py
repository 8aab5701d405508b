"""Tests and power of the trial: one difference a training seed, by the plan in `assets/evidence/plan.md`.

The unit is the training seed, whose scenes are averaged first. Power and level are computed from the noncentral t
distribution and by simulation, before anything is run. Instant; `equivalence_power` draws 100 000 experiments in 0.1 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from steering.errors import InputError

ALPHA = 0.05
MARGIN = 0.10
"""Success rates closer than this are called equal."""
NOT_NORMAL = 0.01
"""Below this p of Shapiro and Wilk's test, Wilcoxon's signed-rank test decides instead of the t test."""
FEWEST = 3
ROUNDING = 1e-9
"""Rates that differ by less are the same."""


@dataclass(frozen=True)
class Contrast:
    """A difference over training seeds. low, high: 95 % t interval. p: of no difference, two-sided; test: its name.

    p_equal: of a true difference of at least MARGIN (TOST: Schuirmann 1987). spread: standard deviation over seeds.
    """

    difference: float
    low: float
    high: float
    p: float
    p_equal: float
    test: str
    seeds: int
    spread: float


def contrast(differences: Sequence[float] | np.ndarray, margin: float = MARGIN) -> Contrast:
    """Test of the mean of `differences`, one per training seed, in success rate. Raises InputError below 3 seeds."""
    values = np.asarray(differences, float)
    count = len(values)
    if count < FEWEST:
        raise InputError(f"Expected differences of at least {FEWEST} training seeds; got {count}. Run more seeds.")
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    error = spread / np.sqrt(count)
    half = float(stats.t.ppf(1 - ALPHA / 2, count - 1) * error)
    if np.ptp(values) < ROUNDING:
        p, p_equal, test = float(abs(mean) < ROUNDING), float(abs(mean) >= margin), "no spread"
        return Contrast(mean, mean, mean, p, p_equal, test, count, 0.0)
    p_equal = float(
        max(stats.t.sf((mean + margin) / error, count - 1), stats.t.cdf((mean - margin) / error, count - 1))
    )
    if stats.shapiro(values).pvalue < NOT_NORMAL:
        p, test = float(stats.wilcoxon(values).pvalue), "Wilcoxon"
    else:
        p, test = float(stats.ttest_1samp(values, 0).pvalue), "paired t"
    return Contrast(mean, mean - half, mean + half, p, p_equal, test, count, spread)


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """p-values corrected for their number (Holm 1979), by the same names."""
    found, highest = {}, 0.0
    for i, (name, one) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, (len(p) - i) * one))
        found[name] = highest
    return {name: found[name] for name in p}


def power(difference: float, spread: float, seeds: int, alpha: float = ALPHA) -> float:
    """Chance that a two-sided paired t test over `seeds` finds a true `difference`; spread: of differences."""
    freedom, shift = seeds - 1, difference / (spread / np.sqrt(seeds))
    edge = stats.t.ppf(1 - alpha / 2, freedom)
    right, wrong = stats.nct.sf(edge, freedom, abs(shift)), stats.nct.cdf(-edge, freedom, abs(shift))
    return float(np.nan_to_num(right, nan=1.0) + np.nan_to_num(wrong, nan=0.0))  # scipy: NaN far out in a tail


def equivalence_power(
    spread: float, seeds: int, difference: float = 0.0, margin: float = MARGIN, experiments: int = 100_000
) -> float:
    """Chance that TOST calls a true `difference` equal, by simulation with a fixed seed."""
    generator = np.random.default_rng(0)
    mean = difference + generator.standard_normal(experiments) * spread / np.sqrt(seeds)
    error = spread * np.sqrt(generator.chisquare(seeds - 1, experiments) / (seeds - 1) / seeds)
    return float((np.abs(mean) + stats.t.ppf(1 - ALPHA, seeds - 1) * error < margin).mean())
