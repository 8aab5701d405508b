"""Figures of relevance: every head at once, the best with their intervals, and relevance by time in the episode."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from steering.errors import InputError
from steering.figures.style import (
    DIVERGING_SCALE,
    INERT_COLOUR,
    RING_COLOUR,
    SCORE_SCALE,
    faint,
    stack_colour,
    styled,
    text_colour,
    title,
)
from steering.types import Head, Relevance, RelevanceOverTime, Trust


def head_map(relevance: Relevance, selected: Sequence[Head] = (), *, dark: bool | None = None) -> go.Figure:
    """Scores of all heads, the stacks side by side on one colour scale: layers down, heads across.

    Inert heads are grey, heads in `selected` ringed; scores are in the hover text of all.
    """
    stacks = relevance.shape.stacks
    figure = make_subplots(1, len(stacks), subplot_titles=[title(one.label) for one in stacks])
    movable = relevance.score[~relevance.inert]
    low, high = (float(movable.min()), float(movable.max())) if movable.size else (0.0, 1.0)
    for s, one in enumerate(stacks):
        stack = one.name
        score = relevance.score[s, : one.layers, : one.heads].astype(float)
        inert = relevance.inert[s, : one.layers, : one.heads]
        hover = f"{one.label} %{{y}}.%{{x}}<br>score %{{customdata:.3f}}"
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
        figure.update_xaxes(range=[-0.5, one.heads - 0.5], dtick=1 if one.heads <= 16 else None, col=s + 1)
        figure.update_yaxes(range=[one.layers - 0.5, -0.5], dtick=1 if one.layers <= 20 else None, col=s + 1)
    layers = relevance.shape.layers
    figure.update_xaxes(title="head")
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(showgrid=False, zeroline=False)
    figure.update_yaxes(title="layer", col=1)
    figure.update_layout(
        coloraxis={"colorscale": SCORE_SCALE, "cmin": low, "cmax": high, "colorbar": {"title": "score"}}
    )
    return styled(figure, dark, height=120 + 28 * layers, legend=False)


def head_bars(
    relevance: Relevance,
    trust: Trust | None = None,
    selected: Collection[Head] = (),
    *,
    count: int = 20,
    dark: bool | None = None,
) -> go.Figure:
    """The `count` most relevant heads that can move an action, best on top; selected ones filled.

    trust: of the same relevance, for 95 % intervals; its family-wise p is in the hover text.
    """
    if count < 1:
        raise InputError(f"Expected at least one head to draw, got {count}.")
    order = [place for place in np.argwhere(~relevance.inert) if np.isfinite(relevance.score[tuple(place)])]
    order = sorted(order, key=lambda place: -relevance.score[tuple(place)])[:count]
    places = [tuple(int(i) for i in place) for place in order]
    heads = [relevance.shape.at(place) for place in places]
    scores = [float(relevance.score[place]) for place in places]
    figure = go.Figure()
    for one in relevance.shape.stacks:
        stack, colour = one.name, stack_colour(one.name)
        mine = [i for i, head in enumerate(heads) if head.stack == stack]
        error = None
        if trust is not None:
            error = {
                "type": "data",
                "symmetric": False,
                "array": [max(float(trust.score_high[places[i]]) - scores[i], 0) for i in mine],
                "arrayminus": [max(scores[i] - float(trust.score_low[places[i]]), 0) for i in mine],
                "color": text_colour(dark),
            }
        notes = [f"<br>family-wise p {trust.p[places[i]]:.3g}" if trust is not None else "" for i in mine]
        figure.add_bar(
            y=[heads[i].label() for i in mine],
            x=[scores[i] for i in mine],
            orientation="h",
            name=one.label,
            error_x=error,
            customdata=notes,
            hovertemplate="%{y}: %{x:.3f}%{customdata}<extra></extra>",
            marker={
                "color": [colour if heads[i] in selected else faint(colour) for i in mine],
                "line": {"color": colour, "width": 2},
            },
        )
    figure.update_yaxes(
        categoryorder="array", categoryarray=[head.label() for head in heads][::-1], showgrid=False, automargin=True
    )
    figure.update_xaxes(title="score")
    return styled(figure, dark, height=110 + 20 * len(heads))


def relevance_over_time(over_time: RelevanceOverTime, heads: Sequence[Head], *, dark: bool | None = None) -> go.Figure:
    """Relevance of some heads by time in the episode: a row per head, a column per part of the episode."""
    if not heads:
        raise InputError("Expected at least one head to draw over time, got none.")
    rows = np.stack([over_time.score[(slice(None), *over_time.shape.place(head))] for head in heads]).astype(float)
    centre = (over_time.edges[:-1] + over_time.edges[1:]) / 2
    figure = go.Figure()
    figure.add_heatmap(
        z=rows,
        x=centre,
        y=[head.label() for head in heads],
        colorscale=DIVERGING_SCALE,
        zmid=0,
        hovertemplate="%{y} at %{x:.0%} of the episode: %{z:.3f}<extra></extra>",
        hoverongaps=False,
        colorbar={"title": "score"},
        ygap=1,
    )
    figure.update_xaxes(title="share of the episode", tickformat=".0%", showgrid=False, range=[0, 1])
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    return styled(figure, dark, height=120 + 22 * len(heads), legend=False)
