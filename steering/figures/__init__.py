"""Plotly figures from the dataclasses, for the page, the report and notebooks; each is built in milliseconds.

One module a kind. Every figure has a transparent background; `dark` says the theme where it is known.
"""

from steering.figures.agreement import disagreement, stability_curve
from steering.figures.change import head_change
from steering.figures.episodes import episode_curves
from steering.figures.explanation import projection, why
from steering.figures.heads import head_bars, head_map, relevance_over_time
from steering.figures.results import cost_bars, success_bars
from steering.figures.style import method_colour, plain
from steering.figures.training import History, finetune_curves, finetune_history, running_mean

__all__ = [
    "History",
    "cost_bars",
    "disagreement",
    "episode_curves",
    "finetune_curves",
    "finetune_history",
    "head_bars",
    "head_change",
    "head_map",
    "method_colour",
    "plain",
    "projection",
    "relevance_over_time",
    "running_mean",
    "stability_curve",
    "success_bars",
    "why",
]
