"""Taking episodes out or counting them twice, against memories in which that was really done."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steering.progress import Progress
from steering.relevance import regression, resampling
from steering.relevance.resampling import resampled
from steering.relevance.scoring import prepare

KS = (1, 4, 9)


def by_hand(distance: np.ndarray, y: np.ndarray, memory: list[int], k: int, alone: bool) -> np.ndarray:
    """Prediction from `memory`, rows that may recur: nearest k, the earliest exact match alone where asked."""
    rows = sorted(memory, key=lambda row: (distance[row], row))[:k]
    d = distance[rows]
    if alone and (d < 1e-8).any():
        return y[rows[0]]
    return np.average(y[rows], axis=0, weights=1 / (d + 1e-8))


def test_equals_predictions_from_the_resampled_memory(build):
    a = build((6, 8, 7, 9))
    outputs = a.outputs.copy()
    a_little = np.array([[0], [2e-5], [-4e-5]]) * np.eye(6)[1]  # d of 2e-10 and more: exact matches, yet no ties
    outputs[[2, 16, 25], 0, 0, 1] = outputs[2, 0, 0, 1] + a_little
    outputs[:, 1, 2, 3] = 1.0  # all frames match all
    a = replace(a, outputs=outputs)
    neighbours = prepare(a, depth=60)
    counts = np.array([[1, 1, 1, 1], [0, 1, 2, 1], [3, 0, 1, 0], [1, 1, 0, 2]], np.uint8)
    counted = np.ones(len(a.episode), bool)
    counted[::5] = False
    sums = resampled(neighbours, a.action, KS, counts, counted)
    flat = a.outputs.reshape(len(a.episode), -1, 6).astype(float)
    units = {unit: flat[:, unit] for unit in (0, 1, 23)}
    for unit, x in units.items():
        unit_x = x / np.linalg.norm(x, axis=1, keepdims=True)
        distance = np.maximum(1 - unit_x @ unit_x.T, 0)
        distance = distance.round(12)  # equal directions tie
        for r, times in enumerate(counts):
            for i, k in enumerate(KS):
                expected, frames = np.zeros(4), np.zeros(4)
                for q in np.flatnonzero(counted):
                    there = [row for row in range(len(x)) if a.episode[row] != a.episode[q]]
                    memory = [row for row in there for _ in range(times[a.episode[row]])]
                    if memory:
                        predicted = by_hand(distance[q], a.action.astype(float), memory, k, alone=True)
                        expected[a.episode[q]] += ((predicted - a.action[q]) ** 2).mean()
                        frames[a.episode[q]] += 1
                np.testing.assert_array_equal(sums.frames[r, i, unit], frames)
                np.testing.assert_allclose(sums.error[r, i, unit], expected, atol=1e-4)


def test_counting_every_episode_once_is_the_plain_score(build):
    a = build()
    neighbours = prepare(a)
    everything = np.ones(len(a.episode), bool)
    sums = resampled(neighbours, a.action, KS, np.ones((1, 4), np.uint8), everything)
    plain = regression.episode_errors(neighbours, a.action, KS, everything, Progress(), range(24)).mean(-1)
    np.testing.assert_allclose(sums.error[0], plain, rtol=1e-4)
    np.testing.assert_array_equal(sums.frames[0, 0, 0], [12, 15, 14, 13])


def test_chunks_do_not_change_the_result(build, monkeypatch):
    a = build()
    neighbours = prepare(a, depth=20)
    counts = np.random.default_rng(0).integers(0, 3, (7, 4)).astype(np.uint8)
    counted = np.ones(len(a.episode), bool)
    whole = resampled(neighbours, a.action, KS, counts, counted)
    monkeypatch.setattr(resampling, "CHUNK_BYTES", 1)
    one_by_one = resampled(neighbours, a.action, KS, counts, counted)
    np.testing.assert_allclose(whole.error, one_by_one.error, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(whole.frames, one_by_one.frames)


def test_frame_and_episode_errors_are_of_the_same_predictions(build):
    a = build()
    neighbours = prepare(a)
    frames = regression.frame_errors(neighbours, a.action, KS)
    counted = a.time_in_episode < 0.5
    by_episode = regression.episode_errors(neighbours, a.action, KS, counted, Progress(), range(24))
    for one in range(4):
        rows = (a.episode == one) & counted
        np.testing.assert_allclose(by_episode[:, :, one].mean(-1), frames[:, :24, rows].sum(-1), rtol=1e-4)


def test_a_k_beyond_what_was_kept_is_an_error(build):
    a = build()
    neighbours = prepare(a, depth=5)
    with pytest.raises(ValueError, match="only the nearest 5 were kept"):
        regression.frame_errors(neighbours, a.action, (6,))
