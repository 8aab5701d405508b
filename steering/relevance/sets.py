"""Errors of head sets: of any one set at once, and of a set that grows head by head.

A set is scored as one head whose output is the concatenation of theirs (arXiv 2511.22697). The dot product of two
concatenations is the sum of the heads' dot products, so a growing set keeps one matrix of them, and another head costs
one small matrix product. What a set is asked is a `Judge`: the error of its nearest frames, as the score has it.
Cost on two cores, 20 episodes of 80 frames: `set_errors` of 20 heads of 32 dims about 0.06 s (`bench_sets.py`);
`GrowingSet` about 20 ms a candidate, so that a greedy set of 20 out of 56 heads takes about 20 s a k, a twentieth of
that on keyframes.
Memory of `GrowingSet`: 8 bytes for every pair of frames, and BLOCK_BYTES a few times a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance import conditional, folds, knn
from steering.relevance.conditioning import Conditioner
from steering.relevance.neighbours import check_finite, check_ks, for_each_by_cosine, nearest, row_type
from steering.relevance.regression import frame_errors
from steering.relevance.scoring import left_open
from steering.relevance.targets import Target
from steering.relevance.threads import for_each
from steering.types import Activations, Head, Neighbours

BLOCK_BYTES = 8 * 2**20
_ROUNDING = 1e-14  # of a cosine in float64

Judge = Callable[[Neighbours, Sequence[int]], np.ndarray]
"""(neighbours of one predictor, ks) -> held-out squared error at each k, float64 [k], averaged over dimensions."""


def judge_of(
    activations: Activations,
    target: Target,
    counted: np.ndarray,
    preset: str,
    conditioner: Conditioner | None = None,
) -> Judge:
    """The error that a score of this question has. counted: bool [frame]; conditioner: as that of `score`."""
    scored = list(target.scored)
    residuals = left_open(activations, target, counted, preset, conditioner)
    if residuals is None:
        values = target.values[:, scored]
        return lambda found, ks: frame_errors(found, values, ks)[:, 0, counted].mean(1, np.float64)
    residuals = residuals[..., scored]

    def of_residuals(found: Neighbours, ks: Sequence[int]) -> np.ndarray:
        errors = conditional.errors(found, residuals, range(len(scored)), ks, counted, Progress())
        mean: np.ndarray = errors.held_out[:, 0].sum((1, 2)) / counted.sum() / len(scored)
        return mean

    return of_residuals


def set_errors(activations: Activations, heads: Sequence[Head], judge: Judge, ks: Sequence[int]) -> np.ndarray:
    """Held-out squared error of one set at each k, float64 [k]."""
    return judge(neighbours_of(activations, heads, ks), ks)


def neighbours_of(activations: Activations, heads: Sequence[Head], ks: Sequence[int]) -> Neighbours:
    """The nearest frames of every frame for a set asked as one head, as deep as the largest k; no baseline."""
    a, features = activations, knn.joined(activations, heads)[:, None]
    check_ks(ks, a.episode, a.frame)
    order, distance = np.empty((1, len(features), max(ks)), np.int64), np.empty((1, len(features), max(ks)), np.float32)

    def keep(_: np.ndarray, rows: np.ndarray, away: np.ndarray) -> None:
        order[0], distance[0] = rows, away

    for_each_by_cosine(features, a.episode, a.frame, max(ks), keep, Progress())
    return Neighbours(order, distance, (1, 1, 1), (), a.episode, a.frame)


class GrowingSet:
    """Held-out errors of a set together with each candidate: the error function of greedy forward selection."""

    def __init__(self, activations: Activations, judge: Judge) -> None:
        frames = len(activations.episode)
        check_finite(activations.outputs.reshape(frames, -1, activations.outputs.shape[-1]))
        self._activations, self._judge = activations, judge
        self._chosen: tuple[Head, ...] = ()
        self._dots = np.zeros((frames, frames))

    def __call__(self, k: int, chosen: tuple[Head, ...], candidates: tuple[Head, ...]) -> np.ndarray:
        """float64 [candidate]: the error at k of `chosen` with each of `candidates`."""
        if not candidates:
            raise InputError("Expected at least one head to add, got none.")
        self._grow_to(chosen)
        errors = np.empty(len(candidates))

        def one(number: int) -> None:
            errors[number] = self._error(k, candidates[number])

        for_each(len(candidates), one, Progress(), "Heads tried")
        return errors

    def _grow_to(self, chosen: tuple[Head, ...]) -> None:
        kept = len(self._chosen)
        if chosen[:kept] != self._chosen:
            self._dots[:], kept = 0, 0
        for head in chosen[kept:]:
            output = self._output(head)
            self._dots += output @ output.T
        self._chosen = chosen

    def _error(self, k: int, candidate: Head) -> float:
        a, output = self._activations, self._output(candidate)
        frames = len(output)
        length = np.sqrt(self._dots.diagonal() + np.einsum("fd,fd->f", output, output))
        length[length == 0] = 1
        order, distance = np.empty((1, frames, k), row_type(frames)), np.empty((1, frames, k), np.float32)
        size = max(1, BLOCK_BYTES // (8 * frames))
        for start in range(0, frames, size):
            rows = slice(start, start + size)
            block = output[rows] @ output.T
            block += self._dots[rows]
            block /= length
            block /= -length[rows, None]
            block += 1
            block[block < _ROUNDING] = 0
            block[folds.excluded(a.episode, a.frame, np.arange(frames)[rows])] = np.inf
            order[0, rows], distance[0, rows] = nearest(block, k)
        found = Neighbours(order, distance, (1, 1, 1), (), a.episode, a.frame)
        return float(self._judge(found, (k,))[0])

    def _output(self, head: Head) -> np.ndarray:
        return knn.head_outputs(self._activations, head).astype(np.float64)
