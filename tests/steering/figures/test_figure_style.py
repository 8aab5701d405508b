"""Colours that read on both backgrounds, and the look that all figures share."""

from __future__ import annotations

import numpy as np
import pytest

from steering import figures
from steering.figures import style
from steering.types import METHODS, Head

DARKEST = "#0b0f19"


def luminance(colour: str) -> float:
    linear = []
    for start in (1, 3, 5):
        value = int(colour[start : start + 2], 16) / 255
        linear.append(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_colours_have_contrast_of_three_on_white_and_on_dark():
    """WCAG 2.2, 1.4.11: graphics need 3 to 1 against what is behind them."""
    colours = {*style.PHASE_COLOURS, *style.STACK_COLOURS.values()}
    colours |= {*style.METHOD_COLOURS.values(), *style.OTHER_COLOURS, *style.CURVE_COLOURS, style.NEUTRAL_TEXT}
    for colour in colours:
        assert 1.05 / (luminance(colour) + 0.05) >= 3, colour
        assert (luminance(colour) + 0.05) / (luminance(DARKEST) + 0.05) >= 3, colour


def test_each_method_has_its_colour_wherever_it_is_drawn():
    assert set(style.METHOD_COLOURS) == set(METHODS)
    others = ["random_heads", "steering", "bottom"]
    colours = [figures.method_colour(method, others) for method in others]
    assert colours[1] == style.METHOD_COLOURS["steering"] and len(set(colours)) == 3


@pytest.mark.parametrize("dark", [None, True, False])
def test_every_figure_is_transparent_and_serialises(
    relevance, comparison, episode, result, explained, projected, by_time, trust, replication, dark
):
    drawn = [
        figures.head_map(relevance, dark=dark),
        figures.head_bars(relevance, trust, dark=dark),
        figures.relevance_over_time(by_time, [Head("vlm", 0, 0)], dark=dark),
        figures.why(explained, dark=dark),
        figures.projection(projected, dark=dark),
        figures.disagreement(relevance, relevance, dark=dark),
        figures.stability_curve(replication, dark=dark),
        figures.finetune_curves({}, dark=dark),
        figures.success_bars([comparison], dark=dark),
        figures.cost_bars([result("lora", 20, 1)], dark=dark),
        figures.episode_curves(episode, dark=dark),
    ]
    text = {None: style.NEUTRAL_TEXT, True: style.DARK_TEXT, False: style.LIGHT_TEXT}[dark]
    for figure in drawn:
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
        assert figure.layout.font.color == text
        assert figure.to_json()
