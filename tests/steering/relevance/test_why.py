"""The frames behind a prediction, a head's outputs in the plane and its relevance by time, against other ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cosine
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from steering.errors import InputError
from steering.relevance import conditional, knn, projection, targets
from steering.relevance.neighbours import unit_vectors
from steering.relevance.over_time import over_time
from steering.relevance.projection import project
from steering.relevance.regression import frame_errors
from steering.relevance.scoring import left_open, prepare, rescore
from steering.relevance.why import rows_of, why
from steering.types import ACTION_NAMES, STACKS, Head

HEAD = Head("expert", 1, 2)


def test_neighbours_weights_and_prediction_by_hand(build):
    a = build()
    x = a.outputs[:, 1, 1, 2]
    [found] = why(a, HEAD, [20], 6)
    assert (found.episode, found.frame) == (1, 8)
    allowed = [row for row in range(54) if a.episode[row] != 1]
    nearest = sorted((cosine(x[20].astype(float), x[row].astype(float)), row) for row in allowed)[:6]
    rows = [row for _, row in nearest]
    np.testing.assert_array_equal(found.neighbour_episode, a.episode[rows])
    np.testing.assert_array_equal(found.neighbour_frame, a.frame[rows])
    weight = np.array([1 / (distance + 1e-8) for distance, _ in nearest])
    np.testing.assert_allclose(found.weight, weight / weight.sum(), rtol=1e-5)
    np.testing.assert_allclose(found.predicted, np.average(a.action[rows], axis=0, weights=weight), rtol=1e-4)
    np.testing.assert_array_equal(found.true, a.action[20])
    np.testing.assert_allclose(found.spread, a.action.std(0), rtol=1e-4)
    assert found.names == ACTION_NAMES and 1 not in found.neighbour_episode


def test_the_prediction_is_what_the_score_is_made_of(build):
    a = build()
    values = targets.raw_action(a).values
    errors = frame_errors(prepare(a, 6), values, (6,))[0, np.ravel_multi_index((1, 1, 2), (2, 3, 4))]
    for row, found in zip((0, 20, 53), why(a, HEAD, (0, 20, 53), 6), strict=True):
        assert ((found.predicted - found.true) ** 2).mean() == pytest.approx(errors[row], rel=1e-4)


def test_an_exact_match_stands_alone_and_one_episode_leaves_its_surroundings_out(build):
    a = build()
    outputs = a.outputs.copy()
    outputs[2] = 3 * outputs[20]
    [found] = why(replace(a, outputs=outputs), HEAD, [20], 4)
    assert found.weight.tolist() == [1, 0, 0, 0] and found.neighbour_frame[0] == 2
    np.testing.assert_array_equal(found.predicted, a.action[2])
    single = build((80,))
    assert np.abs(why(single, HEAD, [40], 5)[0].neighbour_frame - 40).min() > 30


@pytest.mark.parametrize("lengths", [(12, 15, 14, 13), (80,)])
def test_an_episode_at_once_is_its_frames_one_by_one(build, lengths, monkeypatch):
    a = build(lengths)
    normalised = []
    monkeypatch.setattr(knn, "unit_vectors", lambda x: normalised.append(x) or unit_vectors(x))
    monkeypatch.setattr(knn, "QUERIES", 7)  # in several parts
    rows = np.flatnonzero(a.episode == a.episode[-1])
    whole = why(a, HEAD, rows, 6)
    assert len(normalised) == 1
    for row, found in zip(rows, whole, strict=True):
        [alone] = why(a, HEAD, [row], 6)
        for name in ("neighbour_episode", "neighbour_frame", "action", "true", "spread"):
            np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))
        for name in ("distance", "weight", "predicted"):
            np.testing.assert_allclose(getattr(found, name), getattr(alone, name), rtol=1e-5)
        assert (found.episode, found.frame) == (alone.episode, alone.frame) == (a.episode[row], a.frame[row])
    assert why(a, HEAD, [], 6) == []


def test_the_captured_frame_nearest_to_a_frame(build):
    a = build()
    strided = replace(a, frame=a.frame * 3)
    assert rows_of(strided, 1, [0, 4, 5, 10_000]).tolist() == [12, 13, 14, 26]
    tied = replace(a, frame=a.frame[::-1] * 2, episode=a.episode[::-1])  # in any order; the earlier frame of two
    assert tied.frame[rows_of(tied, 1, [5])] == 4
    with pytest.raises(InputError, match="episodes are 0 to 3"):
        rows_of(a, 4, [0])


def test_projection_against_scikit_learn(build):
    a = build()
    phase = np.arange(54) % 4
    found = project(a, HEAD, phase)
    pca = PCA(2, svd_solver="full").fit(normalize(a.outputs[:, 1, 1, 2].astype(np.float64)))
    expected = pca.transform(normalize(a.outputs[:, 1, 1, 2].astype(np.float64)))
    sign = np.sign((expected * found.points).sum(0))
    np.testing.assert_allclose(found.points, expected * sign, atol=1e-5)
    np.testing.assert_allclose(found.explained, pca.explained_variance_ratio_, rtol=1e-5)
    np.testing.assert_array_equal(found.phase, phase)


def test_projection_has_one_sign_whatever_the_order_of_frames(build):
    a = build()
    turned = replace(a, **{n: getattr(a, n)[::-1] for n in ("outputs", "episode", "frame", "action")})
    first, second = project(a, HEAD, np.zeros(54)), project(turned, HEAD, np.zeros(54))
    np.testing.assert_allclose(first.points, second.points[::-1], atol=1e-5)
    silent = replace(a, outputs=np.zeros_like(a.outputs))
    assert project(silent, HEAD, np.zeros(54)).explained == (0, 0)


@pytest.mark.parametrize("preset", ["paper", "default"])
def test_relevance_over_one_bin_is_the_relevance_and_bins_add_up(build, preset):
    a = build((15, 15, 15, 15))
    target = targets.named("action", a, preset=preset)
    neighbours = prepare(a, 5)
    whole = over_time(a, neighbours, target, k=5, preset=preset, bins=1)
    score = rescore(a, neighbours, k=5, preset=preset).score
    np.testing.assert_allclose(whole.score[0], score, atol=1e-4)
    parts = over_time(a, neighbours, target, k=5, preset=preset, bins=3)
    assert parts.frames.sum() == 60 and parts.score.shape == (3, len(STACKS), 3, 4)
    empty = over_time(a, neighbours, target, k=5, preset=preset, bins=100)
    assert np.isnan(empty.score[empty.frames == 0]).all() and np.isfinite(empty.score[empty.frames > 0]).all()
    with pytest.raises(InputError, match="at least one part"):
        over_time(a, neighbours, target, k=5, preset=preset, bins=0)


def test_a_head_that_knows_the_end_only_is_relevant_at_the_end(build):
    generator = np.random.default_rng(0)
    a = build((20,) * 6)
    late = a.time_in_episode > 0.5
    outputs = a.outputs.copy()
    outputs[late, 0, 1, 1, :6] = 20 * a.action[late, :6]
    outputs[~late, 0, 1, 1] = generator.standard_normal((int((~late).sum()), 6))
    a = replace(a, outputs=outputs)
    target = targets.named("action", a, preset="paper")
    found = over_time(a, prepare(a, 5), target, k=5, preset="paper", bins=2).score[:, 0, 1, 1]
    assert found[1] > found[0] + 0.2


def test_a_projection_of_one_dimension_has_one(build) -> None:
    a = build((3, 4))
    a.outputs[:, 0, 0, 0] = 0
    a.outputs[:, 0, 0, 0, 2] = [-1, 2, 3, -4, -5, 6, 7]  # directions −1 and 1 on one axis
    found = projection.project(a, Head("vlm", 0, 0), np.zeros(7))
    mean = 1 / 7
    np.testing.assert_allclose(found.points[:, 0], np.sign([-1, 2, 3, -4, -5, 6, 7]) - mean, atol=1e-6)
    np.testing.assert_allclose(found.points[:, 1], 0, atol=1e-6)
    assert found.explained == pytest.approx((1, 0), abs=1e-9)


def test_parts_of_the_strict_relevance_are_those_of_its_held_out_errors(build):
    """Where the bins are the episodes' halves, their errors and worths add up to those of the whole."""
    a = build((15, 15, 15, 15))
    target, neighbours = targets.named("action", a), prepare(a, 5)
    whole, halves = (over_time(a, neighbours, target, k=5, preset="default", bins=n) for n in (1, 2))
    residuals = left_open(a, target, np.ones(60, bool), "default", None)[..., list(target.scored)]
    squared = (conditional.own(residuals, a.episode).astype(float) ** 2).mean(1)
    worth = [squared[a.time_in_episode < 0.5].sum(), squared[a.time_in_episode >= 0.5].sum()]
    told = sum((1 - halves.score[i].astype(float)) * worth[i] for i in range(2))
    np.testing.assert_allclose(told, (1 - whole.score[0].astype(float)) * sum(worth), rtol=1e-4)
    assert whole.zero == "state_time" and halves.frames.tolist() == [28, 32] and whole.k == 5


def test_by_default_ten_neighbours_are_shown_and_two_tied_for_exact_stand_alone(build):
    a = build((12, 15, 14, 13))
    [found] = why(a, HEAD, [20])
    assert len(found.weight) == len(found.distance) == 10 and found.weight.sum() == pytest.approx(1)
    outputs = a.outputs.copy()
    outputs[[2, 40]] = outputs[20]
    [found] = why(replace(a, outputs=outputs), HEAD, [20], 3)
    assert found.weight.tolist() == [1, 0, 0] and found.neighbour_episode.tolist()[:2] == [0, 2]
