"""The data in the figures, the marks that carry meaning, and colours that read on both backgrounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from steering import figures
from steering.comparison.compare import compare
from steering.errors import InputError
from steering.types import (
    METHODS,
    Comparison,
    Episode,
    FinetuneResult,
    FinetuneSettings,
    Head,
    Relevance,
    Rollouts,
)

DARKEST = "#0b0f19"


@pytest.fixture
def relevance() -> Relevance:
    inert = np.zeros((2, 3, 4), bool)
    inert[0, 2] = True
    score = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    score[0, 2] = -9  # inert: must not stretch the colours
    return Relevance("knn", "paper", "raw action", score, score[None], (10,), {}, {}, {}, inert, ("a", "b"))


@pytest.fixture
def comparison() -> Comparison:
    def rollouts(method: str, success: list[int]) -> Rollouts:
        seeds = tuple(range(len(success)))
        return Rollouts(method, "pick_cube", ("lighting",), seeds, np.array(success, bool), np.zeros(len(success)))

    return compare([rollouts("zero_shot", [0, 0, 0, 1]), rollouts("steering", [1, 1, 1, 0])])


@pytest.fixture
def episode() -> Episode:
    generator = np.random.default_rng(0)
    state, action = generator.random((40, 8)).astype(np.float32), generator.random((40, 7)).astype(np.float32)
    return Episode("e", "pick", 20.0, {}, state, action)


def result(method: str, parameters: int, train_s: float) -> FinetuneResult:
    return FinetuneResult(
        method=method,
        settings=FinetuneSettings(),
        selection=None,
        folder=Path("adapter"),
        parameters={"q_proj": parameters - 10, "o_proj": 10},
        loss=np.array([3, 2, 1], np.float32),
        heldout_step=np.array([0, 3], np.int32),
        heldout_error=np.array([0.5, 0.25], np.float32),
        train_s=train_s,
    )


def named(figure: go.Figure, name: str) -> list:
    return [trace for trace in figure.data if trace.name == name]


def test_head_map_shows_scores_inert_heads_and_rings(relevance):
    selected = (Head("vlm", 1, 3), Head("expert", 0, 0), Head("expert", 2, 1))
    figure = figures.head_map(relevance, selected)
    for s, stack in enumerate(("vlm", "expert")):
        (shown,) = [trace for trace in named(figure, stack) if trace.type == "heatmap"]
        movable = ~relevance.inert[s]
        np.testing.assert_array_equal(np.array(shown.z)[movable], relevance.score[s][movable])
        assert np.isnan(np.array(shown.z)[~movable]).all()
        np.testing.assert_array_equal(shown.customdata, relevance.score[s])
    (grey,) = named(figure, "vlm inert")
    np.testing.assert_array_equal(np.isnan(np.array(grey.z)), ~relevance.inert[0])
    assert not named(figure, "expert inert")
    (ring,) = named(figure, "expert selected")
    assert list(zip(ring.y, ring.x, strict=True)) == [(0, 0), (2, 1)]
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == pytest.approx((-1, 1))
    assert figure.layout.yaxis.range == (2.5, -0.5)  # layer 0 on top


def test_finetune_curves_show_loss_and_heldout_error_of_a_running_job():
    history = [
        {"step": 0, "heldout_error": 0.9},
        {"step": 1, "loss": 4.0},
        {"step": 3, "loss": 2.0, "heldout_error": 0.3},
        {"step": 2, "loss": 3.0},
        {"fraction": 0.5},
    ]
    figure = figures.finetune_curves({"steering": history, "lora": []})
    raw, smooth, heldout = named(figure, "Robotic Steering")
    assert list(raw.x) == [1, 2, 3] and list(raw.y) == [4, 3, 2]
    assert list(smooth.y) == [4, 3, 2]
    assert list(heldout.x) == [0, 3] and list(heldout.y) == [0.9, 0.3]
    assert raw.yaxis == "y" and heldout.yaxis == "y2"
    assert {trace.line.color for trace in (raw, smooth, heldout)} == {figures.METHOD_COLOURS["steering"]}
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == [
        "Robotic Steering",
        "LoRA, all heads",
    ]
    assert figures.finetune_curves({}).data == ()


def test_a_finished_finetune_draws_as_its_history():
    history = figures.finetune_history(result("lora", 100, 1))
    raw, _, heldout = named(figures.finetune_curves({"lora": history}), "LoRA, all heads")
    assert list(raw.x) == [1, 2, 3] and list(raw.y) == [3, 2, 1]
    assert list(heldout.x) == [0, 3] and list(heldout.y) == [0.5, 0.25]


def test_running_mean_against_a_loop():
    values = np.random.default_rng(0).random(30)
    sides = [min(i, 29 - i, 3) for i in range(30)]
    expected = [values[i - side : i + side + 1].mean() for i, side in enumerate(sides)]
    np.testing.assert_allclose(figures.running_mean(values, 7), expected)
    assert len(figures.running_mean(np.array([]), 7)) == 0


def test_success_bars_show_rates_with_wilson_intervals(comparison):
    other = replace(comparison, task="press_button", variations=(), rates=comparison.rates[1:])
    figure = figures.success_bars([comparison, other])
    steering, counts = named(figure, "Robotic Steering")
    assert list(steering.x) == ["pick cube<br>lighting", "press button"] and list(steering.y) == [75, 75]
    rate = comparison.rates[1]
    assert steering.y[0] + steering.error_y.array[0] == pytest.approx(100 * rate.high)
    assert steering.y[0] - steering.error_y.arrayminus[0] == pytest.approx(100 * rate.low)
    assert counts.text[0] == "3/4" and counts.y[0] == pytest.approx(100 * rate.high)
    zero_shot, _ = named(figure, "Zero-shot")
    assert list(zero_shot.x) == ["pick cube<br>lighting"] and list(zero_shot.y) == [25]
    with pytest.raises(InputError, match="at least one comparison"):
        figures.success_bars([])


def test_cost_bars_show_parameters_and_seconds_from_zero():
    figure = figures.cost_bars([result("steering", 5_000, 12.5), result("lora", 120_000, 20)])
    parameters, seconds = figure.data
    assert list(parameters.x) == ["Robotic Steering", "LoRA, all heads"]
    assert list(parameters.y) == [5_000, 120_000] and list(seconds.y) == [12.5, 20]
    assert figure.layout.yaxis.range[0] == figure.layout.yaxis2.range[0] == 0
    with pytest.raises(InputError, match="at least one finetune"):
        figures.cost_bars([])


def test_episode_curves_show_every_component_over_seconds(episode):
    figure = figures.episode_curves(episode, frame=10)
    assert len(figure.data) == 15
    (gripper,) = named(figure, "gripper")
    np.testing.assert_allclose(gripper.y, episode.action[:, 6])
    np.testing.assert_allclose(gripper.x, np.arange(40) / 20)
    (joint,) = named(figure, "joint 3")
    np.testing.assert_allclose(joint.y, episode.state[:, 2])
    assert joint.yaxis == "y" and gripper.yaxis == "y2"
    assert {shape.x0 for shape in figure.layout.shapes} == {0.5}
    with pytest.raises(InputError, match="from 0 to 39"):
        figures.episode_curves(episode, frame=40)


def test_outside_recordings_of_other_sizes_are_drawn(episode):
    wide = replace(episode, state=np.zeros((40, 14), np.float32), action=np.zeros((40, 14), np.float32))
    assert len(figures.episode_curves(wide).data) == 28


def luminance(colour: str) -> float:
    linear = []
    for start in (1, 3, 5):
        value = int(colour[start : start + 2], 16) / 255
        linear.append(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_colours_have_contrast_of_three_on_white_and_on_dark():
    """WCAG 2.2, 1.4.11: graphics need 3 to 1 against what is behind them."""
    colours = {*figures.METHOD_COLOURS.values(), *figures.OTHER_COLOURS, *figures.CURVE_COLOURS, figures.NEUTRAL_TEXT}
    for colour in colours:
        assert 1.05 / (luminance(colour) + 0.05) >= 3, colour
        assert (luminance(colour) + 0.05) / (luminance(DARKEST) + 0.05) >= 3, colour


def test_each_method_has_its_colour_wherever_it_is_drawn():
    assert set(figures.METHOD_COLOURS) == set(METHODS)
    others = ["random_heads", "steering", "bottom"]
    colours = [figures.method_colour(method, others) for method in others]
    assert colours[1] == figures.METHOD_COLOURS["steering"] and len(set(colours)) == 3


@pytest.mark.parametrize("dark", [None, True, False])
def test_every_figure_is_transparent_and_serialises(relevance, comparison, episode, dark):
    drawn = [
        figures.head_map(relevance, dark=dark),
        figures.finetune_curves({}, dark=dark),
        figures.success_bars([comparison], dark=dark),
        figures.cost_bars([result("lora", 20, 1)], dark=dark),
        figures.episode_curves(episode, dark=dark),
    ]
    text = {None: figures.NEUTRAL_TEXT, True: figures.DARK_TEXT, False: figures.LIGHT_TEXT}[dark]
    for figure in drawn:
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
        assert figure.layout.font.color == text
        assert figure.to_json()
