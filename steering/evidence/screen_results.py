"""What the screen's cells say: each rule beside chance or another rule, and what of a random set predicts its training.

Ratios are of held-out errors, on the logarithm, within a task, number of heads and seed, so that hard tasks weigh as
easy ones. A ratio is formed over the units (task, seed) that both sides have, and says how many. Intervals: over units,
and over tasks alone, which decides (`assets/evidence/plan.md`). Instant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from steering.evidence.cell_files import Result
from steering.evidence.grid import TASKS
from steering.evidence.inference import holm
from steering.evidence.screen import COUNTS, SEEDS, ScreenCell, parse_cell
from steering.evidence.screen_rules import CEILING, RULES

CHANCE = "random"
"""The geometric mean of a unit's random draws, as a side of a ratio."""
DRAW = "random_"
FEWEST = 2
"""Units from which on there is an interval."""
UNITS = len(TASKS) * len(SEEDS)
"""Units of a finished rule at a number of heads that all tasks are asked of."""

TIE = 0.02
"""Ratios that differ by less are the same to the choice of the best rule."""

Unit = tuple[str, int]
"""(task, seed)."""


@dataclass(frozen=True)
class Side:
    """A rule in a unit. error, cpu_s: natural logarithms; of chance, means over its draws. layer: mean of its heads."""

    error: float
    cpu_s: float
    layer: float


@dataclass(frozen=True)
class Ratio:
    """A rule's held-out error over another side's. low, high: 95 % over units; task_low, task_high: over task means.

    NaN where there are too few. p: two-sided t over task means; p_holm: corrected for all rules that the plan compares.
    time: processor time of training over the other side's. layer: mean layer of its heads. by_task: task -> ratio.
    """

    rule: str
    heads: int
    beside: str
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

    @property
    def found(self) -> str:
        """`better` or `worse` where the plan lets it be said: every unit is there and p after Holm below .05."""
        if self.units < UNITS or not self.p_holm < 0.05:
            return ""
        return "better" if self.ratio < 1 else "worse"


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


def ratios(cells: Sequence[Result], heads: int, beside: str = CHANCE) -> list[Ratio]:
    """Every rule with `heads` heads beside chance, or beside a rule of RULES, lowest first."""
    sides = _sides(cells, heads)
    others = [name for name in sides if name != beside]
    made = [one for name in others if (one := _ratio(name, heads, beside, sides[name], sides.get(beside, {})))]
    planned = {name: 1.0 for name in compared() if name != beside}  # what is not there yet counts as one of the tests
    corrected = holm(planned | {one.rule: one.p for one in made if np.isfinite(one.p)})
    found = [replace(one, p_holm=corrected[one.rule] if np.isfinite(one.p) else float("nan")) for one in made]
    return sorted(found, key=lambda one: one.ratio)


def compared() -> list[str]:
    """The rules that the plan compares, draws of chance and the ceiling left out."""
    return [name for name in RULES if not name.startswith(DRAW) and name != CEILING]


def best_rules(cells: Sequence[Result]) -> tuple[str, ...]:
    """The rules by their mean ratio beside chance at all of COUNTS, lowest first; none while one lacks a unit.

    Of those that lie within TIE of the lowest, the one whose trainings are shorter comes first.
    """
    found: dict[str, list[Ratio]] = {}
    for heads in COUNTS:
        for one in ratios(cells, heads):
            if one.units == UNITS:
                found.setdefault(one.rule, []).append(one)
    if any(len(found.get(name, ())) < len(COUNTS) for name in compared()):
        return ()
    left = {name: (_means(of, "ratio"), _means(of, "time")) for name, of in found.items()}
    order = []
    while left:
        lowest = min(ratio for ratio, _ in left.values())
        tied = [name for name, (ratio, _) in left.items() if ratio <= lowest + TIE]
        order.append(min(tied, key=lambda name: left[name][1]))
        del left[order[-1]]
    return tuple(order)


def draws(cells: Sequence[Result], heads: int) -> dict[Unit, int]:
    """How many random draws every unit has."""
    found: dict[Unit, int] = {}
    for cell in (parse_cell(one["cell"]) for one in cells):
        if cell.heads == heads and cell.rule.startswith(DRAW):
            found[_unit(cell)] = found.get(_unit(cell), 0) + 1
    return found


def predictors(cells: Sequence[Result]) -> list[Predictor]:
    """What of a random set goes with its held-out error: its lowest layer, its mean layer, its mean relevance."""
    groups: dict[tuple[str, int], list[Result]] = {}
    for one in cells:
        cell = parse_cell(one["cell"])
        if cell.rule.startswith(DRAW):
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


def _sides(cells: Sequence[Result], heads: int) -> dict[str, dict[Unit, Side]]:
    """Rule, or CHANCE -> unit -> what it reached."""
    every: dict[str, dict[Unit, list[Side]]] = {}
    for one in cells:
        cell = parse_cell(one["cell"])
        if cell.heads == heads and cell.rule != CEILING:
            name = CHANCE if cell.rule.startswith(DRAW) else cell.rule
            layer = float(np.mean([layer for layer, _ in one["heads"]]))
            side = Side(float(np.log(one["after"])), float(np.log(one["train_cpu_s"])), layer)
            every.setdefault(name, {}).setdefault(_unit(cell), []).append(side)
    return {name: {unit: _mean(found) for unit, found in units.items()} for name, units in every.items()}


def _means(found: Sequence[Ratio], name: str) -> float:
    return float(np.exp(np.mean([np.log(getattr(one, name)) for one in found])))


def _mean(sides: Sequence[Side]) -> Side:
    return Side(*(float(np.mean(values)) for values in zip(*((s.error, s.cpu_s, s.layer) for s in sides), strict=True)))


def _ratio(rule: str, heads: int, beside: str, first: Mapping[Unit, Side], second: Mapping[Unit, Side]) -> Ratio | None:
    """None where the two have no unit in common."""
    both = [unit for unit in first if unit in second]
    if not both:
        return None
    of_task: dict[str, list[float]] = {}
    for unit in both:
        of_task.setdefault(unit[0], []).append(first[unit].error - second[unit].error)
    means = [float(np.mean(values)) for values in of_task.values()]
    low, high = _interval([value for values in of_task.values() for value in values])
    task_low, task_high = _interval(means)
    return Ratio(
        rule=rule,
        heads=heads,
        beside=beside,
        ratio=float(np.exp(np.mean(means))),
        low=low,
        high=high,
        task_low=task_low,
        task_high=task_high,
        p=float(stats.ttest_1samp(means, 0).pvalue) if len(means) >= FEWEST and np.ptp(means) else float("nan"),
        p_holm=float("nan"),
        units=len(both),
        time=float(np.exp(np.mean([first[unit].cpu_s - second[unit].cpu_s for unit in both]))),
        layer=float(np.mean([first[unit].layer for unit in both])),
        by_task={task: float(np.exp(np.mean(values))) for task, values in of_task.items()},
    )


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % t interval of the mean of logarithms, as ratios; NaN where there are too few."""
    if len(values) < FEWEST:
        return float("nan"), float("nan")
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.exp(np.mean(values) - half)), float(np.exp(np.mean(values) + half))


def _unit(cell: ScreenCell) -> Unit:
    return cell.task, cell.seed
