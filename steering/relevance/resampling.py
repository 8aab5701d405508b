"""k-NN predictions when episodes are taken out or counted several times, from the same neighbours.

Each replicate says how often every episode is in memory: 0 leaves it out, 2 counts each of its frames as two
neighbours: multinomial counts give the bootstrap. A frame whose kept neighbours run out before k is predicted from
those that are left, and is not counted where none is. Cost: one head of 1 600 frames, 64 neighbours and four ks takes
about 1 ms a replicate and k; memory CHUNK_BYTES a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steering.progress import Progress
from steering.relevance.regression import check_depth, episode_sums, exact, weights
from steering.relevance.threads import for_each
from steering.types import Neighbours

CHUNK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Sums:
    """Over the frames of each episode: of ⟨y, ŷ⟩, ‖ŷ‖² and ‖y‖², averaged over dimensions, and how many frames there
    are. Each float32 [replicate, k, head, episode].
    """

    product: np.ndarray
    square: np.ndarray
    target: np.ndarray
    frames: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """The squared error of the prediction as it is, float32 [replicate, k, head, episode]."""
        found: np.ndarray = self.target - 2 * self.product + self.square
        return found


def resampled(
    neighbours: Neighbours,
    target: np.ndarray,
    ks: Sequence[int],
    counts: np.ndarray,
    counted: np.ndarray,
    progress: Progress | None = None,
) -> Sums:
    """What is predicted of `target`, float [frame, dim], from every memory.

    counts: uint8 [replicate, episode], how often each episode is in memory. counted: bool [frame]. An episode's own sum
    never uses its own frames, whatever its count.
    """
    check_depth(neighbours, ks)
    target = target.astype(np.float32)
    frames, depth = neighbours.order.shape[1:]
    heads = int(np.prod(neighbours.grid))
    counts = counts.astype(np.uint8)
    place = np.unique(neighbours.episode, return_inverse=True)[1]
    per_episode = episode_sums(neighbours.episode, counted)
    sums = Sums(*(np.empty((len(counts), len(ks), heads, len(per_episode)), np.float32) for _ in range(4)))
    length = np.einsum("fd,fd->f", target, target)[:, None]
    size = max(1, CHUNK_BYTES // (frames * depth * (8 + 4 * len(ks))))

    def one(head: int) -> None:
        order, weight = neighbours.order[head], weights(neighbours, head)
        values = target[order]  # [frame, depth, dim]
        values = np.concatenate([values, np.ones_like(values[..., :1])], axis=2)  # the last column sums the weights
        source = place[order]  # [frame, depth]
        matched = exact(neighbours, head)
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
            weighted = taken.reshape(frames, -1, depth) @ values  # [frame, replicate * k, dim + 1]
            mass = weighted[..., -1]
            known = mass > 0
            predicted = weighted[..., :-1] / np.where(known, mass, 1)[..., None]
            product = np.einsum("frd,fd->fr", predicted, target) / target.shape[1]
            square = np.einsum("frd,frd->fr", predicted, predicted) / target.shape[1]
            parts = (product, square, known * (length / target.shape[1]), known.astype(np.float32))
            shape = (len(per_episode), times.shape[1], len(ks))
            for part, into in zip(parts, (sums.product, sums.square, sums.target, sums.frames), strict=True):
                into[chunk, :, head] = (per_episode @ part).reshape(shape).transpose(1, 2, 0)

    for_each(heads, one, progress or Progress(), "Resampled heads")
    return sums


def _exact_alone(taken: np.ndarray, matched: np.ndarray, rows: np.ndarray) -> None:
    """Where an exact match is taken, take the nearest of them alone. taken: float32 [frame, replicate, k, depth]."""
    if len(rows) == 0:
        return
    hit = (taken[rows] > 0) & matched[rows, None, None]
    first = hit & (np.cumsum(hit, axis=3, dtype=np.int16) == 1)
    taken[rows] = np.where(hit.any(3, keepdims=True), first, taken[rows])
