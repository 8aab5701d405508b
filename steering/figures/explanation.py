"""Figures of one head: what its nearest frames say of an action, and its outputs in the plane."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from steering.figures.style import OTHER_COLOURS, PHASE_COLOURS, STACK_COLOURS, styled, text_colour
from steering.types import PHASES, Projection, Why

_FAINTEST = 0.25  # opacity of the neighbour of least weight


def why(explained: Why, *, dark: bool | None = None) -> go.Figure:
    """Predicted against demonstrated action of one frame, with the actions of the nearest frames, more solid by weight.

    Each dimension is in its standard deviations, so that all share an axis; hover text is in the action's own units.
    """
    spread = np.where(explained.spread > 0, explained.spread, 1)
    names = [name.replace("_", " ") for name in explained.names]
    number = len(explained.weight)
    opacity = _FAINTEST + (1 - _FAINTEST) * explained.weight / explained.weight.max()
    where = [
        f"episode {e}, frame {f}<br>weight {w:.0%}, distance {d:.3g}"
        for e, f, w, d in zip(
            explained.neighbour_episode,
            explained.neighbour_frame,
            explained.weight,
            explained.distance,
            strict=True,
        )
    ]
    figure = go.Figure()
    figure.add_scatter(
        x=np.tile(names, number),
        y=(explained.action / spread).ravel(),
        mode="markers",
        name="nearest frames",
        marker={"color": OTHER_COLOURS[0], "size": 8, "opacity": np.repeat(opacity, len(names))},
        customdata=np.stack([np.repeat(where, len(names)), explained.action.ravel()], 1),
        hovertemplate="%{x}: %{customdata[1]:.3f}<br>%{customdata[0]}<extra></extra>",
    )
    for values, name, symbol, colour in (
        (explained.predicted, "predicted", "line-ew-open", STACK_COLOURS["expert"]),
        (explained.true, "demonstrated", "x-thin-open", text_colour(dark)),
    ):
        figure.add_scatter(
            x=names,
            y=values / spread,
            mode="markers",
            name=name,
            marker={"symbol": symbol, "size": 16, "color": colour, "line": {"width": 3}},
            customdata=values,
            hovertemplate=f"{name} %{{x}}: %{{customdata:.3f}}<extra></extra>",
        )
    figure.update_xaxes(showgrid=False, type="category")
    figure.update_yaxes(title="action (standard deviations)")
    return styled(figure, dark, height=340)


def projection(projected: Projection, *, dark: bool | None = None) -> go.Figure:
    """A head's outputs in the plane, one point a frame, coloured by phase."""
    figure = go.Figure()
    for index, phase in enumerate(PHASES):
        rows = projected.phase == index
        if rows.any():
            figure.add_scatter(
                x=projected.points[rows, 0],
                y=projected.points[rows, 1],
                mode="markers",
                name=phase,
                marker={"color": PHASE_COLOURS[index], "size": 5, "opacity": 0.7},
                customdata=np.stack([projected.episode[rows], projected.frame[rows]], 1),
                hovertemplate=f"{phase}<br>episode %{{customdata[0]}}, frame %{{customdata[1]}}<extra></extra>",
            )
    first, second = projected.explained
    figure.update_xaxes(title=f"first component ({first:.0%} of the variance)")
    figure.update_yaxes(title=f"second component ({second:.0%})", scaleanchor="x")
    return styled(figure, dark, height=420)
