"""The page and the picture of the screen, written from its cells: `python -m steering evidence screen --page`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from steering.evidence.cell_files import Result
from steering.evidence.drawing import interval, write_page
from steering.evidence.grid import TASKS
from steering.evidence.screen import cells as planned
from steering.evidence.screen import parse_cell
from steering.evidence.screen_results import CHANCE, UNITS, Predictor, Ratio, draws, predictors, ratios
from steering.evidence.screen_rules import CEILING, DRAWS, RULES
from steering.evidence.tables import Section, Table, markdown
from steering.figures.style import METHOD_COLOURS, styled, text_colour
from steering.types import p_number

ROW_PX, FRAME_PX = 26, 130
TICKS = (0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5)
PUBLISHED = "paper_keyframes"


def write_screen(cells: Sequence[Result], folder: Path) -> Path:
    """The page beside the folder of cells, and the pictures of each number of heads; the page."""
    return write_page(folder, document(cells), figures(cells))


def figures(cells: Sequence[Result]) -> dict[str, go.Figure]:
    """Rules against random, a picture for each number of heads that has cells to compare."""
    found = {heads: ratios(cells, heads) for heads in _counts(cells)}
    return {f"rules_{heads}": rules_figure(of) for heads, of in found.items() if of}


def sections(cells: Sequence[Result]) -> tuple[Section, ...]:
    """What may be said of each number of heads, and every rule beside random heads."""
    found = []
    for heads in _counts(cells):
        of = ratios(cells, heads)
        made = [one for one in cells if parse_cell(one["cell"]).heads == heads]
        if of:
            words = _said(of, len(made), sum(cell.heads == heads for cell in planned()))
            found += [Section(f"{heads} heads: what may be said", lines=(words,))]
            found += [Section(f"{heads} heads: rules beside random heads", ratio_table(of))]
    return tuple(found)


def document(cells: Sequence[Result]) -> str:
    """The page in Markdown, from what is there."""
    total = len(planned())
    parts = [
        "# Which heads should be trained?",
        "`python -m steering evidence screen` makes the cells that are missing, and this page; `--page` the page only. "
        "What was to be measured and what would be said of it was written before: [plan.md](plan.md).",
        f"**{len(cells)} of {total} cells are there.** A cell trains q and o of the heads that a rule chose and "
        "measures demonstrations that neither rule nor training saw, without running a scene. Ratios are of held-out "
        "errors in the same task and seed, a unit: below 1 is better. A ratio is formed over the units that both sides "
        f"have; a rule has {UNITS} when it is done, and only then may a difference be said (`*`: p below .05 over "
        "tasks, after Holm over all rules of the plan). Rows that stand on other units are not ranked against each "
        "other. CPU time is that of training.",
    ]
    for heads in _counts(cells):
        parts += [f"## {heads} heads", *_of_count(cells, heads)]
    parts += ["## What of a random set predicts how well it trains", _predicted(predictors(cells))]
    parts += ["## Every cell", markdown(cell_table(cells))]
    return "\n\n".join(parts)


def headline(cells: Sequence[Result]) -> str:
    """What the screen says of rules beside random heads, in a sentence a number of heads; empty without any."""
    said = []
    for heads in _counts(cells):
        found = ratios(cells, heads)
        better = [_label(one.rule) for one in found if one.found == "better"]
        made = sum(parse_cell(one["cell"]).heads == heads for one in cells)
        of = sum(cell.heads == heads for cell in planned())
        if found:
            rules = f"{' and '.join(better)} trained better than" if better else "no rule is shown to train better than"
            so_far = f" ({made} of {of} trainings made so far)" if made < of else ""
            said.append(f"With {heads} heads {rules} random ones{so_far}.")
    return " ".join(said)


def ratio_table(found: Sequence[Ratio]) -> Table:
    """A rule a row, lowest first, and its ratio in each task."""
    tasks = [task for task in TASKS if any(task in one.by_task for one in found)]
    titles = ["Rule", "Ratio", "95 % over units", "95 % over tasks", "p (Holm)", "Units", "CPU time", "Mean layer"]
    rows = [
        (
            _label(one.rule) + (" *" if one.found else ""),
            f"{one.ratio:.2f}",
            _interval(one.low, one.high),
            _interval(one.task_low, one.task_high),
            p_number(one.p_holm),
            f"{one.units} of {UNITS}",
            f"{one.time:.2f}",
            f"{one.layer:.1f}",
            *(_number(one.by_task.get(task, math.nan), ".2f") for task in tasks),
        )
        for one in found
    ]
    return Table((*titles, *(task.replace("_", " ") for task in tasks)), tuple(rows))


def cell_table(cells: Sequence[Result]) -> Table:
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
    names = [_label(one.rule) for one in found][::-1]
    figure = go.Figure()
    figure.add_scatter(
        x=[ratio for one in found for ratio in one.by_task.values()],
        y=[_label(one.rule) for one in found for _ in one.by_task],
        text=[task.replace("_", " ") for one in found for task in one.by_task],
        mode="markers",
        name="one task",
        marker={"size": 7, "symbol": "circle-open", "color": METHOD_COLOURS["zero_shot"]},
    )
    figure.add_scatter(
        x=[one.ratio for one in found],
        y=[_label(one.rule) for one in found],
        error_x=interval([(one.ratio, one.task_low, one.task_high) for one in found], METHOD_COLOURS["steering"]),
        mode="markers",
        name="mean over tasks, 95 %",
        marker={"size": 11, "color": METHOD_COLOURS["steering"]},
    )
    figure.add_vline(x=1, line={"color": text_colour(dark), "dash": "dot"})
    reached = [value for one in found for value in (*one.by_task.values(), one.task_low, one.task_high)]
    ends = math.log10(min(1, np.nanmin(reached))) - 0.05, math.log10(max(1, np.nanmax(reached))) + 0.05
    title = "error ÷ random heads’"
    figure.update_xaxes(type="log", title=title, range=ends, tickvals=TICKS, ticktext=[f"{one:g}" for one in TICKS])
    figure.update_yaxes(categoryorder="array", categoryarray=names)
    styled(figure, dark, height=FRAME_PX + ROW_PX * len(found))
    return figure.update_layout(margin={"l": 216})


def _of_count(cells: Sequence[Result], heads: int) -> list[str]:
    """What stands on the page of one number of heads."""
    cells = [one for one in cells if parse_cell(one["cell"]).heads == heads]
    beside_chance, beside_published = ratios(cells, heads), ratios(cells, heads, PUBLISHED)
    if not beside_chance:
        return ["No random draw to compare with yet."]
    drawn = draws(cells, heads)
    parts = [
        _said(beside_chance, len(cells), sum(cell.heads == heads for cell in planned())),
        "### Beside random heads",
        f"The geometric mean of a unit's draws: {min(drawn.values())} to {max(drawn.values())} of {DRAWS} so far.",
        markdown(ratio_table(beside_chance)),
    ]
    if beside_published:
        parts += [f"### Beside the {RULES[PUBLISHED].label}", markdown(ratio_table(beside_published))]
    ceiling = [one for one in cells if parse_cell(one["cell"]).rule == CEILING]
    if ceiling:
        reached = ", ".join(f"{one['after']:.3f} (`{one['cell']}`)" for one in ceiling)
        parts.append(f"The ceiling, heads chosen by training itself and compared with no rule: {reached}.")
    return parts


def _said(found: Sequence[Ratio], there: int, total: int) -> str:
    """The finding of one number of heads in words, with what it rests on."""
    named = {what: ", ".join(_label(one.rule) for one in found if one.found == what) for what in ("better", "worse")}
    done = sum(one.units >= UNITS for one in found)
    words = [f"{there} of {total} cells; {done} {'rule has' if done == 1 else 'rules have'} every unit."]
    if not done:
        words.append("Nothing may be said to be better or worse yet: what follows are leads and no results.")
        return " ".join(words)
    words.append(
        f"Better than random heads: {named['better']}." if named["better"] else "No rule is shown to beat random heads."
    )
    words.append(f"Worse: {named['worse']}." if named["worse"] else "None is shown to be worse.")
    if any(one.units < UNITS for one in found):
        words.append("Rules with fewer units are leads and no results.")
    return " ".join(words)


def _predicted(found: Sequence[Predictor]) -> str:
    if not found:
        return "Not enough random sets yet: four of one task and number of heads are needed."
    rows = [(one.name, f"{one.rho:.2f}", f"{one.low:.2f} to {one.high:.2f}", str(one.groups)) for one in found]
    return (
        "Spearman's ρ with the held-out error within a task and number of heads: above 0, higher is worse.\n\n"
        + markdown(Table(("Of the set", "Mean ρ", "Range", "Groups"), tuple(rows)))
    )


def _label(rule: str) -> str:
    return "random heads" if rule == CHANCE else RULES[rule].label


def _counts(cells: Sequence[Result]) -> list[int]:
    return sorted({parse_cell(one["cell"]).heads for one in cells})


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{low:.2f} to {high:.2f}"


def _number(value: float, how: str) -> str:
    return "" if math.isnan(value) else format(value, how)
