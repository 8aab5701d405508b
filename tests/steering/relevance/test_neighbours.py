"""The batched k-NN against scikit-learn and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cosine
from sklearn.metrics.pairwise import cosine_distances
from sklearn.neighbors import KNeighborsRegressor

from steering.errors import Cancelled, InputError
from steering.progress import Progress
from steering.relevance import neighbours
from steering.relevance.baselines import baseline_features
from steering.relevance.knn import errors_of
from steering.relevance.neighbours import nearest, nearest_by_euclid
from steering.relevance.regression import frame_errors
from steering.types import Neighbours

KS = (1, 3, 10)


def paper_weights(distance: np.ndarray) -> np.ndarray:
    """The authors' weights, given to scikit-learn: 1 / (d + 1e-8), or the nearest alone below 1e-8."""
    weights = 1 / (distance + 1e-8)
    for row in np.flatnonzero((distance < 1e-8).any(1)):
        weights[row] = 0
        weights[row, np.argmin(distance[row])] = 1
    return weights


def sklearn_errors(features, action, episode, ks) -> np.ndarray:
    errors = np.empty((len(ks), features.shape[1], len(features)))
    for i, k in enumerate(ks):
        for head in range(features.shape[1]):
            x = features[:, head].astype(np.float64)
            for one in np.unique(episode):
                query, memory = episode == one, episode != one
                model = KNeighborsRegressor(k, weights=paper_weights, algorithm="brute", metric="cosine")
                predicted = model.fit(x[memory], action[memory].astype(np.float64)).predict(x[query])
                errors[i, head, query] = ((predicted - action[query]) ** 2).mean(1)
    return errors


def loop_errors(features, action, episode, frame, k) -> np.ndarray:
    """One head, one k: the rule of the paper as loops, float64, ties by the lower row."""
    errors = []
    alone = len(set(episode.tolist())) == 1
    distance = cosine_distances(features.astype(np.float64)).round(13)  # processors round equal rows differently
    for query in range(len(features)):
        pool = [
            row
            for row in range(len(features))
            if (abs(int(frame[row]) - int(frame[query])) > 30 if alone else episode[row] != episode[query])
        ]
        pool = sorted(pool, key=lambda row: (distance[query, row], row))[:k]
        d = distance[query, pool]
        weights = np.eye(k)[0] if (d < 1e-8).any() else 1 / (d + 1e-8)
        predicted = weights @ action[pool].astype(np.float64) / weights.sum()
        errors.append(((predicted - action[query]) ** 2).mean())
    return np.array(errors)


def flat(activations):
    return activations.outputs.reshape(len(activations.outputs), -1, activations.outputs.shape[-1])


def test_equals_scikit_learn_on_random_outputs(build):
    a = build()
    ours = errors_of(flat(a), a.action, a.episode, a.frame, KS)
    np.testing.assert_allclose(ours, sklearn_errors(flat(a), a.action, a.episode, KS), atol=1e-5)


@pytest.mark.parametrize("spread", [1e-2, 1e-4])
def test_equals_scikit_learn_where_outputs_are_almost_parallel(build, spread):
    """Real heads share a large mean: distances of 1e-8 to 1e-4, of which plain float32 keeps little or nothing."""
    a = build()
    features = (np.ones(6) * 3 + spread * flat(a).astype(np.float64)).astype(np.float32)
    ours = errors_of(features, a.action, a.episode, a.frame, KS)
    np.testing.assert_allclose(ours, sklearn_errors(features, a.action, a.episode, KS), atol=1e-5)


def test_exact_match_in_another_episode_gives_its_action_alone(build):
    a = build()
    features = flat(a).copy()
    features[20] = features[2] * 7  # the same direction: cosine distance 0
    ours = errors_of(features, a.action, a.episode, a.frame, KS)
    expected = ((a.action[20].astype(float) - a.action[2]) ** 2).mean()
    np.testing.assert_allclose(ours[:, :, 2], expected, atol=1e-6)
    one_of_them = a.episode < 2  # queries of the later episodes see both, a tie that only rounding breaks
    theirs = sklearn_errors(features, a.action, a.episode, KS)
    np.testing.assert_allclose(ours[:, :, one_of_them], theirs[:, :, one_of_them], atol=1e-5)


def test_a_distance_just_below_and_just_above_the_threshold(build):
    a = build()
    features = flat(a)[:, :1].copy()
    features[:, 0, :] = np.eye(6)[3] + 0.3 * features[:, 0, :]
    for angle, alone in ((1.2e-4, True), (1.7e-4, False)):  # d = angle² / 2: 7e-9 and 1.4e-8
        features[2, 0], features[20, 0] = np.eye(6)[0], [np.cos(angle), np.sin(angle), 0, 0, 0, 0]
        features[30, 0] = [1, 0, 5e-4, 0, 0, 0]  # d = 1.25e-7, also near enough to weigh
        ours = errors_of(features, a.action, a.episode, a.frame, (3,))[0, 0, 2]
        expected = loop_errors(features[:, 0], a.action, a.episode, a.frame, 3)[2]
        assert ours == pytest.approx(expected, abs=1e-5)
        only_nearest = ((a.action[20].astype(float) - a.action[2]) ** 2).mean()
        assert (abs(ours - only_nearest) < 1e-5) == alone


def test_ties_go_to_the_earlier_frame(build):
    """Groups of frames with the same output, so that a tie lies at every place, the k-th included."""
    a = build()
    features = flat(a).copy()
    features[:, 0] = features[np.arange(len(features)) % 5, 0]
    features[:, 1] = 1.0  # a dead head: everything ties
    features[:, 2] = 0.0  # a zero head: no direction at all
    for k in (1, 2, 7, 20):
        ours = errors_of(features[:, :3], a.action, a.episode, a.frame, (k,))[0]
        for head in range(3):
            expected = loop_errors(features[:, head], a.action, a.episode, a.frame, k)
            np.testing.assert_allclose(ours[head], expected, atol=1e-5)


def test_single_episode_leaves_thirty_frames_out_on_each_side(build):
    a = build((100,))
    ours = errors_of(flat(a), a.action, a.episode, a.frame, (3, 8))
    for i, k in enumerate((3, 8)):
        for head in range(3):
            expected = loop_errors(flat(a)[:, head], a.action, a.episode, a.frame, k)
            np.testing.assert_allclose(ours[i, head], expected, atol=1e-5)


def test_single_episode_counts_recorded_frames_not_rows(build):
    a = build((100,))
    every_third = np.arange(100) * 3
    ours = errors_of(flat(a), a.action, a.episode, every_third, (3,))[0, 0]
    np.testing.assert_allclose(ours, loop_errors(flat(a)[:, 0], a.action, a.episode, every_third, 3), atol=1e-5)


def test_episodes_may_lie_interleaved(build):
    a = build()
    order = np.random.default_rng(1).permutation(len(a.episode))
    ours = errors_of(flat(a)[order], a.action[order], a.episode[order], a.frame[order], KS)
    expected = errors_of(flat(a), a.action, a.episode, a.frame, KS)
    np.testing.assert_allclose(ours, expected[:, :, order], atol=1e-6)


def test_blocks_and_the_order_of_ks_do_not_change_the_result(build, monkeypatch):
    a = build()
    whole = errors_of(flat(a), a.action, a.episode, a.frame, KS)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 4 * len(a.episode) * 5)  # blocks of five queries
    blocked = errors_of(flat(a), a.action, a.episode, a.frame, KS[::-1])
    np.testing.assert_allclose(blocked[::-1], whole, atol=1e-6)


def test_mirrored_distances_are_those_computed(build, monkeypatch):
    a = build()
    computed = errors_of(flat(a), a.action, a.episode, a.frame, KS)
    monkeypatch.setattr(neighbours, "_DIMS_TO_MIRROR", 1)
    for size in (2**20, 4 * len(a.episode) * 5):
        monkeypatch.setattr(neighbours, "BLOCK_BYTES", size)
        np.testing.assert_allclose(errors_of(flat(a), a.action, a.episode, a.frame, KS), computed, atol=1e-6)


def test_k_beyond_the_training_frames_is_an_error_that_says_how_many_there_are(build):
    a = build((12, 15, 14, 13))  # leaving the 15 out leaves 39
    errors_of(flat(a), a.action, a.episode, a.frame, (39,))
    with pytest.raises(InputError, match="k = 40 needs 40 training frames .* leaves only 39 of 54"):
        errors_of(flat(a), a.action, a.episode, a.frame, (10, 40))
    short = build((50,))
    with pytest.raises(InputError, match="one episode, leaving out 30 frames on each side leaves only 0 of 50"):
        errors_of(flat(short), short.action, short.episode, short.frame, (1,))


@pytest.mark.parametrize("ks", [(), (0,), (2, -1), (1.5,)])
def test_unusable_ks_are_errors(build, ks):
    a = build()
    with pytest.raises(InputError, match="at least one k"):
        errors_of(flat(a), a.action, a.episode, a.frame, ks)


def test_non_finite_outputs_are_an_error(build):
    a = build()
    features = flat(a).copy()
    features[3, 5, 1] = np.nan
    with pytest.raises(InputError, match="NaN or infinity in 1 of 24 heads"):
        errors_of(features, a.action, a.episode, a.frame, KS)


def test_stops_when_cancelled(build):
    a = build()
    with pytest.raises(Cancelled):
        progress = Progress(should_cancel=lambda: True)
        errors_of(flat(a), a.action, a.episode, a.frame, KS, progress=progress)


@pytest.mark.parametrize("levels", [4, 1000])
def test_nearest_is_the_head_of_a_stable_argsort(levels):
    distance = np.random.default_rng(0).integers(0, levels, (40, 60)).astype(np.float32)
    for k in (1, 7, 59, 60):
        columns, values = nearest(distance, k)
        np.testing.assert_array_equal(columns, np.argsort(distance, axis=1, kind="stable")[:, :k])
        np.testing.assert_array_equal(values, np.sort(distance, axis=1)[:, :k])


def test_euclidean_equals_scikit_learn_and_averages_exact_matches(build):
    a = build()
    for state in (a.state, np.round(a.time_in_episode[:, None] * 4)):  # the second with many exact matches
        order, distance = nearest_by_euclid(state, a.episode, a.frame, 39)
        found = Neighbours(order[None], distance[None], (0, 0, 0), ("state",), a.episode, a.frame)
        ours = frame_errors(found, a.action, (5, 39))[:, 0]
        for i, k in enumerate((5, 39)):
            for one in np.unique(a.episode):
                query, memory = a.episode == one, a.episode != one
                d = np.linalg.norm(state[query][:, None].astype(float) - state[memory].astype(float), axis=2)
                near = np.argsort(d, axis=1, kind="stable")[:, :k]
                weights = 1 / (np.take_along_axis(d, near, 1) + 1e-8)
                predicted = np.einsum("qk,qkd->qd", weights, a.action[memory][near]) / weights.sum(1, keepdims=True)
                np.testing.assert_allclose(ours[i, query], ((predicted - a.action[query]) ** 2).mean(1), atol=1e-5)


def test_nearest_counts_what_rounding_put_below_zero_as_zero() -> None:
    for kind in (np.float32, np.float64):
        columns, values = neighbours.nearest(np.array([[0.5, -1e-9, 0, 2.0, -1e-3]], kind), 4)
        assert columns.tolist() == [[1, 2, 4, 0]] and values.tolist() == [[0, 0, 0, 0.5]]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [3, 5, 8, 9, 37, 64])
def test_nearest_is_a_stable_sort_whatever_the_width(kind, columns) -> None:
    distance = np.random.default_rng(columns).integers(0, 6, (7, columns)).astype(kind)
    distance[:, ::3] = np.inf
    for k in range(1, columns + 1):
        found, values = neighbours.nearest(distance, k)
        np.testing.assert_array_equal(found, np.argsort(distance, axis=1, kind="stable")[:, :k])
        np.testing.assert_array_equal(values, np.sort(distance, axis=1)[:, :k])


def test_equal_directions_are_at_distance_zero_and_near_ones_are_exact() -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((12, 5)) + 3
    x[7], x[9] = 3 * x[0], x[0] + 1e-5 * generator.standard_normal(5)
    order, distance = neighbours.of_rows(x, np.array([0, 1]), np.eye(12, dtype=bool)[:2], 11)
    exact = [sorted((max(cosine(x[row], x[other]), 0), other) for other in range(12) if other != row) for row in (0, 1)]
    same = {7: 0}  # one direction: seen from elsewhere, rounding decides which of the two comes first
    told = [[same.get(other, other) for other in row] for row in order.tolist()]
    assert told == [[same.get(other, other) for _, other in one] for one in exact]
    np.testing.assert_allclose(distance[0, 1], exact[0][1][0], rtol=1e-3)  # about 1e-12: float32 alone keeps nothing
    np.testing.assert_allclose(distance, [[away for away, _ in one] for one in exact], atol=1e-6)
    assert distance[0, 0] == 0


def test_unit_vectors_and_numbers_of_frames() -> None:
    np.testing.assert_allclose(neighbours.unit_vectors(np.array([[3, 4], [0, 0]])), [[0.6, 0.8], [0, 0]])
    assert [neighbours.row_type(n) for n in (65_535, 65_536)] == [np.uint16, np.int32]


def test_baselines_alone_where_no_head_is_asked_for(build) -> None:
    a = build((5, 6, 7))
    found = neighbours.find(a, baseline_features(a), 4, of_heads=False)
    whole = neighbours.find(a, baseline_features(a), 4)
    assert found.grid == (2, 0, 4) and whole.grid == (2, 3, 4) and found.baselines == ("time", "state", "state_time")
    np.testing.assert_array_equal(found.order, whole.order[24:])
    assert neighbours.find(a, {}, 99).order.shape == (24, 18, 13)  # all that any frame may have
