"""The data in the figures of relevance, trust and explanation, and the marks that carry meaning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from steering import figures
from steering.errors import InputError
from steering.figures import style
from steering.types import PHASES, Head, HeadChange


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


def test_head_change_shows_before_after_and_the_difference(relevance):
    after = replace(relevance, score=relevance.score + 0.5 * (np.arange(24).reshape(2, 3, 4) % 2))
    change = HeadChange("steering", (Head("vlm", 1, 3),), relevance, after)
    figure = figures.head_change(change)
    (difference,) = named(figure, "expert change")
    np.testing.assert_allclose(difference.z, after.score[1] - relevance.score[1], atol=1e-6)
    assert (difference.zmin, difference.zmax) == pytest.approx((-0.5, 0.5))
    (before,), (later,) = named(figure, "vlm before"), named(figure, "vlm after")
    assert (before.zmin, before.zmax) == (later.zmin, later.zmax) and np.isnan(np.array(later.z)[2]).all()
    rings = [trace for trace in figure.data if trace.type == "scatter"]
    assert [(ring.y, ring.x) for ring in rings] == [((1,), (3,))] * 2, "after and change, not before"
    quiet = figures.head_change(replace(change, after=relevance, trained=()))
    assert named(quiet, "vlm change")[0].zmax == 0.05, "no change is not blown up"


def test_head_bars_show_the_best_movable_heads_with_their_intervals(relevance, trust):
    figure = figures.head_bars(relevance, trust, [Head("expert", 2, 3)], count=14)
    vlm, expert = figure.data
    assert list(expert.y)[:2] == ["action expert 2.3", "action expert 2.2"] and len(expert.y) == 12
    assert list(vlm.y) == ["VLM 1.3", "VLM 1.2"]
    np.testing.assert_allclose(list(expert.x) + list(vlm.x), np.sort(relevance.score[~relevance.inert])[::-1][:14])
    np.testing.assert_allclose(np.array(expert.error_x.array), 0.25, rtol=1e-5)
    np.testing.assert_allclose(np.array(expert.error_x.arrayminus), 0.5, rtol=1e-5)
    assert expert.marker.color[0] == style.STACK_COLOURS["expert"] != expert.marker.color[1]
    assert expert.customdata[0] == "<br>family-wise p 0.01"
    assert figure.layout.yaxis.categoryarray[-1] == "action expert 2.3"  # the best on top
    assert figures.head_bars(relevance).data[0].error_x.array is None
    with pytest.raises(InputError, match="at least one head"):
        figures.head_bars(relevance, count=0)


def test_relevance_over_time_has_a_row_per_head(by_time):
    heads = [Head("expert", 2, 1), Head("vlm", 0, 3)]
    (shown,) = figures.relevance_over_time(by_time, heads).data
    np.testing.assert_allclose(shown.z[0], by_time.score[:, 1, 2, 1], rtol=1e-6)
    np.testing.assert_allclose(shown.z[1], by_time.score[:, 0, 0, 3], rtol=1e-6)
    np.testing.assert_allclose(shown.x, [1 / 6, 0.5, 5 / 6], rtol=1e-5)
    assert list(shown.y) == ["action expert 2.1", "VLM 0.3"] and shown.zmid == 0
    with pytest.raises(InputError, match="at least one head"):
        figures.relevance_over_time(by_time, [])


def test_why_shows_prediction_truth_and_neighbours_in_standard_deviations(explained):
    figure = figures.why(explained)
    near, predicted, true = figure.data
    np.testing.assert_allclose(np.array(predicted.y), explained.predicted / explained.spread)
    np.testing.assert_allclose(np.array(true.y), explained.true / explained.spread)
    np.testing.assert_allclose(np.array(near.y).reshape(2, 3), explained.action / explained.spread)
    opacity = np.array(near.marker.opacity).reshape(2, 3)
    assert (opacity[0] == 1).all() and (opacity[1] < 1).all()  # the weight of the second is lower
    assert "episode 3, frame 8" in near.customdata[3][0]
    flat = replace(explained, spread=np.zeros(3, np.float32))
    assert np.isfinite(np.array(figures.why(flat).data[0].y)).all()


def test_projection_has_a_colour_per_phase(projected):
    figure = figures.projection(projected)
    assert [trace.name for trace in figure.data] == [PHASES[0], PHASES[2]]
    approach, transport = figure.data
    np.testing.assert_allclose(approach.x, projected.points[projected.phase == 0, 0])
    np.testing.assert_allclose(transport.y, projected.points[projected.phase == 2, 1])
    assert approach.marker.color != transport.marker.color
    assert "50%" in figure.layout.xaxis.title.text and "25%" in figure.layout.yaxis.title.text


def test_disagreement_draws_each_movable_head_once_and_rings_the_selected(relevance):
    other = replace(relevance, metric="mean_ablation", preset="policy", score=relevance.score[::-1].copy())
    figure = figures.disagreement(relevance, other, [Head("vlm", 1, 2)])
    vlm, expert = figure.data
    assert len(vlm.x) == 8 and len(expert.x) == 12  # the last VLM layer is inert
    at = list(vlm.text).index("VLM 1.2")
    assert vlm.x[at] == pytest.approx(relevance.score[0, 1, 2]) and vlm.y[at] == pytest.approx(other.score[0, 1, 2])
    assert list(vlm.customdata[at]) == ["vlm", 1, 2]
    ringed = [width == 3 for width in vlm.marker.line.width]
    assert ringed.index(True) == at and sum(ringed) == 1
    assert figure.layout.yaxis.title.text == "mean ablation (policy)" and vlm.marker.symbol != expert.marker.symbol
    with pytest.raises(InputError, match="same heads"):
        figures.disagreement(relevance, replace(other, score=other.score[:, :2], stacks=()))


def test_stability_curve_shows_means_and_ranges(replication):
    figure = figures.stability_curve(replication)
    stability, rho = named(figure, "VLM")
    assert list(stability.x) == [5, 20]
    np.testing.assert_allclose(stability.y, [0.4, 0.6], rtol=1e-6)
    np.testing.assert_allclose(stability.error_y.array, [0.1, 0], rtol=1e-5)  # one draw has no range
    np.testing.assert_allclose(stability.error_y.arrayminus, [0.2, 0], rtol=1e-5)
    np.testing.assert_allclose(rho.y, [0.7, 0.8], rtol=1e-6)
    assert stability.xaxis == "x" and rho.xaxis == "x2" and rho.showlegend is False
