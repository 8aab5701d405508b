"""Results of the grid's cells, by method, condition and training seed; what the tables and figures read. Milliseconds.

Cells of several training seeds are pooled: every (scene, seed) is one trial of a rate, and pairs are formed within a
seed. Runs in one scene are not independent, so pooled intervals are a little narrow; tests flip whole scenes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steering.comparison.intervals import success_rate
from steering.comparison.paired import paired_runs
from steering.evidence.cell_files import read_results_in
from steering.evidence.grid import parse_cell
from steering.types import PairedTest, SuccessRate

Condition = tuple[str, str, tuple[str, ...]]
"""(task trained on, task run, variations)."""


class Results:
    """Results of a folder of cells, by method (with what differs, e.g. `lora@heads=5`), condition and seed."""

    def __init__(self, cells: Sequence[Mapping[str, Any]]) -> None:
        self.cells = list(cells)
        self._outcomes: dict[tuple[str, Condition], dict[int, np.ndarray]] = {}
        self._details: dict[tuple[str, Condition], list[Mapping[str, Any]]] = {}
        for cell in self.cells:
            made = parse_cell(cell["cell"])
            for one in cell["conditions"]:
                key = made.variant, (made.task, one["task"], tuple(one["variations"]))
                won = np.array([bit == "1" for bit in one["success"]])
                self._outcomes.setdefault(key, {})[made.seed] = won
                self._details.setdefault(key, []).append(one)

    def rate(self, method: str, condition: Condition) -> SuccessRate | None:
        """Success pooled over seeds, None where nothing was run."""
        found = self._outcomes.get((method, condition))
        return success_rate(method, np.concatenate([found[seed] for seed in sorted(found)])) if found else None

    def by_seed(self, method: str, condition: Condition) -> tuple[float, ...]:
        """Success rate of every training seed, in order."""
        found = self._outcomes.get((method, condition), {})
        return tuple(float(found[seed].mean()) for seed in sorted(found))

    def test(self, first: str, second: str, condition: Condition) -> PairedTest | None:
        """Exact test over the scenes, runs of the same seed paired; zero-shot, which has no seed, with each."""
        one, two = (self._outcomes.get((method, condition), {}) for method in (first, second))
        if first == "zero_shot" and one:
            one = dict.fromkeys(two, next(iter(one.values())))
        seeds = [s for s in sorted(set(one) & set(two)) if len(one[s]) == len(two[s])]
        if not seeds:
            return None
        return paired_runs(first, np.stack([one[s] for s in seeds]), second, np.stack([two[s] for s in seeds]))

    def details(self, method: str, condition: Condition) -> list[Mapping[str, Any]]:
        """Every run of a condition: failures, distances, steps."""
        return self._details.get((method, condition), [])

    def cost(self, method: str) -> dict[str, float] | None:
        """Median cost of the method's cells at the grid's own settings: cells share a machine, and one may wait."""
        costs = self._costs(method).values()
        names = ("extraction_s", "selection_s", "train_s", "trainable_parameters", "peak_memory_mb")
        return {name: float(np.median([cost[name] for cost in costs])) for name in names} if costs else None

    def seconds_ratio(self, method: str, baseline: str, names: Sequence[str]) -> tuple[float, float, float] | None:
        """Median, first and third quartile of the seconds of `names` over the baseline's, task and seed alike."""
        one, two = self._costs(method), self._costs(baseline)
        ratios = [sum(one[key][n] for n in names) / sum(two[key][n] for n in names) for key in one.keys() & two.keys()]
        if not ratios:
            return None
        low, middle, high = np.percentile(ratios, (25, 50, 75))
        return float(middle), float(low), float(high)

    def _costs(self, method: str) -> dict[tuple[str, int], Mapping[str, Any]]:
        made = [(parse_cell(cell["cell"]), cell["cost"]) for cell in self.cells]
        return {(cell.task, cell.seed): cost for cell, cost in made if cell.variant == method}


def read_results(folder: Path) -> Results:
    """The results that `steering.evidence.engine` wrote."""
    return Results(read_results_in(folder))
