"""The paper's cells in the twin: how far the grid is, its tables beside the paper's numbers, buttons for figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.views.compare_table import plain_table
from app.views.markup import button, text

FIRST_OPEN = 2
"""Sections that stand open: the paper's numbers beside ours, and what agrees."""
FIGURES = {
    "success": "Success by task",
    "cost": "Success against cost",
    "forest": "Difference by condition",
    "success_by_heads": "Number of heads",
    "success_by_demonstrations": "Number of demonstrations",
}
Part = tuple[str, Sequence[str], Sequence[Sequence[str]], Sequence[str]]
"""Title, titles of a table's columns, its rows; or sentences in their place."""


@dataclass(frozen=True)
class Evidence:
    """What is made of the grid. done: of its `cells`; figures: names of those that can be drawn."""

    done: int
    cells: int
    sections: tuple[Part, ...]
    figures: tuple[str, ...]


def _file(title: str) -> str:
    return re.sub(r"[^a-z]+", "-", title.lower()).strip("-")


def evidence_card(evidence: Evidence | None) -> str:
    """The Evidence section."""
    command = "<code>python -m steering evidence grid</code>"
    if evidence is None:
        return (
            '<section class="wb-card" data-testid="evidence"><h2>Evidence</h2><p>The paper\'s cells in the twin (five '
            f"tasks, eight methods, three training seeds) are not computed yet: {command} makes them, and goes on "
            "where it was stopped.</p></section>"
        )
    partial = evidence.done < evidence.cells
    state = (
        f"<b>{evidence.done} of {evidence.cells} cells</b> are made; what follows rests on those alone and will "
        f"change. {command} makes the others."
        if partial
        else f"All {evidence.cells} cells are made; any of them anew: {command} with <code>--cell … --out …</code>."
    )
    figures = "".join(
        button(FIGURES.get(name, name), "figure", name, quiet=True, testid="evidence-figure")
        for name in evidence.figures
    )
    parts = ""
    for i, (title, titles, rows, lines) in enumerate(evidence.sections):
        body = (
            plain_table(titles, rows, _file(title))
            if rows
            else "<ul>" + "".join(f"<li>{text(x)}</li>" for x in lines) + "</ul>"
        )
        opened = " open" if i < FIRST_OPEN else ""
        parts += f'<details class="wb-more"{opened}><summary>{text(title)}</summary>{body}</details>'
    return (
        '<section class="wb-card" data-testid="evidence"><h2>Evidence: the paper\'s cells in the twin</h2>'
        f"<p>{state} The paper: a Franka arm, 40 trials a cell. Here: the embedded policy in the simulator, 100 "
        f'scenes a cell and seed.</p>{parts}<div class="wb-buttons wb-evidence-figures">{figures}</div></section>'
    )
