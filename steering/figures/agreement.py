"""Figures of trust: two measures of the same heads against each other, and how choice depends on demonstrations."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from steering.errors import InputError
from steering.figures.style import faint, stack_colour, styled, text_colour, title
from steering.types import Head, Relevance, Replication, stack_label

_SYMBOLS = {"vlm": "circle", "expert": "diamond"}


def disagreement(
    first: Relevance, second: Relevance, selected: Collection[Head] = (), *, dark: bool | None = None
) -> go.Figure:
    """Two measures of the same heads, one against the other; heads that either holds inert are left out.

    Selected heads are ringed. `customdata` of each point is its [stack, layer, head], for a lasso.
    """
    if not first.shape.has_the_heads_of(second.shape):
        raise InputError(f"Expected scores of the same heads, got {first.shape.words()} and {second.shape.words()}.")
    movable = ~(first.inert | second.inert) & np.isfinite(first.score) & np.isfinite(second.score)
    figure = go.Figure()
    for s, one in enumerate(first.shape.stacks):
        stack = one.name
        places = [(s, int(layer), int(head)) for layer, head in np.argwhere(movable[s])]
        heads = [first.shape.at(place) for place in places]
        ringed = [head in selected for head in heads]
        figure.add_scatter(
            x=[float(first.score[place]) for place in places],
            y=[float(second.score[place]) for place in places],
            mode="markers",
            name=one.label,
            text=[head.label() for head in heads],
            customdata=[[stack, *place[1:]] for place in places],
            hovertemplate="%{text}<br>%{x:.3g}, %{y:.3g}<extra></extra>",
            marker={
                "symbol": _SYMBOLS.get(stack, "square"),
                "size": 9,
                "color": faint(stack_colour(stack)),
                "line": {
                    "color": [text_colour(dark) if ring else stack_colour(stack) for ring in ringed],
                    "width": [3 if ring else 1 for ring in ringed],
                },
            },
        )
    figure.update_xaxes(title=_named(first))
    figure.update_yaxes(title=_named(second))
    figure.update_layout(dragmode="lasso")
    return styled(figure, dark, height=420)


def stability_curve(replication: Replication, *, dark: bool | None = None) -> go.Figure:
    """Agreement of head sets (left) and of whole rankings (right) chosen from independent demonstrations.

    By the number of demonstrations; bars hold 95 % of the draws. 0 is what random choice would give.
    """
    figure = make_subplots(
        1,
        2,
        subplot_titles=(
            title(f"stability of the best {replication.set_size} (Nogueira's S)"),
            title("rank correlation of all scores (Spearman)"),
        ),
    )
    for column, of_stack in ((1, replication.stability), (2, replication.rho)):
        for stack, values in of_stack.items():
            middle = values[:, 1].astype(float)
            figure.add_scatter(
                x=list(replication.counts),
                y=middle,
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": np.nan_to_num(values[:, 2] - middle),
                    "arrayminus": np.nan_to_num(middle - values[:, 0]),
                    "color": stack_colour(stack),
                },
                mode="lines+markers",
                name=stack_label(stack),
                legendgroup=stack,
                showlegend=column == 1,
                line={"color": stack_colour(stack), "width": 2.5},
                marker={"symbol": _SYMBOLS.get(stack, "square"), "size": 8},
                row=1,
                col=column,
            )
    figure.update_xaxes(title="demonstrations", tickvals=list(replication.counts))
    figure.update_yaxes(range=[-0.3, 1.05], zeroline=True)
    return styled(figure, dark, height=360)


def _named(relevance: Relevance) -> str:
    return f"{relevance.metric.replace('_', ' ')} ({relevance.preset})"
