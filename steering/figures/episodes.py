"""Figures of demonstrations: state and action over time."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from steering.errors import InputError
from steering.figures.style import CURVE_COLOURS, NEUTRAL_TEXT, styled, title
from steering.types import ACTION_NAMES, STATE_NAMES, Episode


def episode_curves(episode: Episode, frame: int | None = None, *, dark: bool | None = None) -> go.Figure:
    """State (above) and action (below) of an episode over time in seconds; `frame` marks the frame shown."""
    if frame is not None and not 0 <= frame < episode.frames:
        raise InputError(f"Expected a frame from 0 to {episode.frames - 1}, got {frame}.")
    figure = make_subplots(
        2, 1, shared_xaxes=True, vertical_spacing=0.1, subplot_titles=(title("State"), title("Action"))
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
    styled(figure, dark, height=520)
    side = {"orientation": "v", "x": 1.01, "xanchor": "left", "yanchor": "top"}
    figure.update_layout(legend={**side, "y": 1}, legend2={**side, "y": 0.45})
    return figure
