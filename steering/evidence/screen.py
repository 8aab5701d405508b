"""The screen: which heads should be trained? Rules compared by held-out demonstrations, without running a scene.

A cell is a rule that chooses a number of VLM heads on one task with one seed, `task/rule/heads/seed`, and ends as one
JSON file (`steering.evidence.cell_files`). Cells go in the order of `cells`, those that tell most first, one after
another in this process; one whose file stands is not made again, so a killed screen goes on with the cell it was in.
Rules that choose the same heads share one training. The plan, written before any run: `assets/evidence/plan.md`. Cost:
about a minute a cell on a core.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steering import pipeline, policy_cache
from steering.assets import ASSETS
from steering.errors import InputError, unknown_name
from steering.evidence.cell_files import Result, left_of, read_result, write_result
from steering.evidence.grid import CURVE_TASK, TASKS
from steering.evidence.screen_rules import CEILING, GROUPS, RULES, Asked, choose
from steering.manifest import plain_params, versions
from steering.progress import Progress
from steering.store import Store
from steering.types import FinetuneSettings

SCREEN = ASSETS / "evidence" / "screen"
HELDOUT_SEED = 900
SEEDS = (0, 1)
COUNTS = (4, 8)
MANY = 20
"""Heads of the paper's sets, asked of one task."""


@dataclass(frozen=True)
class ScreenSettings:
    """What every cell shares. heldout: demonstrations that no rule and no training sees. frames: of them, evaluated."""

    demonstrations: int = 20
    heldout: int = 6
    frames: int = 96
    steps: int = 200
    batch_size: int = 24
    rank: int = 16
    learning_rate: float = 1e-3
    precision: str = "float32"
    ks: tuple[int, ...] | None = None
    policy: str = "embedded"

    def of_seed(self, seed: int) -> FinetuneSettings:
        """Settings of a training."""
        return FinetuneSettings(
            steps=self.steps,
            batch_size=self.batch_size,
            rank=self.rank,
            alpha=float(self.rank),
            learning_rate=self.learning_rate,
            warmup_steps=min(20, max(1, self.steps // 5)),
            seed=seed,
            precision=self.precision,
            evaluations=1,
        )


@dataclass(frozen=True)
class ScreenCell:
    """One cell of the screen."""

    task: str
    rule: str
    heads: int
    seed: int

    @property
    def id(self) -> str:
        """E.g. `pick_cube/reach/4/0`."""
        return f"{self.task}/{self.rule}/{self.heads}/{self.seed}"


def cells() -> tuple[ScreenCell, ...]:
    """Every cell, in the plan's order: 4 heads, first seed, group of rules by group, each on all tasks; the rest."""
    found = [
        ScreenCell(task, rule, count, seed)
        for count in COUNTS
        for seed in SEEDS
        for rules in GROUPS
        for task in TASKS
        for rule in rules
    ]
    found += [ScreenCell(CURVE_TASK, rule, MANY, seed) for seed in SEEDS for rules in GROUPS for rule in rules]
    return tuple(found + [ScreenCell(CURVE_TASK, CEILING, count, seed) for count in COUNTS for seed in SEEDS])


def parse_cell(text: str) -> ScreenCell:
    """The cell of an id. Raises InputError or NotFound."""
    parts = text.split("/")
    if len(parts) != 4 or not (parts[2].isdigit() and parts[3].isdigit()):
        raise InputError(f"Expected a cell as task/rule/heads/seed, e.g. pick_cube/reach/4/0; got {text!r}.")
    task, rule = parts[:2]
    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    if rule not in RULES:
        raise unknown_name("rule of the screen", rule, RULES)
    return ScreenCell(task, rule, int(parts[2]), int(parts[3]))


def run_screen(
    cells: Sequence[ScreenCell],
    settings: ScreenSettings,
    *,
    store: Path,
    out: Path = SCREEN,
    progress: Progress = Progress(),
    say: Callable[[str], None] = print,
) -> list[str]:
    """Make every cell that `out` does not hold; the ids of those made now."""
    weights = policy_cache.fingerprint(settings.policy)
    left = [cell for cell in cells if read_cell(out, cell, settings, weights) is None]
    say(f"{len(cells) - len(left)} of {len(cells)} cells are there already; {len(left)} to make.")
    asked: Asked | None = None
    began_s = time.monotonic()
    for i, cell in enumerate(left):
        part = progress.part(i / len(left), (i + 1) / len(left))
        if asked is None or (asked.task, asked.seed) != (cell.task, cell.seed):
            demonstrations_id = _recorded(Store(store), cell.task, settings.demonstrations, cell.seed, part)
            heldout_id = _recorded(Store(store), cell.task, settings.heldout, HELDOUT_SEED, part)
            asked = Asked(
                store=Store(store),
                demonstrations_id=demonstrations_id,
                heldout_id=heldout_id,
                heldout_frames=settings.frames,
                policy=settings.policy,
                settings=settings.of_seed(cell.seed),
                task=cell.task,
                seed=cell.seed,
                ks=settings.ks,
            )
        result = _make(cell, settings, asked, out, weights, part)
        write_result(_file(out, cell), result)
        error = f"{result['before']:.3f} to {result['after']:.3f}"
        minutes = (time.monotonic() - began_s) / (i + 1) * (len(left) - i - 1) / 60
        say(f"[{i + 1}/{len(left)}] {cell.id}: {error}; {result['wall_s']:.0f} s; about {minutes:.0f} min left")
    return [cell.id for cell in left]


def left_to_make(cells: Sequence[ScreenCell], settings: ScreenSettings, out: Path = SCREEN) -> dict[str, Any]:
    """What is there, what is left, and about how many seconds that takes, by the mean of what is there."""
    weights = policy_cache.fingerprint(settings.policy)
    return left_of({cell.id: read_cell(out, cell, settings, weights) for cell in cells})


def read_cell(out: Path, cell: ScreenCell, settings: ScreenSettings, weights: str) -> Result | None:
    """A cell made with these settings of the policy with these weights; None where there is none."""
    return read_result(_file(out, cell), settings, weights)


def _make(
    cell: ScreenCell, settings: ScreenSettings, asked: Asked, out: Path, weights: str, progress: Progress
) -> dict[str, Any]:
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    selection = choose(cell.rule, asked, cell.heads, progress)
    chosen_s, chosen_cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    heads = [[head.layer, head.head] for head in selection.heads]
    trained = _same_training(cell, heads, settings, out, weights)
    if trained is None:
        tried = asked.trying.heads(selection, progress=progress)
        trained = {
            "training_of": cell.id,
            "before": round(tried.before, 6),
            "after": round(tried.after, 6),
            "loss": [round(one, 5) for one in tried.loss],
            "parameters": tried.trained,
            "frozen_layers": tried.frozen_layers,
            "train_s": round(tried.train_s, 2),
            "train_cpu_s": round(tried.cpu_s, 2),
        }
    relevance = asked.relevance("paper", False)
    return {
        "cell": cell.id,
        "command": f"python -m steering evidence screen --cell {cell.id} --out FOLDER",
        "settings": plain_params(asdict(settings)),
        "versions": versions(),
        "weights": weights,
        "heads": heads,
        "relevance": [round(float(relevance[layer, head]), 5) for layer, head in heads],
        **trained,
        "choose_s": round(chosen_s, 2),
        "choose_cpu_s": round(chosen_cpu_s, 2),
        "wall_s": round(time.monotonic() - began_s, 2),
    }


def _same_training(
    cell: ScreenCell, heads: list[list[int]], settings: ScreenSettings, out: Path, weights: str
) -> dict[str, Any] | None:
    """What another rule of the same task, number and seed reached with the same heads."""
    names = ("training_of", "before", "after", "loss", "parameters", "frozen_layers", "train_s", "train_cpu_s")
    for rule in RULES:
        one = read_cell(out, ScreenCell(cell.task, rule, cell.heads, cell.seed), settings, weights)
        if rule != cell.rule and one is not None and one["heads"] == heads:
            return {name: one[name] for name in names}
    return None


def _recorded(store: Store, task: str, count: int, seed: int, progress: Progress) -> str:
    return pipeline.record(store, task=task, count=count, seed=seed, progress=progress.part(0, 0.1))


def _file(out: Path, cell: ScreenCell) -> Path:
    return out / cell.task / cell.rule / f"{cell.heads}-{cell.seed}.json"
