"""The figures of the model card: closed-loop success with Wilson intervals, each cell measured once and kept.

A full run of 100 trials a cell takes about 25 minutes on two cores; it resumes cell by cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from scipy.stats import binomtest

from steering.demonstrations.recording import record
from steering.errors import unknown_name
from steering.finetune.training import finetune
from steering.models.loading import load_policy
from steering.models.policy import SteerablePolicy
from steering.pretraining.evaluate import bench_success, both_black, exterior_black, family_success
from steering.progress import Progress
from steering.rollout.calls import ObservationFilter
from steering.simulation.families import FAMILIES
from steering.simulation.tasks import BENCH_TASKS, TASKS
from steering.types import FinetuneSettings

ADAPTATION = FinetuneSettings(steps=400, rank=16)
"""All-heads LoRA on 20 demonstrations, the measure of adaptability."""

Cell = Callable[[SteerablePolicy, str, int, Path], int]
"""Successes of (policy, its source, trials, folder for adapters)."""


def _adapted(task: str) -> Cell:
    def successes(policy: SteerablePolicy, source: str, trials: int, out: Path) -> int:
        folder = out / "adapters" / task
        finetune(policy, record(task, 20, 0), "lora", ADAPTATION, None, folder)
        adapted = load_policy(source, adapter=folder)
        return bench_success(adapted, task, trials)

    return successes


def _family(family: str, see: ObservationFilter | None = None, other_colour: bool = False) -> Cell:
    return lambda policy, source, trials, out: family_success(policy, family, trials, see, other_colour)


def _zero_shot(task: str) -> Cell:
    return lambda policy, source, trials, out: bench_success(policy, task, trials)


def _cells() -> dict[str, dict[str, Cell]]:
    return {
        "families": {f: _family(f) for f in FAMILIES},
        "exterior_black": {f: _family(f, see=exterior_black) for f in FAMILIES},
        "both_black": {f: _family(f, see=both_black) for f in FAMILIES},
        "other_colour": {f: _family(f, other_colour=True) for f in FAMILIES},
        "bench_zero_shot": {t: _zero_shot(t) for t in TASKS},
        "bench_adapted": {t: _adapted(t) for t in BENCH_TASKS},
    }


FIGURES = tuple(_cells())


def measure(source: str, out: Path, trials: int, groups: Sequence[str], progress: Progress) -> None:
    """Measure the cells of `groups` that `out`/figures.json does not hold yet, and write it after each."""
    cells, policy = _cells(), load_policy(source)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "figures.json"
    figures = json.loads(path.read_text()) if path.exists() else {}
    for group in groups:
        if group not in cells:
            raise unknown_name("group of figures", group, cells)
        for name, cell in cells[group].items():
            if name in figures.setdefault(group, {}):
                continue
            successes = cell(policy, source, trials, out)
            interval = binomtest(successes, trials).proportion_ci(method="wilson")
            figures[group][name] = {
                "successes": successes,
                "trials": trials,
                "low": round(interval.low, 4),
                "high": round(interval.high, 4),
            }
            progress.report(1.0, f"{group} {name}: {successes} of {trials}")
            path.write_text(json.dumps(figures, indent=2) + "\n")
