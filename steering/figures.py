"""Plotly figures from the dataclasses, for the page, the report and notebooks; each is built in milliseconds.

Backgrounds are transparent. Text and axes are a mid grey that reads on white and on near-black, so that one figure
works in both themes; `dark` (True or False) gives full contrast where the theme is known. Colours tell methods apart
for colour-blind readers too (Okabe and Ito's palette, those with a contrast of at least 3 on both backgrounds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from steering.errors import InputError
from steering.types import (
    ACTION_NAMES,
    METHOD_LABELS,
    STACK_LABELS,
    STACKS,
    STATE_NAMES,
    Comparison,
    Episode,
    FinetuneResult,
    Head,
    Relevance,
)

# One colour per method everywhere; METHOD_COLOURS and OTHER_COLOURS are all that the figures tell methods apart by.
METHOD_COLOURS = {
    "zero_shot": "#808080",
    "steering": "#0072B2",
    "lora": "#D55E00",
    "lora_rank_matched": "#009E73",
    "dense_heads": "#B8659A",
    "full": "#A6761D",
}
OTHER_COLOURS = ("#5B6FD6", "#6B8E23", "#3D93C6", "#C2559D", "#8C7B5A")
CURVE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#B8659A", "#A6761D", "#3D93C6", "#5B6FD6", "#808080")
NEUTRAL_TEXT, DARK_TEXT, LIGHT_TEXT = "#787f88", "#e5e7eb", "#1f2937"
GRID = "rgba(128,128,128,0.25)"
INERT_COLOUR = "rgba(128,128,128,0.35)"
RING_COLOUR = "#D55E00"
SCORE_SCALE = "Viridis"  # monotone in lightness; its middle is not grey, which means inert
SMOOTHING = 15  # training steps of the running mean in the loss curve

History = Sequence[Mapping[str, float]]


def method_colour(method: str, methods: Sequence[str] = ()) -> str:
    """The colour of a method: fixed for METHOD_COLOURS, by its place among the other `methods` otherwise."""
    if method in METHOD_COLOURS:
        return METHOD_COLOURS[method]
    others = [name for name in methods if name not in METHOD_COLOURS]
    return OTHER_COLOURS[(others.index(method) if method in others else 0) % len(OTHER_COLOURS)]


def head_map(relevance: Relevance, selected: Sequence[Head] = (), *, dark: bool | None = None) -> go.Figure:
    """Scores of all heads, VLM and action expert side by side on one colour scale: layers down, heads across.

    Inert heads are grey, heads in `selected` ringed; scores are in the hover text of all.
    """
    figure = make_subplots(1, len(STACKS), subplot_titles=[_title(STACK_LABELS[stack]) for stack in STACKS])
    movable = relevance.score[~relevance.inert]
    low, high = (float(movable.min()), float(movable.max())) if movable.size else (0.0, 1.0)
    for s, stack in enumerate(STACKS):
        score = relevance.score[s].astype(float)
        inert = relevance.inert[s]
        hover = f"{STACK_LABELS[stack]} %{{y}}.%{{x}}<br>score %{{customdata:.3f}}"
        common = {"customdata": score, "xgap": 1, "ygap": 1, "hoverongaps": False}
        figure.add_heatmap(
            z=np.where(inert, np.nan, score),
            coloraxis="coloraxis",
            name=stack,
            hovertemplate=hover + "<extra></extra>",
            **common,
            row=1,
            col=s + 1,
        )
        if inert.any():
            figure.add_heatmap(
                z=np.where(inert, 0.0, np.nan),
                colorscale=[[0, INERT_COLOUR], [1, INERT_COLOUR]],
                showscale=False,
                name=f"{stack} inert",
                hovertemplate=hover + "<br>inert: cannot move an action<extra></extra>",
                **common,
                row=1,
                col=s + 1,
            )
        chosen = [head for head in selected if head.stack == stack]
        if chosen:
            figure.add_scatter(
                x=[head.head for head in chosen],
                y=[head.layer for head in chosen],
                mode="markers",
                marker={"symbol": "square-open", "size": 17, "color": RING_COLOUR, "line": {"width": 3}},
                name=f"{stack} selected",
                showlegend=False,
                hoverinfo="skip",
                row=1,
                col=s + 1,
            )
    layers, heads = relevance.score.shape[1:]
    figure.update_xaxes(title="head", range=[-0.5, heads - 0.5], dtick=1 if heads <= 16 else None)
    figure.update_yaxes(range=[layers - 0.5, -0.5], dtick=1 if layers <= 20 else None)
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(showgrid=False, zeroline=False)
    figure.update_yaxes(title="layer", col=1)
    figure.update_layout(
        coloraxis={"colorscale": SCORE_SCALE, "cmin": low, "cmax": high, "colorbar": {"title": "score"}}
    )
    return _styled(figure, dark, height=120 + 28 * layers, legend=False)


def finetune_curves(histories: Mapping[str, History], *, dark: bool | None = None) -> go.Figure:
    """Training loss (above) and held-out action error (below) of several methods over the training steps.

    histories: method -> reports, each with `step` and `loss`, `heldout_error` or both, as a running job gives them;
    may be empty. The loss is drawn as it is, faintly, and as a running mean.
    """
    figure = make_subplots(
        2,
        1,
        shared_xaxes=True,
        vertical_spacing=0.12,
        subplot_titles=(_title("Training loss"), _title("Held-out action error")),
    )
    for method, history in histories.items():
        line = {"color": method_colour(method, list(histories)), "width": 2.5}
        shown = {"name": _label(method), "legendgroup": method}
        step, loss = _series(history, "loss")
        figure.add_scatter(
            x=step,
            y=loss,
            mode="lines",
            line=line,
            opacity=0.3,
            hoverinfo="skip",
            **shown,
            showlegend=False,
            row=1,
            col=1,
        )
        figure.add_scatter(x=step, y=running_mean(loss, SMOOTHING), mode="lines", line=line, **shown, row=1, col=1)
        step, error = _series(history, "heldout_error")
        figure.add_scatter(x=step, y=error, mode="lines+markers", line=line, **shown, showlegend=False, row=2, col=1)
    figure.update_xaxes(title="training step", row=2, col=1)
    figure.update_yaxes(rangemode="tozero")
    return _styled(figure, dark, height=440)


def finetune_history(result: FinetuneResult) -> list[dict[str, float]]:
    """The reports of a finished finetune, in the form that `finetune_curves` draws."""
    loss = [{"step": float(step + 1), "loss": float(value)} for step, value in enumerate(result.loss)]
    heldout = [
        {"step": float(step), "heldout_error": float(value)}
        for step, value in zip(result.heldout_step, result.heldout_error, strict=True)
    ]
    return loss + heldout


def success_bars(comparisons: Sequence[Comparison], *, dark: bool | None = None) -> go.Figure:
    """Success rates with Wilson intervals, in percent: a group of bars per task and variation, a bar per method."""
    if not comparisons:
        raise InputError("Expected at least one comparison to draw, got none.")
    methods = list(dict.fromkeys(rate.method for comparison in comparisons for rate in comparison.rates))
    figure = go.Figure()
    for method in methods:
        found = [(_cell(c), rate) for c in comparisons for rate in c.rates if rate.method == method]
        rates = [rate for _, rate in found]
        figure.add_bar(
            x=[cell for cell, _ in found],
            y=[100 * rate.rate for rate in rates],
            error_y={
                "type": "data",
                "array": [100 * (rate.high - rate.rate) for rate in rates],
                "arrayminus": [100 * (rate.rate - rate.low) for rate in rates],
                "color": _text_colour(dark),
            },
            customdata=[[100 * rate.low, 100 * rate.high] for rate in rates],
            hovertemplate="%{y:.0f} % (95 %: %{customdata[0]:.0f} to %{customdata[1]:.0f})",
            name=_label(method),
            offsetgroup=method,
            marker={
                "color": _faint(method_colour(method, methods)),  # so that the interval shows inside the bar too
                "line": {"color": method_colour(method, methods), "width": 2},
            },
        )
        figure.add_scatter(  # counts, above the intervals
            x=[cell for cell, _ in found],
            y=[100 * rate.high for rate in rates],
            text=[f"{rate.successes}/{rate.trials}" for rate in rates],
            mode="text",
            textposition="top center",
            cliponaxis=False,
            offsetgroup=method,
            name=_label(method),
            showlegend=False,
            hoverinfo="skip",
        )
    figure.update_layout(barmode="group", scattermode="group")
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(title="success (%)", range=[0, 108], dtick=20)
    return _styled(figure, dark, height=360)


def cost_bars(results: Sequence[FinetuneResult], *, dark: bool | None = None) -> go.Figure:
    """Trainable parameters and training seconds of each finetune, side by side."""
    if not results:
        raise InputError("Expected at least one finetune to draw, got none.")
    methods = [result.method for result in results]
    figure = make_subplots(
        1, 2, subplot_titles=(_title("Trainable parameters"), _title("Training time (s)")), horizontal_spacing=0.12
    )
    labels = [_label(method) for method in methods]
    colours = [method_colour(method, methods) for method in methods]
    for column, values, text in (
        (1, [float(result.trainable_parameters) for result in results], ".3s"),
        (2, [float(result.train_s) for result in results], ".1f"),
    ):
        figure.add_bar(
            x=labels,
            y=values,
            marker={"color": colours},
            texttemplate=f"%{{y:{text}}}",
            textposition="outside",
            cliponaxis=False,
            hovertemplate=f"%{{x}}: %{{y:{text}}}<extra></extra>",
            row=1,
            col=column,
        )
        figure.update_yaxes(range=[0, 1.15 * max(values, default=0) or 1], row=1, col=column)
    figure.update_xaxes(showgrid=False)
    return _styled(figure, dark, height=320, legend=False)


def episode_curves(episode: Episode, frame: int | None = None, *, dark: bool | None = None) -> go.Figure:
    """State (above) and action (below) of an episode over time in seconds; `frame` marks the frame shown."""
    if frame is not None and not 0 <= frame < episode.frames:
        raise InputError(f"Expected a frame from 0 to {episode.frames - 1}, got {frame}.")
    figure = make_subplots(
        2, 1, shared_xaxes=True, vertical_spacing=0.1, subplot_titles=(_title("State"), _title("Action"))
    )
    time_s = np.arange(episode.frames) / episode.rate_hz
    for row, values, names in ((1, episode.state, STATE_NAMES), (2, episode.action, ACTION_NAMES)):
        known = names if values.shape[1] == len(names) else [f"{row}.{d}" for d in range(values.shape[1])]
        for d, name in enumerate(known):
            last = d == values.shape[1] - 1  # the gripper, by the contract
            figure.add_scatter(
                x=time_s,
                y=values[:, d].astype(float),
                mode="lines",
                name=str(name).replace("_", " "),
                line={
                    "color": CURVE_COLOURS[d % len(CURVE_COLOURS)],
                    "width": 3 if last else 1.8,
                    "dash": "dot" if last else "solid",
                },
                legend="legend" if row == 1 else "legend2",
                row=row,
                col=1,
            )
    if frame is not None:
        figure.add_vline(x=frame / episode.rate_hz, line={"color": NEUTRAL_TEXT, "width": 1.5})
    figure.update_xaxes(title="time (s)", row=2, col=1)
    _styled(figure, dark, height=520)
    side = {"orientation": "v", "x": 1.01, "xanchor": "left", "yanchor": "top"}
    figure.update_layout(legend={**side, "y": 1}, legend2={**side, "y": 0.45})
    return figure


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """float [n]: mean of each value and up to `width` // 2 on each side of it, as many on one as on the other."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=float)])
    place = np.arange(len(values))
    side = np.minimum(np.minimum(place, len(values) - 1 - place), width // 2)
    return (total[place + side + 1] - total[place - side]) / (2 * side + 1)


def _series(history: History, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of the reports that have `name`, by step."""
    found = sorted((report["step"], report[name]) for report in history if name in report and "step" in report)
    pairs = np.array(found, float).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _cell(comparison: Comparison) -> str:
    name = comparison.task.replace("_", " ")
    return name + (f"<br>{', '.join(comparison.variations)}" if comparison.variations else "")


def _label(method: str) -> str:
    return METHOD_LABELS.get(method, method.replace("_", " "))


def _text_colour(dark: bool | None) -> str:
    return NEUTRAL_TEXT if dark is None else DARK_TEXT if dark else LIGHT_TEXT


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.3)"


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]


def _styled(figure: go.Figure, dark: bool | None, *, height: int, legend: bool = True) -> go.Figure:
    text = _text_colour(dark)
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
        font={"color": text, "family": "system-ui, sans-serif", "size": 13},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 1.08, "yanchor": "bottom"},
        template="none",
    )
    figure.update_xaxes(gridcolor=GRID, zerolinecolor=GRID, linecolor=GRID, title_font_size=13)
    figure.update_yaxes(gridcolor=GRID, zerolinecolor=GRID, linecolor=GRID, title_font_size=13)
    figure.update_annotations(font={"color": text, "size": 14})
    return figure
