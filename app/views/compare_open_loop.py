"""Predicted beside demonstrated action chunks on held-out episodes: curves, error by step and by dimension. SVG.

Drawn here rather than by Plotly: no script, printable, and small enough to be sent with the page (about 60 kB).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.answers.comparison import Predictions
from app.views.compare_table import method_attribute, plain_table, swatch
from app.views.markup import button, segments, text
from app.words import label_of
from steering.types import OpenLoop, OpenLoopComparison

WIDTH, HEIGHT, LEFT, BOTTOM = 300, 120, 34, 16
MOST_EPISODES = 12


def open_loop_card(shown: Predictions, episode: int) -> str:
    """Everything about held-out action chunks. episode: whose curves are drawn, where it is one of the held-out."""
    episodes = shown.comparison.episodes
    chosen = episode if episode in episodes else episodes[0]
    shown_of = [(str(e), str(e + 1)) for e in episodes[:MOST_EPISODES]]
    picker = segments("open_loop_episode", "Held-out episode", shown_of, str(chosen)) if len(episodes) > 1 else ""
    report = button("Report", "report", shown.id, quiet=True, testid="report-open-loop")
    return (
        f'<section class="wb-card" data-testid="open-loop">{open_loop(shown, chosen, picker)}'
        f'<div class="wb-buttons">{report}</div></section>'
    )


def open_loop(shown: Predictions, chosen: int, picker: str = "") -> str:
    """The verdict, error against horizon, the curves of episode `chosen`, and the numbers. picker: of the episode."""
    value = shown.comparison
    said = "".join(f"<p>{text(line)}</p>" for line in shown.sentences)
    legend = "".join(f"<span {method_attribute(one)}>{swatch(one)}</span>" for one in value.methods)
    return (
        "<h2>On recordings: predicted against demonstrated action "
        f'chunks</h2><div class="wb-two"><div class="wb-verdict-plain">{said}</div>{_by_step(value)}</div>'
        f'<div class="wb-loop-legend">{legend}<span><i class="wb-swatch wb-ink-swatch"></i>Demonstrated</span></div>'
        f"<div data-live>{picker}</div>"
        f'<div class="wb-curves-grid">{_curves(shown.made, value.action_names, chosen)}</div>'
        f'<details class="wb-more"><summary>Error by dimension and by step</summary>{_numbers(value)}</details>'
    )


def _by_step(value: OpenLoopComparison) -> str:
    """Error against horizon, every method with its bootstrap interval as a band."""
    steps = value.by_step.shape[1]
    top = float(np.nanmax(value.by_step)) * 1.05 or 1.0
    x = [LEFT + (WIDTH - LEFT - 6) * s / max(steps - 1, 1) for s in range(steps)]
    drawn = ""
    for method, rows in zip(value.methods, value.by_step, strict=True):
        y = 6 + (HEIGHT - BOTTOM - 6) * (1 - np.nan_to_num(rows) / top)  # [step, 3]
        band = [*zip(x, y[:, 2], strict=True), *reversed(list(zip(x, y[:, 1], strict=True)))]
        drawn += (
            f'<g {method_attribute(method)}><polygon class="wb-band" points="{_points(band)}"/>'
            f'<polyline points="{_points(list(zip(x, y[:, 0], strict=True)))}"/></g>'
        )
    seconds = (steps - 1) / value.rate_hz
    return (
        f'<figure class="wb-chart"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Action error against '
        f'horizon">{_frame(f"{top:.2g}", "0")}{drawn}<text x="{LEFT}" y="{HEIGHT - 2}">now</text>'
        f'<text x="{WIDTH - 6}" y="{HEIGHT - 2}" text-anchor="end">{seconds:.1f} s ahead</text></svg>'
        "<figcaption>Squared error by step of the chunk, in standard deviations squared; band: 95 % bootstrap over "
        "episodes.</figcaption></figure>"
    )


def _curves(made: Sequence[OpenLoop], names: Sequence[str], episode: int) -> str:
    """One small chart a dimension: the demonstrated action, and every predicted chunk from where it was predicted."""
    first = made[0]
    rows: list[int] = np.flatnonzero(first.episode == episode).tolist()
    frames = first.frame[rows]
    steps = first.demonstrated.shape[1]
    last = int(frames.max()) + steps if len(rows) else 1
    charts = ""
    for d, name in enumerate(names):
        seen = [one.predicted[rows, :, d] for one in made] + [first.demonstrated[rows, :, d]]
        low, high = (float(f(v)) for f, v in ((np.min, np.stack(seen)), (np.max, np.stack(seen))))
        low, high = (low, high) if high > low else (low - 1, high + 1)

        def place(
            row: int, values: np.ndarray, d: int = d, low: float = low, high: float = high
        ) -> list[tuple[float, float]]:
            count = int(first.valid[row].sum())
            return [
                (
                    LEFT + (WIDTH - LEFT - 6) * (int(first.frame[row]) + s) / last,
                    6 + (HEIGHT - BOTTOM - 6) * (1 - (float(values[row, s, d]) - low) / (high - low)),
                )
                for s in range(count)
            ]

        demonstrated = "".join(f'<polyline points="{_points(place(r, first.demonstrated))}"/>' for r in rows)
        predicted = "".join(
            f"<g {method_attribute(one.method)}>"
            + "".join(f'<polyline points="{_points(place(r, one.predicted))}"/>' for r in rows)
            + "</g>"
            for one in made
        )
        charts += (
            f'<figure class="wb-chart"><figcaption>{text(name)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'role="img" aria-label="{text(name)}: predicted and demonstrated">{_frame(f"{high:.2g}", f"{low:.2g}")}'
            f'{predicted}<g class="wb-demonstrated">{demonstrated}</g><text x="{WIDTH - 6}" y="{HEIGHT - 2}" '
            f'text-anchor="end">{last / first.rate_hz:.1f} s</text></svg></figure>'
        )
    return charts


def _numbers(value: OpenLoopComparison) -> str:
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
    return plain_table(["Dimension", *methods], dims, "error-by-dimension") + plain_table(
        by_step, steps, "error-by-step"
    )


def _interval(row: np.ndarray) -> str:
    return f"{row[0]:.3f} ({row[1]:.3f} to {row[2]:.3f})"


def _frame(high: str, low: str) -> str:
    base = HEIGHT - BOTTOM
    return (
        f'<path class="wb-axis" d="M{LEFT} 6V{base}H{WIDTH - 6}"/><text x="{LEFT - 4}" y="14" text-anchor="end">'
        f'{text(high)}</text><text x="{LEFT - 4}" y="{base}" text-anchor="end">{text(low)}</text>'
    )


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
