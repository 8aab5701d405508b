"""Figures of results: success rates, and what each method cost."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from steering.errors import InputError
from steering.figures.style import faint, label, method_colour, styled, text_colour, title
from steering.types import Comparison, FinetuneResult


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
                "color": text_colour(dark),
            },
            customdata=[[100 * rate.low, 100 * rate.high] for rate in rates],
            hovertemplate="%{y:.0f} % (95 %: %{customdata[0]:.0f} to %{customdata[1]:.0f})",
            name=label(method),
            offsetgroup=method,
            marker={
                "color": faint(method_colour(method, methods)),  # so that the interval shows inside the bar too
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
            name=label(method),
            showlegend=False,
            hoverinfo="skip",
        )
    figure.update_layout(barmode="group", scattermode="group")
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(title="success (%)", range=[0, 108], dtick=20)
    return styled(figure, dark, height=360)


def cost_bars(results: Sequence[FinetuneResult], *, dark: bool | None = None) -> go.Figure:
    """Trainable parameters and training seconds of each finetune, side by side."""
    if not results:
        raise InputError("Expected at least one finetune to draw, got none.")
    methods = [result.method for result in results]
    figure = make_subplots(
        1, 2, subplot_titles=(title("Trainable parameters"), title("Training time (s)")), horizontal_spacing=0.12
    )
    labels = [label(method) for method in methods]
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
    return styled(figure, dark, height=320, legend=False)


def _cell(comparison: Comparison) -> str:
    name = comparison.task.replace("_", " ")
    return name + (f"<br>{', '.join(comparison.variations)}" if comparison.variations else "")
