"""The paper's cells in the twin: how far the grid is, its tables beside the paper's numbers, buttons for figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from markupsafe import Markup

from app.answers.comparison import Beside, Evidence
from app.views.compare_table import plain_table
from app.views.templates import Macros

HTML = Macros("compare_evidence.html")
FIRST_OPEN = 2
"""Sections that stand open: the paper's numbers beside ours, and what agrees."""
EVIDENCE = "evidence of the paper's cells in the twin"
"""What its tables and figures are of, in names of kept files."""
FIGURES = {
    "success": "Success by task",
    "cost": "Success against cost",
    "forest": "Difference by condition",
    "success_by_heads": "Number of heads",
    "success_by_demonstrations": "Number of demonstrations",
}


def _file(title: str) -> str:
    return re.sub(r"[^a-z]+", "-", title.lower()).strip("-")


@lru_cache(maxsize=2)
def evidence_card(evidence: Evidence | None) -> Markup:
    """The Evidence section; every Compare step shows the same, and 1 000 cells take 15 ms."""
    if evidence is None:
        return HTML.nothing_made()
    sections = [
        (title, i < FIRST_OPEN, plain_table(titles, rows, _file(title), EVIDENCE) if rows else "", lines)
        for i, (title, titles, rows, lines) in enumerate(evidence.sections)
    ]
    figures = [(name, FIGURES.get(name, name)) for name in evidence.figures]
    return HTML.evidence_card(evidence.done, evidence.cells, dumbbells(evidence.beside), sections, figures)


def dumbbells(rows: Sequence[Beside]) -> Markup:
    """LoRA and Robotic Steering, two points on a line from 0 to 100 %, the paper's above the twin's; empty for none."""
    if not rows:
        return Markup()
    drawn = []
    for row in rows:
        said = f"{row.condition}: paper {row.paper[0]:g} to {row.paper[1]:g} %"
        said += f", twin {row.twin[0]:.0f} to {row.twin[1]:.0f} %" if row.twin else ", twin not run"
        drawn.append((row.condition, said, row.paper, row.twin))
    return HTML.dumbbells(drawn)
