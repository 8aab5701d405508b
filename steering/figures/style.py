"""What all figures share: colours, transparent backgrounds, and how methods are named.

Text and axes are a mid grey that reads on white and on near-black, so that one figure works in both themes; `dark`
(True or False) gives full contrast where the theme is known. Colours tell methods apart for colour-blind readers too
(Okabe and Ito's palette, those with a contrast of at least 3 on both backgrounds).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from steering.types import METHOD_LABELS

# One colour per method everywhere; METHOD_COLOURS and OTHER_COLOURS are all that the figures tell methods apart by.
METHOD_COLOURS = {
    "zero_shot": "#808080",
    "steering": "#0072B2",
    "lora": "#D55E00",
    "lora_rank_matched": "#009E73",
    "dense_heads": "#B8659A",
    "full": "#A6761D",
}
OTHER_COLOURS = ("#5B6FD6", "#6B8E23", "#3D93C6", "#C2559D", "#8C7B5A")
CURVE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#B8659A", "#A6761D", "#3D93C6", "#5B6FD6", "#808080")
NEUTRAL_TEXT, DARK_TEXT, LIGHT_TEXT = "#787f88", "#e5e7eb", "#1f2937"
GRID = "rgba(128,128,128,0.25)"
INERT_COLOUR = "rgba(128,128,128,0.35)"
RING_COLOUR = "#D55E00"
SCORE_SCALE = "Viridis"  # monotone in lightness; its middle is not grey, which means inert
DIVERGING_SCALE = [[0, "#D55E00"], [0.5, "#dddddd"], [1, "#0072B2"]]  # around 0: worse and better than the baseline
PHASE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#B8659A")  # in the order of PHASES
STACK_COLOURS = {"vlm": "#0072B2", "expert": "#D55E00"}


def stack_colour(name: str) -> str:
    """The colour of a stack; that of a stack of another name depends on the name alone."""
    return STACK_COLOURS.get(name) or OTHER_COLOURS[sum(name.encode()) % len(OTHER_COLOURS)]


def method_colour(method: str, methods: Sequence[str] = ()) -> str:
    """The colour of a method: fixed for METHOD_COLOURS, by its place among the other `methods` otherwise."""
    if method in METHOD_COLOURS:
        return METHOD_COLOURS[method]
    others = [name for name in methods if name not in METHOD_COLOURS]
    return OTHER_COLOURS[(others.index(method) if method in others else 0) % len(OTHER_COLOURS)]


def label(method: str) -> str:
    """The method's name for people."""
    return METHOD_LABELS.get(method, method.replace("_", " "))


def text_colour(dark: bool | None) -> str:
    """Of text and error bars; `dark` None: readable on both."""
    return NEUTRAL_TEXT if dark is None else DARK_TEXT if dark else LIGHT_TEXT


def faint(colour: str) -> str:
    """The colour `#rrggbb` at three tenths of its opacity."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.3)"


def title(text: str) -> str:
    """The text with a capital letter at its start."""
    return text[:1].upper() + text[1:]


def plain(figure: go.Figure) -> dict[str, Any]:
    """The figure as JSON's own types. Plotly's `to_plotly_json` leaves empty arrays as NumPy's, which not every way to
    a browser knows: Gradio's event stream sends such an array as the text "[]".
    """
    content: dict[str, Any] = json.loads(figure.to_json())
    return content


def styled(figure: go.Figure, dark: bool | None, *, height: int, legend: bool = True) -> go.Figure:
    """The figure itself, with the look of all: height in pixels, legend above, no background."""
    text = text_colour(dark)
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
        font={"color": text, "family": "system-ui, sans-serif", "size": 13},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 1.08, "yanchor": "bottom"},
        template="none",
    )
    figure.update_xaxes(gridcolor=GRID, zerolinecolor=GRID, linecolor=GRID, title_font_size=13)
    figure.update_yaxes(gridcolor=GRID, zerolinecolor=GRID, linecolor=GRID, title_font_size=13)
    figure.update_annotations(font={"color": text, "size": 14})
    return figure
