"""What a finetune did to the heads: their scores before and after it, and the difference."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from steering.figures.style import DIVERGING_SCALE, INERT_COLOUR, LIGHT_TEXT, RING_COLOUR, SCORE_SCALE, styled, title
from steering.types import HeadChange

COLUMNS = ("before", "after", "change")
SPACING = 0.14  # between rows, of the figure's height
LEAST_CHANGE = 0.05
"""Explained variance at which the colours of a change end at least, so that noise does not look like a finding."""


def head_change(change: HeadChange, *, dark: bool | None = None) -> go.Figure:
    """A row a stack: scores before and after on one scale, and their difference around 0. Trained heads are ringed.

    Layers down, heads across; inert heads are grey.
    """
    stacks = change.before.shape.stacks
    titles = [f"{title(one.label)}, {column}" for one in stacks for column in COLUMNS]
    figure = make_subplots(len(stacks), len(COLUMNS), subplot_titles=titles, vertical_spacing=SPACING)
    rings = (None, RING_COLOUR, LIGHT_TEXT)  # each is seen on its column's colours
    for s, one in enumerate(stacks):
        stack, cells = one.name, (s, slice(one.layers), slice(one.heads))
        inert = change.before.inert[cells]
        before, after = (
            np.where(inert, np.nan, scored.score[cells].astype(float)) for scored in (change.before, change.after)
        )
        difference = after - before
        known = np.concatenate([values[np.isfinite(values)] for values in (before, after)])
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        most = max(LEAST_CHANGE, float(np.nanmax(np.abs(difference), initial=0.0)))
        scales = (
            *2 * ({"colorscale": SCORE_SCALE, "zmin": low, "zmax": high, "showscale": False},),
            {"colorscale": DIVERGING_SCALE, "zmin": -most, "zmax": most, "colorbar": _bar(s, len(stacks))},
        )
        for c, (values, scale) in enumerate(zip((before, after, difference), scales, strict=True)):
            where = {"row": s + 1, "col": c + 1}
            hover = f"{one.label} %{{y}}.%{{x}}<br>{COLUMNS[c]} %{{z:.3f}}<extra></extra>"
            name = f"{stack} {COLUMNS[c]}"
            figure.add_heatmap(
                z=values, name=name, hovertemplate=hover, hoverongaps=False, xgap=1, ygap=1, **scale, **where
            )
            if inert.any():
                figure.add_heatmap(
                    z=np.where(inert, 0.0, np.nan),
                    colorscale=[[0, INERT_COLOUR], [1, INERT_COLOUR]],
                    showscale=False,
                    hoverinfo="skip",
                    xgap=1,
                    ygap=1,
                    **where,
                )
            ringed = [head for head in change.trained if head.stack == stack]
            if ringed and rings[c]:
                figure.add_scatter(
                    x=[head.head for head in ringed],
                    y=[head.layer for head in ringed],
                    mode="markers",
                    marker={"symbol": "square-open", "size": 15, "color": rings[c], "line": {"width": 2.5}},
                    hoverinfo="skip",
                    **where,
                )
        figure.update_xaxes(range=[-0.5, one.heads - 0.5], dtick=1 if one.heads <= 16 else None, row=s + 1)
        figure.update_yaxes(range=[one.layers - 0.5, -0.5], dtick=1 if one.layers <= 20 else None, row=s + 1)
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(showgrid=False, zeroline=False)
    figure.update_xaxes(title="head", row=len(stacks))
    figure.update_yaxes(title="layer", col=1)
    return styled(figure, dark, height=140 + sum(60 + 22 * change.before.shape.layers for _ in stacks), legend=False)


def _bar(row: int, rows: int) -> dict[str, object]:
    """The colour bar of a row's change, beside it; rows are spaced as `vertical_spacing` says."""
    tall = (1 - SPACING * (rows - 1)) / rows
    middle = 1 - tall / 2 - row * (tall + SPACING)
    return {"title": "change", "len": tall, "y": middle, "yanchor": "middle"}
