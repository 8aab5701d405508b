"""Weighted k-NN regression of actions, for many heads and several k from one distance matrix each.

Distances come from one float32 matrix product per head on centred unit vectors, so that rounding is relative to the
heads' spread and not to 1. Query frames whose nearest neighbour is so near that float32 could matter are done again
in float64. One partition at the largest k serves all k; ties are broken by the lower frame index.

Cost: 20 episodes of 60 frames at 128 heads of 32 dims take about 0.4 s on two cores; time grows with frames² × heads.
Memory: at most about 6 × BLOCK_BYTES a thread, and 8 bytes for every pair of frames of one episode.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance import folds

WEIGHT_OFFSET = 1e-8
BLOCK_BYTES = 2 * 2**20  # a block of distances stays in a core's cache
_NEAR = 1e-4  # of the mean distance: float32 keeps three digits there

Block = tuple[slice, np.ndarray]


def frame_errors(
    features: np.ndarray,
    action: np.ndarray,
    episode: np.ndarray,
    frame: np.ndarray,
    ks: Sequence[int],
    *,
    progress: Progress | None = None,
) -> np.ndarray:
    """Squared error of every frame, float32 [k, head, frame], averaged over action dimensions.

    features: float [frame, head, dim], any units; cosine distance, weights 1 / (d + 1e-8); where the nearest d is
    below 1e-8, the nearest neighbour's action alone. action: float [frame, dim]. episode, frame: int [frame].
    A zero vector has distance 1 to everything (scikit-learn's convention).
    """
    progress = progress or Progress()
    check_ks(ks, episode, frame)
    _check_finite(features)
    count, heads, _ = features.shape
    errors = np.empty((len(ks), heads, count), np.float32)
    blocks = list(_blocks(episode, frame))
    one_head = partial(_head_errors, action=action.astype(np.float64), ks=ks, blocks=blocks)
    pool = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8))
    try:
        with threadpool_limits(1, user_api="blas"):  # one thread a head beats many threads a small product
            for head, error in enumerate(pool.map(one_head, (features[:, h] for h in range(heads)))):
                errors[:, head] = error
                progress.report((head + 1) / heads, f"Scored {head + 1} of {heads} heads")
    finally:
        pool.shutdown(cancel_futures=True)
    return errors


def euclidean_errors(
    features: np.ndarray, action: np.ndarray, episode: np.ndarray, frame: np.ndarray, ks: Sequence[int]
) -> np.ndarray:
    """Squared error of every frame, float32 [k, frame], for one feature set, float [frame, dim], of few dimensions.

    Euclidean distance in float64, weights 1 / (d + 1e-8). Exact matches are averaged, not cut to one: with few
    dimensions (time in episode) they are common, and one of them alone would make a needlessly weak baseline.
    """
    check_ks(ks, episode, frame)
    wide = features.astype(np.float64)
    action = action.astype(np.float64)
    errors = np.empty((len(ks), len(wide)), np.float32)
    for rows, left_out in _blocks(episode, frame):
        squared = np.zeros((len(wide[rows]), len(wide)))
        for column in wide.T:
            squared += (column[rows, None] - column) ** 2
        distance = np.sqrt(squared)
        distance.ravel()[left_out] = np.inf
        errors[:, rows] = _errors(distance, action, action[rows], ks, nearest_alone=False)
    return errors


def nearest(distance: np.ndarray, k: int) -> np.ndarray:
    """int [row, k]: columns of the `k` smallest of each row, by distance, ties by the lower column.

    Equal to the first k columns of a stable argsort, in a fraction of its time.
    """
    rows, columns = distance.shape
    limit = np.partition(distance, k - 1, axis=1)[:, k - 1 : k]
    within = distance <= limit
    if np.count_nonzero(within) > rows * k:  # some row has a tie at its k-th place
        for row in np.flatnonzero(np.count_nonzero(within, axis=1) > k):
            tied = np.flatnonzero(distance[row] == limit[row])
            within[row, tied[k - np.count_nonzero(distance[row] < limit[row]) :]] = False
    chosen = np.flatnonzero(within).reshape(rows, k)
    order = np.argsort(distance.ravel()[chosen], axis=1, kind="stable")
    return np.take_along_axis(chosen, order, 1) - np.arange(rows)[:, None] * columns


def unit_vectors(features: np.ndarray) -> np.ndarray:
    """float64, `features` divided by their length along the last axis; zero vectors stay zero."""
    wide = features.astype(np.float64)
    length = np.linalg.norm(wide, axis=-1, keepdims=True)
    return wide / np.where(length == 0, 1, length)


def check_ks(ks: Sequence[int], episode: np.ndarray, frame: np.ndarray) -> None:
    """Raise InputError unless every k is a positive whole number that every query frame has neighbours for."""
    if not ks or any(int(k) != k or k < 1 for k in ks):
        raise InputError(f"Expected at least one k, each a whole number from 1 up, got {tuple(ks)}.")
    folds.check(episode, frame, int(max(ks)), f"k = {int(max(ks))}")


def _check_finite(features: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(features).all(axis=(0, 2)))
    if len(bad):
        raise InputError(
            f"Expected finite head outputs, got NaN or infinity in {len(bad)} of {features.shape[1]} heads. "
            "Capture the activations again, in float32."
        )


def _blocks(episode: np.ndarray, frame: np.ndarray) -> Iterator[Block]:
    """Yield (query rows, flat positions in their distance block that may not be used)."""
    count = len(episode)
    size = max(1, BLOCK_BYTES // (4 * count))
    for start in range(0, count, size):
        rows = slice(start, min(start + size, count))
        yield rows, np.flatnonzero(folds.excluded(episode, frame, rows))


def _head_errors(features: np.ndarray, *, action: np.ndarray, ks: Sequence[int], blocks: list[Block]) -> np.ndarray:
    """float64 [k, frame] for one head, features float [frame, dim]."""
    unit = unit_vectors(features)
    left, right, mean_distance = _factors(unit)
    errors = np.empty((len(ks), len(unit)))
    for rows, left_out in blocks:
        distance = left[rows] @ right  # [row, frame]
        distance.ravel()[left_out] = np.inf
        errors[:, rows], first = _errors_and_first(distance, action, action[rows], ks)
        near = np.flatnonzero(first < max(_NEAR * mean_distance, 100 * WEIGHT_OFFSET))
        if len(near):
            exact = 1 - unit[rows][near] @ unit.T
            exact[np.isinf(distance[near])] = np.inf
            errors[:, rows.start + near] = _errors(exact, action, action[rows.start + near], ks, nearest_alone=True)
    return errors


def _factors(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Float32 factors whose product is the cosine distance 1 − x·y, written around the mean c of the unit vectors.

    1 − x·y = u(x) + u(y) − (x−c)·(y−c) with u(x) = (1 + c·c) / 2 − c·x, computed in float64 before it is rounded.
    """
    centre = unit.mean(0)
    offset = ((1 + centre @ centre) / 2 - unit @ centre).astype(np.float32)
    centred = (unit - centre).astype(np.float32)
    ones = np.ones_like(offset)
    left = np.column_stack([centred, offset, ones])
    right = np.ascontiguousarray(np.column_stack([-centred, ones, offset]).T)
    return left, right, 2 * float(offset.mean())


def _errors(
    distance: np.ndarray, action: np.ndarray, target: np.ndarray, ks: Sequence[int], *, nearest_alone: bool
) -> np.ndarray:
    """float64 [k, row]: squared error of the weighted mean of the k nearest actions, averaged over dimensions."""
    return _errors_and_first(distance, action, target, ks, nearest_alone)[0]


def _errors_and_first(
    distance: np.ndarray, action: np.ndarray, target: np.ndarray, ks: Sequence[int], nearest_alone: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    chosen = nearest(distance, int(max(ks)))
    near = np.maximum(np.take_along_axis(distance, chosen, 1).astype(np.float64), 0)  # [row, k]
    weight = 1 / (near + WEIGHT_OFFSET)
    if nearest_alone:
        alone = near[:, 0] < WEIGHT_OFFSET
        weight[alone] = 0
        weight[alone, 0] = 1
    neighbours = action[chosen]  # [row, k, dim]
    errors = np.empty((len(ks), len(distance)))
    done, total, mass = 0, np.zeros_like(target), np.zeros((len(target), 1))
    for index in np.argsort(ks, kind="stable"):
        part = slice(done, int(ks[index]))
        total = total + np.einsum("rk,rkd->rd", weight[:, part], neighbours[:, part])
        mass = mass + weight[:, part].sum(1, keepdims=True)
        errors[index] = ((total / mass - target) ** 2).mean(1)
        done = int(ks[index])
    return errors, near[:, 0]
