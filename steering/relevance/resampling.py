"""k-NN errors when episodes are taken out or counted several times, from the same neighbours.

Each replicate says how often every episode is in memory: 0 leaves it out, 2 counts each of its frames as two
neighbours. Leaving out one episode after another gives the inner errors of nested cross-validation; multinomial
counts give the bootstrap; 0 and 1 give subsets of the demonstrations. A frame whose kept neighbours run out before k
is predicted from those that are left, and is not counted where none is. Cost: one head of 1 600 frames, 64 neighbours
and four ks takes about 1 ms a replicate and k; memory CHUNK_BYTES a thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steering.progress import Progress
from steering.relevance.regression import check_depth, episode_sums, exact, weights
from steering.relevance.threads import for_each
from steering.types import Neighbours

CHUNK_BYTES = 64 * 2**20


def resampled_errors(
    neighbours: Neighbours,
    target: np.ndarray,
    ks: Sequence[int],
    counts: np.ndarray,
    counted: np.ndarray,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Squared error of every frame summed by its episode, and the frames in each sum.

    target: float [frame, dim]. counts: uint8 [replicate, episode], how often each episode is in memory. counted: bool
    [frame]. Gives two float32 [replicate, k, unit, episode]: sums of the squared error averaged over dimensions, and
    numbers of frames. An episode's own sum never uses its own frames, whatever its count.
    """
    check_depth(neighbours, ks)
    target = target.astype(np.float32)
    units, frames, depth = neighbours.order.shape
    counts = counts.astype(np.uint8)
    place = np.unique(neighbours.episode, return_inverse=True)[1]
    per_episode = episode_sums(neighbours.episode, counted)
    errors = np.empty((len(counts), len(ks), units, len(per_episode)), np.float32)
    number = np.empty_like(errors)
    size = max(1, CHUNK_BYTES // (frames * depth * (8 + 4 * len(ks))))

    def one(unit: int) -> None:
        order, weight = neighbours.order[unit], weights(neighbours, unit)
        values = target[order]  # [frame, depth, dim]
        values = np.concatenate([values, np.ones_like(values[..., :1])], axis=2)  # the last column sums the weights
        source = place[order]  # [frame, depth]
        matched = exact(neighbours, unit)
        matched_rows = np.flatnonzero(matched.any(1))
        for start in range(0, len(counts), size):
            chunk = slice(start, start + size)
            times = counts[chunk].T[source].transpose(0, 2, 1)  # [frame, replicate, depth]
            before = np.cumsum(times, axis=2, dtype=np.int16) - times
            taken = np.empty((frames, times.shape[1], len(ks), depth), np.float32)
            for index, k in enumerate(ks):
                np.clip(int(k) - before, 0, times, out=taken[:, :, index], casting="unsafe")
            _exact_alone(taken, matched, matched_rows)
            taken *= weight[:, None, None]
            sums = taken.reshape(frames, -1, depth) @ values  # [frame, replicate * k, dim + 1]
            mass = sums[..., -1]
            known = mass > 0
            predicted = sums[..., :-1] / np.where(known, mass, 1)[..., None]
            predicted -= target[:, None]
            squared = np.einsum("frd,frd->fr", predicted, predicted) / target.shape[1] * known
            shape = (len(per_episode), times.shape[1], len(ks))
            errors[chunk, :, unit] = (per_episode @ squared).reshape(shape).transpose(1, 2, 0)
            number[chunk, :, unit] = (per_episode @ known.astype(np.float32)).reshape(shape).transpose(1, 2, 0)

    for_each(units, one, progress or Progress(), "Resampled predictors")
    return errors, number


def _exact_alone(taken: np.ndarray, matched: np.ndarray, rows: np.ndarray) -> None:
    """Where an exact match is taken, take the nearest of them alone. taken: float32 [frame, replicate, k, depth]."""
    if len(rows) == 0:
        return
    hit = (taken[rows] > 0) & matched[rows, None, None]
    first = hit & (np.cumsum(hit, axis=3, dtype=np.int16) == 1)
    taken[rows] = np.where(hit.any(3, keepdims=True), first, taken[rows])
