"""The page and the picture of the screen, written from its cells: `python -m steering evidence screen --page`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from steering.evidence.grid import TASKS
from steering.evidence.screen import cells as planned
from steering.evidence.screen import parse_cell
from steering.evidence.screen_results import Predictor, Ratio, predictors, ratios
from steering.evidence.screen_rules import RULES
from steering.evidence.tables import Table, markdown
from steering.figures.style import METHOD_COLOURS, styled, text_colour

ROW_PX, FRAME_PX = 26, 130


def write_screen(cells: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """`folder`.md beside the cells, and the pictures of each number of heads in `folder`_figures; the page."""
    page, figures = folder.parent / f"{folder.name}.md", folder.parent / f"{folder.name}_figures"
    page.write_text(document(cells) + "\n", encoding="utf-8")
    for heads in _counts(cells):
        if found := ratios(cells, heads):
            figures.mkdir(exist_ok=True)
            (figures / f"rules_{heads}.json").write_text(rules_figure(found).to_json() + "\n", encoding="utf-8")
    return page


def document(cells: Sequence[Mapping[str, Any]]) -> str:
    """The page in Markdown, from what is there."""
    total = len(planned())
    parts = [
        "# Which heads should be trained?",
        "`python -m steering evidence screen` makes the cells that are missing, and this page; `--page` the page only. "
        "What was to be measured and what would be said of it was written before: [plan.md](plan.md).",
        f"**{len(cells)} of {total} cells are there.** A cell trains q and o of the heads that a rule chose and "
        "measures demonstrations that neither rule nor training saw, without running a scene. Ratios are of held-out "
        "errors over random heads of the same task and seed: below 1 is better than chance. Rules marked `*` differ "
        "from chance by the test over tasks, after Holm.",
    ]
    for heads in _counts(cells):
        found = ratios(cells, heads)
        parts += [f"## {heads} heads", *([_said(found), markdown(ratio_table(found))] if found else [_nothing()])]
    found_predictors = predictors(cells)
    parts += ["## What of a random set predicts how well it trains", _predicted(found_predictors)]
    parts += ["## Every cell", markdown(cell_table(cells))]
    return "\n\n".join(parts)


def ratio_table(found: Sequence[Ratio]) -> Table:
    """A rule a row, best first, and its ratio in each task."""
    tasks = [task for task in TASKS if any(task in one.by_task for one in found)]
    titles = ["Rule", "Ratio", "95 % over task × seed", "95 % over tasks", "p (Holm)", "Units", "Time", "Mean layer"]
    rows = [
        (
            RULES[one.rule].label + (" *" if one.p_holm < 0.05 else ""),
            f"{one.ratio:.2f}",
            _interval(one.low, one.high),
            _interval(one.task_low, one.task_high),
            _number(one.p_holm, ".2g"),
            str(one.units),
            f"{one.time:.2f}",
            f"{one.layer:.1f}",
            *(_number(one.by_task.get(task, math.nan), ".2f") for task in tasks),
        )
        for one in found
    ]
    return Table((*titles, *(task.replace("_", " ") for task in tasks)), tuple(rows))


def cell_table(cells: Sequence[Mapping[str, Any]]) -> Table:
    """A cell a row: its heads, and the held-out error before and after."""
    order = {cell.id: i for i, cell in enumerate(planned())}
    rows = [
        (
            f"`{one['cell']}`",
            " ".join(f"{layer}.{head}" for layer, head in one["heads"]),
            f"{one['before']:.3f}",
            f"{one['after']:.3f}",
            f"{one['train_cpu_s']:.0f}",
        )
        for one in sorted(cells, key=lambda one: order.get(one["cell"], len(order)))
    ]
    return Table(("Cell", "Heads (layer.head)", "Error before", "Error after", "Training, CPU s"), tuple(rows))


def rules_figure(found: Sequence[Ratio], dark: bool | None = None) -> go.Figure:
    """Rules against random: ratio and interval over tasks, single tasks as rings; left of the line is better."""
    names = [RULES[one.rule].label for one in found][::-1]
    figure = go.Figure()
    figure.add_scatter(
        x=[ratio for one in found for ratio in one.by_task.values()],
        y=[RULES[one.rule].label for one in found for _ in one.by_task],
        text=[task.replace("_", " ") for one in found for task in one.by_task],
        mode="markers",
        name="one task",
        marker={"size": 7, "symbol": "circle-open", "color": METHOD_COLOURS["zero_shot"]},
    )
    figure.add_scatter(
        x=[one.ratio for one in found],
        y=[RULES[one.rule].label for one in found],
        error_x={
            "type": "data",
            "symmetric": False,
            "color": METHOD_COLOURS["steering"],
            "array": [_length(one.task_high, one.ratio) for one in found],
            "arrayminus": [_length(one.ratio, one.task_low) for one in found],
        },
        mode="markers",
        name="mean over tasks, 95 %",
        marker={"size": 11, "color": METHOD_COLOURS["steering"]},
    )
    figure.add_vline(x=1, line={"color": text_colour(dark), "dash": "dot"})
    figure.update_xaxes(type="log", title="held-out error over that of random heads", range=[-0.6, 0.9])
    figure.update_yaxes(categoryorder="array", categoryarray=names)
    styled(figure, dark, height=FRAME_PX + ROW_PX * len(found))
    return figure.update_layout(margin={"l": 240})


def _said(found: Sequence[Ratio]) -> str:
    """The finding of one number of heads in words, with what it rests on."""
    tasks = {task for one in found for task in one.by_task}
    better = [RULES[one.rule].label for one in found if one.p_holm < 0.05 and one.ratio < 1]
    worse = [RULES[one.rule].label for one in found if one.p_holm < 0.05 and one.ratio > 1]
    words = []
    words.append(f"Better than random heads: {', '.join(better)}." if better else "No rule is shown to beat random.")
    words.append(f"Worse: {', '.join(worse)}." if worse else "None is shown to be worse.")
    fewest, most = min(one.units for one in found), max(one.units for one in found)
    units = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    units += " unit" if most == 1 else " units"
    words.append(f"This rests on {len(tasks)} of {len(TASKS)} tasks and {units} (task × seed) a rule")
    unfinished = len(tasks) < len(TASKS)
    words[-1] += "; with so few tasks an interval is wide, and ratios are leads and no results." if unfinished else "."
    return " ".join(words)


def _predicted(found: Sequence[Predictor]) -> str:
    if not found:
        return "Not enough random sets yet: four of one task and number of heads are needed."
    rows = [(one.name, f"{one.rho:.2f}", f"{one.low:.2f} to {one.high:.2f}", str(one.groups)) for one in found]
    return (
        "Spearman's ρ with the held-out error within a task and number of heads: above 0, higher is worse.\n\n"
        + markdown(Table(("Of the set", "Mean ρ", "Range", "Groups"), tuple(rows)))
    )


def _nothing() -> str:
    return "No random draw to compare with yet."


def _counts(cells: Sequence[Mapping[str, Any]]) -> list[int]:
    return sorted({parse_cell(one["cell"]).heads for one in cells})


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{low:.2f} to {high:.2f}"


def _number(value: float, how: str) -> str:
    return "" if math.isnan(value) else format(value, how)


def _length(high: float, low: float) -> float:
    return 0.0 if math.isnan(high - low) else high - low
