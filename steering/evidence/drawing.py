"""Plotly figures of the evidence: success by task and method, cost, the two curves, and differences with their margin.

Also as JSON for the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from statistics import fmean

import plotly.graph_objects as go

from steering.evidence.grid import METHODS, TASKS
from steering.evidence.inference import MARGIN, Contrast
from steering.evidence.results import Results
from steering.evidence.seeds import by_seed
from steering.evidence.tables import curve
from steering.figures.style import METHOD_COLOURS, NEUTRAL_TEXT, OTHER_COLOURS, faint, styled, text_colour
from steering.types import SuccessRate, p_words

COLOURS = {
    "zero_shot": METHOD_COLOURS["zero_shot"],
    "lora": METHOD_COLOURS["lora"],
    "lora_rank_matched": METHOD_COLOURS["lora_rank_matched"],
    "steering_vlm": METHOD_COLOURS["steering"],
    **dict(zip(("random", "steering_both", "steering_expert", "bottom"), OTHER_COLOURS, strict=False)),
}
"""By method of the grid."""
HEIGHT = 400
ROW_PX, FRAME_PX = 34, 130


def success_figure(results: Results) -> go.Figure:
    """Success of every method on every task, with Wilson intervals."""
    figure = go.Figure()
    names = [task.replace("_", " ") for task in TASKS]
    for method, how in METHODS.items():
        rates = [results.rate(method, (task, task, ())) for task in TASKS]
        if any(rates):
            figure.add_bar(
                x=names,
                y=[100 * one.rate if one else None for one in rates],
                error_y=_error(rates),
                name=how.label,
                marker={"color": faint(COLOURS[method]), "line": {"color": COLOURS[method], "width": 2}},
            )
    figure.update_layout(barmode="group", xaxis={"showgrid": False})
    return _drawn(figure)


def cost_figure(results: Results) -> go.Figure:
    """Mean success over the five tasks against the seconds that the method took, extraction and selection included."""
    figure = go.Figure()
    for method, how in METHODS.items():
        cost = results.cost(method)
        rates = [results.rate(method, (task, task, ())) for task in TASKS]
        known = [one.rate for one in rates if one]
        if cost and known:
            seconds = cost["extraction_s"] + cost["selection_s"] + cost["train_s"]
            figure.add_scatter(
                x=[seconds],
                y=[100 * fmean(known)],
                mode="markers",
                marker={"size": 14, "color": COLOURS[method]},
                name=how.label,
                hovertext=[f"{cost['trainable_parameters']:,.0f} trainable parameters"],
            )
    figure.update_xaxes(title="seconds (extraction, selection, training)", rangemode="tozero")
    return _drawn(figure, "mean success (%)")


def curve_figure(results: Results, axis: str) -> go.Figure:
    """Success against the number of `heads` or `demonstrations`."""
    figure = go.Figure()
    for method, points in curve(results, axis).items():
        rates = [rate for _, rate in points]
        figure.add_scatter(
            x=[number for number, _ in points],
            y=[100 * rate.rate for rate in rates],
            error_y=_error(rates, COLOURS[method]),
            mode="lines+markers",
            name=METHODS[method].label,
            line={"color": COLOURS[method]},
        )
    figure.update_xaxes(title=axis, rangemode="tozero")
    return _drawn(figure)


def forest_figure(contrasts: Mapping[str, Contrast], dark: bool | None = None) -> go.Figure:
    """Differences of success in points with their 95 % intervals over training seeds; the band is the margin."""
    names, found = list(contrasts), list(contrasts.values())
    figure = go.Figure()
    figure.add_vrect(
        -100 * MARGIN, 100 * MARGIN, fillcolor=faint(METHOD_COLOURS["zero_shot"]), line_width=0, layer="below"
    )
    figure.add_vline(x=0, line={"color": text_colour(dark), "dash": "dot"})
    figure.add_scatter(
        x=[100 * one.difference for one in found],
        y=names,
        error_x=interval(
            [(100 * one.difference, 100 * one.low, 100 * one.high) for one in found], METHOD_COLOURS["steering"]
        ),
        hovertext=[f"{one.seeds} training seeds, p {p_words(one.p)}" for one in found],
        mode="markers",
        marker={"size": 11, "color": METHOD_COLOURS["steering"]},
        name="Robotic Steering − LoRA",
    )
    figure.update_xaxes(title="Robotic Steering − LoRA, points of success (band: ±10)", range=[-100, 100], dtick=20)
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1])
    styled(figure, dark, height=FRAME_PX + ROW_PX * len(found), legend=False)
    return figure.update_layout(margin={"l": 240})


def figures(results: Results) -> dict[str, go.Figure]:
    """Every figure that has something to show, by name."""
    found = {"success": success_figure(results), "cost": cost_figure(results)}
    found |= {"forest": forest_figure(contrasts)} if (contrasts := by_seed(results)) else {}
    found |= {f"success_by_{axis}": curve_figure(results, axis) for axis in ("heads", "demonstrations")}
    return {name: figure for name, figure in found.items() if figure.data}


def write_figures(drawn: Mapping[str, go.Figure], folder: Path) -> list[Path]:
    """Each figure as Plotly JSON in `folder`, which is there where one is."""
    written = []
    for name, figure in drawn.items():
        folder.mkdir(parents=True, exist_ok=True)
        written.append(folder / f"{name}.json")
        written[-1].write_text(figure.to_json() + "\n", encoding="utf-8")
    return written


def write_page(folder: Path, text: str, drawn: Mapping[str, go.Figure]) -> Path:
    """What stands beside a folder of cells: `folder`.md, which is returned, and its pictures in `folder`_figures."""
    page = folder.parent / f"{folder.name}.md"
    page.write_text(text + "\n", encoding="utf-8")
    write_figures(drawn, folder.parent / f"{folder.name}_figures")
    return page


def interval(points: Sequence[tuple[float, float, float]], colour: str) -> dict[str, object]:
    """Error bars of (middle, low, high), one a point; none where an end is not known (NaN)."""
    return {
        "type": "data",
        "symmetric": False,
        "color": colour,
        "array": [0.0 if isnan(high - middle) else high - middle for middle, _, high in points],
        "arrayminus": [0.0 if isnan(middle - low) else middle - low for middle, low, _ in points],
    }


def _drawn(figure: go.Figure, title: str = "success (%)") -> go.Figure:
    figure.update_yaxes(title=title, range=[0, 105], dtick=20)
    return styled(figure, None, height=HEIGHT)


def _error(rates: list[SuccessRate | None] | list[SuccessRate], colour: str = NEUTRAL_TEXT) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "color": colour,
        "array": [100 * (one.high - one.rate) if one else None for one in rates],
        "arrayminus": [100 * (one.rate - one.low) if one else None for one in rates],
    }
