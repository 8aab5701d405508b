"""The data in the figures of training, results and demonstrations."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from steering import figures
from steering.errors import InputError
from steering.figures import style


def named(figure: go.Figure, name: str) -> list:
    return [trace for trace in figure.data if trace.name == name]


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
    assert {trace.line.color for trace in (raw, smooth, heldout)} == {style.METHOD_COLOURS["steering"]}
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == [
        "Robotic Steering",
        "LoRA, all heads",
    ]
    assert figures.finetune_curves({}).data == ()


def test_a_finished_finetune_draws_as_its_history(result):
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


def test_cost_bars_show_parameters_and_seconds_from_zero(result):
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


def test_a_plain_figure_holds_no_array_that_a_browser_would_get_as_text():
    figure = figures.finetune_curves({"lora": [{"step": 1.0, "loss": 0.5}]})  # no held-out error yet: empty arrays
    value = figures.plain(figure)
    assert json.loads(json.dumps(value, default=str)) == value
    assert list(value["data"][2]["x"]) == [] and value["data"][0]["x"]
