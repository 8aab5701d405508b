"""Predicted beside demonstrated action chunks on held-out episodes: curves, error by step and by dimension. SVG.

Drawn here rather than by Plotly: no script, printable, and small enough to be sent with the page (about 60 kB).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from app.answers.comparison import Predictions
from app.views.compare_table import plain_table
from app.views.templates import Macros
from app.words import label_of
from steering.types import OpenLoop, OpenLoopComparison

HTML = Macros("compare_open_loop.html")
WIDTH, HEIGHT, LEFT, BASE = 300, 120, 34, 104
BOX = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "base": BASE}
MOST_EPISODES = 12


def open_loop_card(shown: Predictions, episode: int) -> Markup:
    """Everything about held-out action chunks. episode: whose curves are drawn, where it is one of the held-out."""
    episodes = shown.comparison.episodes
    chosen = episode if episode in episodes else episodes[0]
    offered = episodes[:MOST_EPISODES] if len(episodes) > 1 else ()
    return HTML.open_loop_card(shown.id, open_loop(shown, chosen, offered))


def open_loop(shown: Predictions, chosen: int, offered: Sequence[int] = ()) -> Markup:
    """The verdict, error against horizon, the curves of episode `chosen`, and the numbers. offered: episodes that can
    be chosen instead.
    """
    value = shown.comparison
    episodes = [(str(e), str(e + 1)) for e in offered]
    return HTML.open_loop(
        shown.sentences,
        shown.origins,
        value.methods,
        _by_step(value),
        episodes,
        str(chosen),
        _curves(shown.made, value.action_names, chosen),
        *_numbers(value),
    )


def _by_step(value: OpenLoopComparison) -> Markup:
    """Error against horizon, every method with its bootstrap interval as a band."""
    steps = value.by_step.shape[1]
    top = float(np.nanmax(value.by_step)) * 1.05 or 1.0
    x = [LEFT + (WIDTH - LEFT - 6) * s / max(steps - 1, 1) for s in range(steps)]
    lines = []
    for method, rows in zip(value.methods, value.by_step, strict=True):
        y = 6 + (BASE - 6) * (1 - np.nan_to_num(rows) / top)  # [step, 3]
        band = [*zip(x, y[:, 2], strict=True), *reversed(list(zip(x, y[:, 1], strict=True)))]
        lines.append((method, _points(band), _points(list(zip(x, y[:, 0], strict=True)))))
    return HTML.by_step(BOX, top, lines, (steps - 1) / value.rate_hz)


def _curves(made: Sequence[OpenLoop], names: Sequence[str], episode: int) -> Markup:
    """One small chart a dimension: the demonstrated action, and every predicted chunk from where it was predicted."""
    first = made[0]
    rows: list[int] = np.flatnonzero(first.episode == episode).tolist()
    last = int(first.frame[rows].max()) + first.demonstrated.shape[1] if len(rows) else 1
    charts = []
    for d, name in enumerate(names):
        seen = [one.predicted[rows, :, d] for one in made] + [first.demonstrated[rows, :, d]]
        low, high = (float(f(v)) for f, v in ((np.min, np.stack(seen)), (np.max, np.stack(seen))))
        low, high = (low, high) if high > low else (low - 1, high + 1)

        def chunks(values: np.ndarray, d: int = d, low: float = low, high: float = high) -> list[str]:
            """Points of every chunk of the episode. values: [row, step, dimension]."""
            return [
                _points(
                    [
                        (
                            LEFT + (WIDTH - LEFT - 6) * (int(first.frame[row]) + s) / last,
                            6 + (BASE - 6) * (1 - (float(values[row, s, d]) - low) / (high - low)),
                        )
                        for s in range(int(first.valid[row].sum()))
                    ]
                )
                for row in rows
            ]

        predicted = [(one.method, chunks(one.predicted)) for one in made]
        seconds = last / first.rate_hz
        charts.append(HTML.curves(BOX, name, low, high, predicted, chunks(first.demonstrated), seconds))
    return Markup().join(charts)


def _numbers(value: OpenLoopComparison) -> tuple[Markup, Markup]:
    """The same as tables: by dimension with intervals, and by step and dimension."""
    dims = [
        [name, *(_interval(value.by_dim[m, d]) for m in range(len(value.methods)))]
        for d, name in enumerate(value.action_names)
    ]
    steps = [
        [f"{label_of(method)}, step {s + 1}", *(f"{e:.2f}" for e in value.error[m, s]), _interval(value.by_step[m, s])]
        for m, method in enumerate(value.methods)
        for s in range(value.error.shape[1])
    ]
    methods = [label_of(one) for one in value.methods]
    by_step = ["Method and step", *value.action_names, "All dimensions"]
    by_dimension = plain_table(["Dimension", *methods], dims, "error-by-dimension")
    return by_dimension, plain_table(by_step, steps, "error-by-step")


def _interval(row: np.ndarray) -> str:
    return f"{row[0]:.3f} ({row[1]:.3f} to {row[2]:.3f})"


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
