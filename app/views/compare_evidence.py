"""The experiments that stand behind the page: how far each is, its tables and sentences, buttons for figures."""

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
FIGURES = {
    "success": "Success by task",
    "cost": "Success against cost",
    "forest": "Difference by condition",
    "success_by_heads": "Number of heads",
    "success_by_demonstrations": "Number of demonstrations",
    "trade": "Own task against what was kept",
    "by_demonstrations": "Number of demonstrations",
    "by_steps": "Number of steps",
    "by_rank": "Rank",
    "by_strength": "Strength, own task",
    "by_strength_retention": "Strength, what was kept",
    **{f"rules_{heads}": f"Rules with {heads} heads" for heads in (4, 8, 20)},
}
"""What a figure shows, by its name."""
OF = {
    "grid": "evidence of the paper's cells in the twin",
    "screen": "evidence of which heads to train, in the twin",
    "trial": "evidence of Robotic Steering against LoRA, in the twin",
}
"""What the tables and figures of an experiment are of, in names of kept files."""


def _file(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def figure_of(name: str) -> dict[str, str]:
    """What a figure `experiment/name` is called and what it is of, for those who keep it."""
    experiment, _, figure = name.partition("/")
    return {"name": FIGURES.get(figure, figure), "of": OF[experiment]}


@lru_cache(maxsize=2)
def evidence_cards(experiments: tuple[Evidence, ...]) -> Markup:
    """The Evidence sections; every Compare step shows the same, and 1 000 cells take 15 ms."""
    cards = [evidence_card(one) for one in experiments]
    return HTML.together(cards if "grid" in {one.name for one in experiments} else [*cards, HTML.nothing_made()])


def evidence_card(evidence: Evidence) -> Markup:
    """What is made of an experiment: its tables, sentences, and a button a figure."""
    sections = [
        (title, i < FIRST_OPEN, plain_table(titles, rows, _file(title), OF[evidence.name]) if rows else "", lines)
        for i, (title, titles, rows, lines) in enumerate(evidence.sections)
    ]
    figures = [(f"{evidence.name}/{name}", FIGURES.get(name, name)) for name in evidence.figures]
    return HTML.evidence_card(evidence, dumbbells(evidence.beside), sections, figures)


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
