"""What the screen's cells say: each rule beside chance, and what of a random set predicts how well it trains.

Ratios are of held-out errors, on the logarithm, within a task, number of heads and seed, so that hard tasks weigh as
easy ones. Intervals: over (task × seed), and over tasks alone, which decides (`assets/evidence/plan.md`). Instant.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from steering.evidence.inference import holm
from steering.evidence.screen import ScreenCell, parse_cell

RANDOM = "random_"
FEWEST = 2
"""Units from which on there is an interval."""


@dataclass(frozen=True)
class Ratio:
    """A rule's held-out error over chance. low, high: 95 % over (task × seed); task_low, task_high: over task means.

    NaN where there are too few. p: two-sided t over task means; p_holm: corrected for the rules of this number of
    heads. time: training time over chance's. layer: mean layer of its heads. by_task: task -> ratio.
    """

    rule: str
    heads: int
    ratio: float
    low: float
    high: float
    task_low: float
    task_high: float
    p: float
    p_holm: float
    units: int
    time: float
    layer: float
    by_task: Mapping[str, float]


@dataclass(frozen=True)
class Predictor:
    """Spearman's ρ of something of random sets with their held-out error, mean over groups, and range.

    A group: the random sets of one task and number of heads, with at least four of them.
    """

    name: str
    rho: float
    low: float
    high: float
    groups: int


def read_screen(folder: Path) -> list[dict[str, Any]]:
    """Every cell of a folder, in the order of their files."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*/*/*.json"))]


def ratios(cells: Sequence[Mapping[str, Any]], heads: int) -> list[Ratio]:
    """Every rule with `heads` heads beside the random draws of the same task and seed, best first."""
    found = {cell: one for one in cells if (cell := parse_cell(one["cell"])).heads == heads}
    chance: dict[tuple[str, int], tuple[float, float]] = {}
    for place in {(cell.task, cell.seed) for cell in found}:
        drawn = [one for cell, one in found.items() if _place(cell) == place and cell.rule.startswith(RANDOM)]
        if drawn:
            chance[place] = (
                float(np.mean([np.log(one["after"]) for one in drawn])),
                float(np.mean([np.log(one["train_s"]) for one in drawn])),
            )
    rules: dict[str, list[tuple[ScreenCell, Mapping[str, Any]]]] = {}
    for cell, one in found.items():
        if not cell.rule.startswith(RANDOM) and _place(cell) in chance:
            rules.setdefault(cell.rule, []).append((cell, one))
    made = [_ratio(rule, heads, units, chance) for rule, units in rules.items()]
    known = {one.rule: one.p for one in made if np.isfinite(one.p)}
    corrected = holm(known)
    made = [Ratio(**{**vars(one), "p_holm": corrected.get(one.rule, float("nan"))}) for one in made]
    return sorted(made, key=lambda one: one.ratio)


def predictors(cells: Sequence[Mapping[str, Any]]) -> list[Predictor]:
    """What of a random set goes with its held-out error: its lowest layer, its mean layer, its mean relevance."""
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for one in cells:
        cell = parse_cell(one["cell"])
        if cell.rule.startswith(RANDOM):
            groups.setdefault((cell.task, cell.heads), []).append(one)
    measures = {
        "lowest layer": lambda one: min(layer for layer, _ in one["heads"]),
        "mean layer": lambda one: float(np.mean([layer for layer, _ in one["heads"]])),
        "mean relevance": lambda one: float(np.mean(one["relevance"])),
    }
    made = []
    for name, measure in measures.items():
        rhos = []
        for of_group in groups.values():
            values = [measure(one) for one in of_group]
            if len(values) >= 4 and len(set(values)) > 1:
                rhos.append(float(stats.spearmanr(values, [one["after"] for one in of_group]).statistic))
        if rhos:
            made.append(Predictor(name, float(np.mean(rhos)), min(rhos), max(rhos), len(rhos)))
    return made


def _ratio(
    rule: str,
    heads: int,
    units: Sequence[tuple[ScreenCell, Mapping[str, Any]]],
    chance: Mapping[tuple[str, int], tuple[float, float]],
) -> Ratio:
    of_task: dict[str, list[float]] = {}
    times = []
    for cell, one in units:
        error, seconds = chance[_place(cell)]
        of_task.setdefault(cell.task, []).append(float(np.log(one["after"])) - error)
        times.append(float(np.log(one["train_s"])) - seconds)
    each = [value for values in of_task.values() for value in values]
    means = [float(np.mean(values)) for values in of_task.values()]
    low, high = _interval(each)
    task_low, task_high = _interval(means)
    p = float(stats.ttest_1samp(means, 0).pvalue) if len(means) >= FEWEST and np.ptp(means) else float("nan")
    return Ratio(
        rule=rule,
        heads=heads,
        ratio=float(np.exp(np.mean(means))),
        low=low,
        high=high,
        task_low=task_low,
        task_high=task_high,
        p=p,
        p_holm=float("nan"),
        units=len(each),
        time=float(np.exp(np.mean(times))),
        layer=float(np.mean([layer for _, one in units for layer, _ in one["heads"]])),
        by_task={task: float(np.exp(np.mean(values))) for task, values in of_task.items()},
    )


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % t interval of the mean of logarithms, as ratios; NaN where there are too few."""
    if len(values) < FEWEST:
        return float("nan"), float("nan")
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.exp(np.mean(values) - half)), float(np.exp(np.mean(values) + half))


def _place(cell: ScreenCell) -> tuple[str, int]:
    return cell.task, cell.seed
