"""Figures of finetuning: loss and held-out error while it runs and afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from steering.figures.style import label, method_colour, styled, title
from steering.types import FinetuneResult

SMOOTHING = 15  # training steps of the running mean in the loss curve

History = Sequence[Mapping[str, float]]


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
        subplot_titles=(title("Training loss"), title("Held-out action error")),
    )
    for method, history in histories.items():
        line = {"color": method_colour(method, list(histories)), "width": 2.5}
        shown = {"name": label(method), "legendgroup": method}
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
    return styled(figure, dark, height=440)


def finetune_history(result: FinetuneResult) -> list[dict[str, float]]:
    """The reports of a finished finetune, in the form that `finetune_curves` draws."""
    loss = [{"step": float(step + 1), "loss": float(value)} for step, value in enumerate(result.loss)]
    heldout = [
        {"step": float(step), "heldout_error": float(value)}
        for step, value in zip(result.heldout_step, result.heldout_error, strict=True)
    ]
    return loss + heldout


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
