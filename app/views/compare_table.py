"""Results beyond the success bars: the table of cells, its paired tests, kinds of failure and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from app.answers.comparison import Compared
from app.views.templates import PIECES, Macros
from app.views.text_table import text_table
from steering.types import (
    FAILURES,
    INSTRUCTIONS,
    Cell,
    CellTest,
    FinetuneResult,
    Outcomes,
    Rollouts,
    p_number,
)

HTML = Macros("compare_table.html")
LEVEL = 0.05


def below(cards: Markup) -> Markup:
    """Cards one under the other, beneath what is there."""
    return HTML.below(cards) if cards else Markup()


def tables(shown: Compared) -> Markup:
    """Every condition of the policies of a comparison, how they failed, and what they cost."""
    task = shown.comparison.task.replace("_", " ")
    failures, cost = failures_card(shown.comparison.outcomes, task), cost_card(shown.rollouts, shown.costs, task)
    return HTML.tables(cells_card(shown.cells, shown.tests), failures, cost)


def cells_card(cells: Sequence[Cell], tests: Sequence[CellTest]) -> Markup:
    """Task × variations × words × method: success with its Wilson interval and how it went, then every paired test."""
    named = any(cell.outcomes and cell.outcomes.named for cell in cells)
    rows = [
        (
            condition(cell.task, cell.variations, cell.instruction),
            cell.rate,
            _plain(cell.rate.low, cell.rate.high),
            _manner(cell.outcomes) if cell.outcomes else None,
        )
        for cell in cells
    ]
    return HTML.cells_card(rows, named, _task_of(cells), list(map(_pair, tests)), _task_of(tests))


def condition(task: str, variations: Sequence[str], instruction: str = "original") -> str:
    """What a policy was run under, in words."""
    said = [*variations, *([INSTRUCTIONS.get(instruction, instruction)] if instruction != "original" else [])]
    where = task.replace("_", " ")
    return where + (f" ({', '.join(said)})" if said else "")


def _manner(one: Outcomes) -> dict[str, Any]:
    """How a cell's scenes went: words, and the numbers of its columns in the file."""
    quartiles = _plain(*one.steps) if one.steps else [None] * 3
    steps = f"{one.steps[0]:.0f} ({one.steps[1]:.0f}–{one.steps[2]:.0f})" if one.steps else "none"
    left_cm = None if one.distance_left_m is None else round(100 * one.distance_left_m, 2)
    return {
        "steps": (steps, quartiles),
        "left": ("none" if left_cm is None else f"{left_cm:.1f} cm", [left_cm]),
        "wrong_object": one.wrong_object,
        "named": (f"{one.named[0]} of {one.named[1]}" if one.named else "", one.named or (None, None)),
    }


def _plain(*values: float) -> list[float]:
    return [round(float(value), 6) for value in values]


def _task_of(cells: Sequence[Cell | CellTest]) -> str:
    """The task that all cells are of; empty where there are several."""
    tasks = {cell.task for cell in cells}
    return tasks.pop().replace("_", " ") if len(tasks) == 1 else ""


def _pair(one: CellTest) -> tuple[Any, ...]:
    """A row of the paired tests: condition, test, its p and p after Holm, and the method that is better or ''."""
    test = one.test
    better = test.first if test.only_first > test.only_second else test.second
    p, p_holm = ((p_number(value), [float(value)]) for value in (test.p, test.p_holm))
    return condition(one.task, one.variations), test, p, p_holm, better if test.p_holm < LEVEL else ""


def failures_card(outcomes: Sequence[Outcomes], task: str = "") -> Markup:
    """Kinds of failure by method; empty where nothing failed or nothing is known. task: names the table's file."""
    found = [kind for kind in FAILURES if any(kind in one.failures for one in outcomes)]
    if not found:
        return Markup()
    most = max(max(one.failures.values(), default=0) for one in outcomes)
    kinds = [(FAILURES[kind], [one.failures.get(kind, 0) for one in outcomes]) for kind in found]
    return HTML.failures_card([one.method for one in outcomes], kinds, most, task)


def cost_card(rollouts: Sequence[Rollouts], costs: Mapping[str, FinetuneResult | None], task: str = "") -> Markup:
    """What each method cost. costs: method -> its finetune, None for methods without one. task: in the file's name."""
    rows = [(one.method, costs.get(one.method), one.wall_s / max(len(one.seeds), 1)) for one in rollouts]
    return HTML.cost_card(rows, task)


def plain_table(titles: Sequence[str], rows: Sequence[Sequence[str]], name: str, of: str = "") -> Markup:
    """A table of texts that can be kept (`app.views.text_table`). name, of: see `kept_table`."""
    return PIECES.kept_table(name, text_table(titles, rows, "wb-table wb-cells"), of)
