"""What the grid's results say: tables beside the paper's numbers, for Markdown and the page, and where they agree.

Cells of several training seeds are pooled: every (scene, seed) is one trial, and pairs are formed within a seed. Trials
of one scene are not independent, so pooled intervals are a little narrow; the tables give scenes and seeds. Holm's
correction runs over all pairs of a table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steering.comparison.intervals import success_rate
from steering.comparison.paired import holm, mcnemar
from steering.evidence import paper
from steering.evidence.grid import METHODS, TASKS, TRAINED_FOR_UNSEEN, UNSEEN_TASK, VARIATIONS, VARIED_TASK, parse_cell
from steering.types import FAILURES, PairedTest, SuccessRate

LEVEL = 0.05
OURS, BASELINE = "steering_vlm", "lora"
"""The paper's pair: Robotic Steering trains heads of the VLM."""

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

    def seeds(self, method: str, condition: Condition) -> int:
        """Training seeds that were run."""
        return len(self._outcomes.get((method, condition), {}))

    def test(self, first: str, second: str, condition: Condition) -> PairedTest | None:
        """Exact McNemar over the same scenes and seeds; zero-shot, which has no seed, is paired with each."""
        one, two = (self._outcomes.get((method, condition), {}) for method in (first, second))
        if first == "zero_shot" and one:
            one = dict.fromkeys(two, next(iter(one.values())))
        seeds = [s for s in sorted(set(one) & set(two)) if len(one[s]) == len(two[s])]
        if not seeds:
            return None
        return mcnemar(first, np.concatenate([one[s] for s in seeds]), second, np.concatenate([two[s] for s in seeds]))

    def details(self, method: str, condition: Condition) -> list[Mapping[str, Any]]:
        """Every run of a condition: failures, distances, steps."""
        return self._details.get((method, condition), [])

    def cost(self, method: str) -> dict[str, float] | None:
        """Median cost of the method's cells at the grid's own settings: cells share a machine, and one may wait."""
        costs = [c["cost"] for c in self.cells if parse_cell(c["cell"]).variant == method]
        names = ("extraction_s", "selection_s", "train_s", "trainable_parameters", "peak_memory_mb")
        return {name: float(np.median([cost[name] for cost in costs])) for name in names} if costs else None


def read_results(folder: Path) -> Results:
    """The results that `steering.evidence.engine` wrote."""
    files = sorted(folder.glob("*/*/*.json"))
    return Results([json.loads(file.read_text(encoding="utf-8")) for file in files])


@dataclass(frozen=True)
class Table:
    """Titles of the columns, and rows of texts; rows without any figure are left out."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A part of the evidence: a table, or sentences."""

    title: str
    table: Table | None = None
    lines: tuple[str, ...] = ()


def sections(results: Results) -> tuple[Section, ...]:
    """The whole evidence of the grid; parts without any figure are left out."""
    found = (
        Section("Beside the paper", paper_table(results)),
        Section("What agrees and what does not", lines=tuple(agreement(results))),
        Section("Success by task", success_table(results)),
        Section("Variations and the unseen task", variation_table(results)),
        Section("Paired tests", test_table(results)),
        Section("Cost (median of the cells)", cost_table(results)),
        Section("Success against the number of heads", curve_table(results, "heads")),
        Section("Success against the number of demonstrations", curve_table(results, "demonstrations")),
        Section("How failures failed", failure_table(results)),
    )
    return tuple(one for one in found if one.lines or (one.table and one.table.rows))


def document(results: Results) -> str:
    """The whole evidence of the grid as one Markdown page."""
    made = (
        "`python -m steering evidence grid` makes this page and the cells that are missing; any cell anew: add "
        "`--cell task/method/seed --out FOLDER`."
    )
    parts = [f"# The paper's cells in the twin\n\n{made}", *_settings(results)]
    for one in sections(results):
        body = markdown(one.table) if one.table else "\n".join(f"- {line}" for line in one.lines)
        parts.append(f"## {one.title}\n\n{body}")
    return "\n\n".join(parts)


def _settings(results: Results) -> Iterator[str]:
    """What the cells share; those of the curves differ in heads or demonstrations."""
    plain = [cell["settings"] for cell in results.cells if "@" not in cell["cell"]]
    for one in plain[:1]:
        yield (
            f"Every cell, if not said otherwise: {one['demonstrations']} demonstrations; {one['heads']} heads by the "
            f"paper's score; {one['steps']} steps of {one['batch_size']} frames; rank {one['rank']}; {one['trials']} "
            "scenes a condition, the same for all methods. Intervals: Wilson, 95 %, pooled over training seeds."
        )


def markdown(table: Table) -> str:
    """The table in Markdown; empty without rows."""
    if not table.rows:
        return ""
    lines = (table.titles, ["---"] * len(table.titles), *table.rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def success_table(results: Results) -> Table:
    """Task by method: pooled success with its Wilson interval."""
    rows = [[METHODS[m].label, *(_rate(results, m, (t, t, ())) for t in TASKS)] for m in METHODS]
    return _table(["Method", *map(_words, TASKS)], rows)


def variation_table(results: Results) -> Table:
    """Method by variation of one task, and the task that no training saw."""
    where: list[Condition] = [(VARIED_TASK, VARIED_TASK, (v,)) for v in VARIATIONS]
    where.append((TRAINED_FOR_UNSEEN, UNSEEN_TASK, ()))
    titles = [f"{_words(VARIED_TASK)}, {v}" for v in VARIATIONS]
    titles.append(f"{_words(UNSEEN_TASK)} (trained on {_words(TRAINED_FOR_UNSEEN)})")
    return _table(["Method", *titles], [[METHODS[m].label, *(_rate(results, m, c) for c in where)] for m in METHODS])


def paired_tests(results: Results) -> list[tuple[Condition, PairedTest]]:
    """Robotic Steering on VLM heads against every other method, under every condition, with Holm over all of them."""
    found = []
    for condition in _conditions(results):
        for method in METHODS:
            test = results.test(method, OURS, condition) if method != OURS else None
            if test is not None:
                found.append((condition, test))
    corrected = holm([test for _, test in found])
    return [(condition, test) for (condition, _), test in zip(found, corrected, strict=True)]


def test_table(results: Results) -> Table:
    """Every paired test in a row."""
    rows = [
        [
            _where(condition),
            METHODS[test.first].label,
            str(test.only_second),
            str(test.only_first),
            f"{test.p:.2g}",
            f"{test.p_holm:.2g}",
        ]
        for condition, test in paired_tests(results)
    ]
    titles = ["Condition", f"{METHODS[OURS].label} against", "Only it", "Only the other", "p", "p after Holm"]
    return _table(titles, rows)


def cost_table(results: Results) -> Table:
    """What each method costs, the median of its cells."""
    rows = []
    for method, how in METHODS.items():
        cost = results.cost(method)
        if cost is None:
            continue
        total = cost["extraction_s"] + cost["selection_s"] + cost["train_s"]
        rows.append(
            [
                how.label,
                f"{cost['trainable_parameters']:,.0f}",
                f"{cost['extraction_s']:.0f}",
                f"{cost['selection_s']:.0f}",
                f"{cost['train_s']:.0f}",
                f"{total:.0f}",
                f"{cost['peak_memory_mb']:.0f}",
            ]
        )
    titles = ["Method", "Trainable parameters", "Extraction (s)", "Selection (s)", "Training (s)", "All (s)"]
    return _table([*titles, "Peak memory (MB)"], rows)


def paper_table(results: Results) -> Table:
    """The paper's LoRA and Robotic Steering beside the twin's, cell by cell."""
    rows = []
    for condition, (lora, steering) in _paper_cells() if results.cells else ():
        ours = [results.rate(method, condition) for method in (BASELINE, OURS)]
        gain = f"{round(100 * (ours[1].rate - ours[0].rate)):+d}" if ours[0] and ours[1] else ""
        rows.append(
            [
                _where(condition),
                f"{lora:g}",
                f"{steering:g}",
                f"{steering - lora:+g}",
                *(f"{100 * one.rate:.0f}" if one else "" for one in ours),
                gain,
            ]
        )
    titles = [
        "Success (%)",
        "Paper: LoRA",
        "Paper: Steering",
        "Gain",
        "Twin: LoRA",
        "Twin: Steering (VLM heads)",
        "Gain",
    ]
    return _table(titles, rows)


def agreement(results: Results) -> list[str]:
    """Whether the twin shows each claim of the paper, the contrary, or no difference; then what each control shows."""
    tests = paired_tests(results)
    tested = {condition: test for condition, test in tests if test.first == BASELINE}
    lines = []
    for condition, (lora, steering) in _paper_cells():
        test = tested.get(condition)
        if test is None:
            continue
        claim = f"{_where(condition)}: the paper has Robotic Steering above LoRA by {steering - lora:g} points"
        scenes = "1 scene" if test.only_second == 1 else f"{test.only_second} scenes"
        found = f"{scenes} for it, {test.only_first} against, p = {test.p_holm:.2g} after Holm"
        if test.p_holm >= LEVEL:
            verdict = "the twin shows no difference"
        else:
            verdict = "the twin agrees" if test.only_second > test.only_first else "the twin shows the contrary"
        lines.append(f"{claim}; {verdict} ({found}).")
    costs = [results.cost(method) for method in (BASELINE, OURS)]
    if costs[0] and costs[1]:
        fewer = costs[0]["trainable_parameters"] / max(costs[1]["trainable_parameters"], 1)
        lines.append(
            f"Trainable parameters: {paper.PARAMETERS[0] / paper.PARAMETERS[1]:.1f} times fewer in the paper, "
            f"{fewer:.1f} times in the twin."
        )
        spent = [cost["extraction_s"] + cost["selection_s"] + cost["train_s"] for cost in costs if cost]
        lines.append(
            f"Time: {100 * (1 - paper.TRAIN_MIN[1] / paper.TRAIN_MIN[0]):.0f} % less in the paper (training alone); in "
            f"the twin {_less(costs[0]['train_s'], costs[1]['train_s'])} in training, "
            f"{_less(spent[0], spent[1])} with extraction and selection."
        )
    return lines + [_against(other, [test for _, test in tests if test.first == other]) for other in _others(tests)]


def _others(tests: Sequence[tuple[Condition, PairedTest]]) -> list[str]:
    found = {test.first for _, test in tests}
    return [method for method in METHODS if method in found and method not in (BASELINE, "zero_shot")]


def _against(other: str, tests: Sequence[PairedTest]) -> str:
    """In how many conditions `OURS` is better and worse than `other` after Holm."""
    shown = [test for test in tests if test.p_holm < LEVEL]
    better = sum(test.only_second > test.only_first for test in shown)
    return (
        f"{METHODS[OURS].label} against {METHODS[other].label}: better in {better} of {len(tests)} conditions, worse "
        f"in {len(shown) - better}, no difference shown in {len(tests) - len(shown)}."
    )


def curve(results: Results, axis: str) -> dict[str, list[tuple[int, SuccessRate]]]:
    """Method -> (number of heads or demonstrations, success), in rising order. The settings' own number counts too."""
    found: dict[str, dict[int, SuccessRate]] = {}
    task = next((parse_cell(c["cell"]).task for c in results.cells if f"@{axis}=" in c["cell"]), None)
    for cell in results.cells:
        made = parse_cell(cell["cell"])
        if made.task != task or (made.variant != made.method and f"@{axis}=" not in made.variant):
            continue
        rate = results.rate(made.variant, (made.task, made.task, ()))
        if rate is not None and METHODS[made.method].finetune != "zero_shot":
            found.setdefault(made.method, {})[cell["settings"][axis]] = rate
    return {method: sorted(points.items()) for method, points in found.items() if len(points) > 1}


def curve_table(results: Results, axis: str) -> Table:
    """Success against `heads` or `demonstrations`."""
    lines = curve(results, axis)
    numbers = sorted({number for points in lines.values() for number, _ in points})
    rows = [[METHODS[m].label, *(_percent(dict(points).get(n)) for n in numbers)] for m, points in lines.items()]
    return _table(["Method", *(f"{number} {axis}" for number in numbers)], rows)


def failure_table(results: Results) -> Table:
    """Kinds of failure of each method, over the five tasks as trained."""
    rows = []
    for method, how in METHODS.items():
        runs = [one for task in TASKS for one in results.details(method, (task, task, ()))]
        kinds = [kind for one in runs for kind in one["failure"]]
        if runs:
            rows.append([how.label, str(len(kinds)), *(str(kinds.count(kind) or "") for kind in FAILURES)])
    return _table(["Method", "Episodes", *FAILURES.values()], rows)


def _paper_cells() -> Iterator[tuple[Condition, tuple[float, float]]]:
    for task, numbers in paper.SUCCESS.items():
        yield (task, task, ()), numbers
    for variation, numbers in paper.VARIATIONS.items():
        yield (VARIED_TASK, VARIED_TASK, (variation,)), numbers
    yield (TRAINED_FOR_UNSEEN, UNSEEN_TASK, ()), paper.UNSEEN


def _conditions(results: Results) -> list[Condition]:
    return [condition for condition, _ in _paper_cells() if results.rate(OURS, condition)]


def _rate(results: Results, method: str, condition: Condition) -> str:
    rate = results.rate(method, condition)
    seeds = results.seeds(method, condition)
    return f"{_percent(rate)}{f', {seeds} seeds' if seeds > 1 else ''}" if rate else ""


def _percent(rate: SuccessRate | None) -> str:
    if rate is None:
        return ""
    return f"{100 * rate.rate:.0f} % ({100 * rate.low:.0f} to {100 * rate.high:.0f}; n = {rate.trials})"


def _less(before: float, after: float) -> str:
    change = 100 * (1 - after / before)
    return f"{change:.0f} % less" if change >= 0 else f"{-change:.0f} % more"


def _where(condition: Condition) -> str:
    trained, task, variations = condition
    extra = [*variations, *([f"trained on {_words(trained)}"] if trained != task else [])]
    return _words(task) + (f" ({', '.join(extra)})" if extra else "")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    return Table(tuple(titles), tuple(tuple(row) for row in rows if any(row[1:])))
