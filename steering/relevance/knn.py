"""k-NN relevance: how well the demonstrated action follows from the nearest outputs of one attention head.

The rule is that of the Robotic Steering release (arXiv 2511.22697):
leave-one-episode-out, cosine distance, weights 1 / (d + 1e-8), an exact match taken alone, one raw action. A head set
is scored as one head whose output is the concatenation of theirs.
Cost: a head costs what `steering.relevance.neighbours` says, a set of twenty heads about five times as much.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steering.errors import InputError
from steering.metrics import KS
from steering.progress import Progress
from steering.relevance import folds
from steering.relevance.neighbours import check_ks, for_each_by_cosine, nearest, unit_vectors
from steering.relevance.regression import unit_errors
from steering.types import Activations, Head, Neighbours

QUERIES = 512  # of `nearest_frames` at once: 25 MB of distances to 6 000 frames


def fitting_ks(episode: np.ndarray, frame: np.ndarray) -> tuple[int, ...]:
    """Those of KS that the frames (int [frame] each) have enough neighbours for; the most there are where none fits."""
    most = folds.fewest_training_frames(episode, frame)
    return tuple(k for k in KS if k <= most) or (max(most, 1),)


def errors_of(
    features: np.ndarray,
    action: np.ndarray,
    episode: np.ndarray,
    frame: np.ndarray,
    ks: Sequence[int],
    progress: Progress | None = None,
) -> np.ndarray:
    """Squared error of every frame, float32 [k, head, frame], averaged over action dimensions.

    features: float [frame, head, dim]. action: float [frame, dim]. episode, frame: int [frame].
    """
    check_ks(ks, episode, frame)
    errors = np.empty((len(ks), features.shape[1], len(features)), np.float32)
    target = action.astype(np.float32)

    def take(heads: np.ndarray, order: np.ndarray, distance: np.ndarray) -> None:
        one = Neighbours(order[None], distance[None], (1, 1, 1), (), episode, frame)
        errors[:, heads] = unit_errors(one, 0, target, ks)[:, None]

    for_each_by_cosine(features, episode, frame, int(max(ks)), take, progress or Progress())
    return errors


def nearest_frames(
    activations: Activations, head: Head, rows: Sequence[int] | np.ndarray, k: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the `k` frames nearest to each query frame of `rows` in a head's output, and their cosine distances.

    Only frames that may predict a query count, nearest first: what the score rests on, to be looked at. Both are
    [query, k]. The outputs are normalised once; then one matrix product serves QUERIES queries at a time.
    """
    episode, frame, rows = activations.episode, activations.frame, np.asarray(rows, np.int64)
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(episode):
        raise InputError(f"Expected rows from 0 to {len(episode) - 1}, got {rows.min()} to {rows.max()}.")
    unit = unit_vectors(head_outputs(activations, head))
    order, distance = np.empty((len(rows), k), np.int64), np.empty((len(rows), k))
    for start in range(0, len(rows), QUERIES):
        part = slice(start, start + QUERIES)
        left_out = folds.excluded(episode, frame, rows[part])  # [query, frame]
        fewest = len(episode) - int(left_out.sum(1).max())
        if not 1 <= k <= fewest:
            raise InputError(f"Expected k from 1 to {fewest}, the frames that may predict this one, got {k}.")
        away = np.maximum(1 - unit[rows[part]] @ unit.T, 0)
        away[left_out] = np.inf
        order[part], distance[part] = nearest(away, k)
    return order, distance


def head_outputs(activations: Activations, head: Head) -> np.ndarray:
    """float32 [frame, dim]: the output of one head. Raises InputError for a head that the policy does not have."""
    shape = activations.shape
    if head not in shape:
        raise InputError(f"There is no head {head}: the policy has {shape.words()}.")
    return activations.outputs[(slice(None), *shape.place(head))][:, : shape[head.stack].head_dim]


def joined(activations: Activations, heads: Sequence[Head]) -> np.ndarray:
    """float32 [frame, dim]: the outputs of several heads, one after the other."""
    if not heads:
        raise InputError("Expected at least one head to score, got none.")
    return np.concatenate([head_outputs(activations, head) for head in heads], axis=1)
