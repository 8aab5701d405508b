"""The paper's cells in the twin: how far the grid is, its tables beside the paper's numbers, buttons for figures."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.answers.comparison import Beside, Evidence
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

"""Title, titles of a table's columns, its rows; or sentences in their place."""


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
    made = f"{evidence.done} of {evidence.cells} cells" if partial else f"all {evidence.cells} cells"
    return (
        '<details class="wb-card wb-evidence" data-fold="evidence" data-testid="evidence">'
        f"<summary>Evidence: the paper's cells in the twin ({made})</summary><p>{state} The paper: a Franka "
        "arm, 40 trials a cell. Here: the embedded policy in the simulator, 100 scenes a cell and seed.</p>"
        f"{dumbbells(evidence.beside)}{parts}"
        f'<div class="wb-buttons wb-evidence-figures">{figures}</div></details>'
    )


def dumbbells(rows: Sequence[Beside]) -> str:
    """LoRA and Robotic Steering, two points on a line from 0 to 100 %, the paper's above the twin's; empty for none."""
    if not rows:
        return ""
    drawn = ""
    for row in rows:
        said = f"{row.condition}: paper {row.paper[0]:g} to {row.paper[1]:g} %"
        said += f", twin {row.twin[0]:.0f} to {row.twin[1]:.0f} %" if row.twin else ", twin not run"
        lines = _dumbbell("paper", row.paper, 11) + (_dumbbell("twin", row.twin, 29) if row.twin else "")
        drawn += (
            f'<span>{text(row.condition)}</span><svg role="img" aria-label="{text(said)}"><title>{text(said)}</title>'
            f"{lines}</svg>"
        )
    return (
        '<div class="wb-dumbbell-key"><span><i style="background:var(--wb-lora)"></i>LoRA</span><span><i '
        'style="background:var(--wb-steering)"></i>Robotic Steering</span><span>Success from 0 to 100 %: above the '
        f'paper, below the twin</span></div><div class="wb-dumbbell" data-testid="dumbbells">{drawn}</div>'
    )


def _dumbbell(name: str, pair: tuple[float, float], y: int) -> str:
    lora, steering = pair
    return (
        f'<line class="wb-axis-line" x1="0" x2="100%" y1="{y}" y2="{y}"/>'
        f'<line class="wb-lead-line" x1="{lora:.1f}%" x2="{steering:.1f}%" y1="{y}" y2="{y}"/>'
        f'<circle class="wb-lora" cx="{lora:.1f}%" cy="{y}" r="5.5"/>'
        f'<circle class="wb-steering" cx="{steering:.1f}%" cy="{y}" r="5.5"/>'
        f'<text x="-10" y="{y + 4}" text-anchor="end">{name}</text>'
    )
