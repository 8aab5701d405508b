"""Why a head counts as relevant: for a frame, the frames in which it says similar things, and what was done there.

The same neighbours and weights as in the score (`steering.relevance.knn`), in the action's own units. Cost: a
millisecond on the embedded policy, whether for one frame or an episode; at π0's size (256 dims, 6 000 frames) 10 ms
for one frame and a tenth of a second for an episode of 300.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steering.errors import InputError
from steering.relevance import knn
from steering.relevance.neighbours import WEIGHT_OFFSET
from steering.relevance.targets import raw_action
from steering.types import Activations, Head, Why


def why(activations: Activations, head: Head, rows: Sequence[int] | np.ndarray, k: int = 10) -> list[Why]:
    """The `k` nearest frames of each query frame of `rows` in a head's output, and the action that they predict."""
    near, distance = knn.nearest_frames(activations, head, rows, k)  # [query, k]
    weight = 1 / (distance + WEIGHT_OFFSET)
    weight[distance[:, 0] < WEIGHT_OFFSET, 1:] = 0
    weight /= weight.sum(1, keepdims=True)
    target = raw_action(activations)
    predicted = np.einsum("qk,qkd->qd", weight, target.values[near])
    spread = target.values.std(0).astype(np.float32)
    return [
        Why(
            head=head,
            episode=int(activations.episode[row]),
            frame=int(activations.frame[row]),
            neighbour_episode=activations.episode[near[q]].astype(np.int32),
            neighbour_frame=activations.frame[near[q]].astype(np.int32),
            distance=distance[q].astype(np.float32),
            weight=weight[q].astype(np.float32),
            action=activations.action[near[q]].astype(np.float32),
            predicted=predicted[q].astype(np.float32),
            true=activations.action[row].astype(np.float32),
            spread=spread,
            names=target.names,
        )
        for q, row in enumerate(rows)
    ]


def rows_of(activations: Activations, episode: int, frames: Sequence[int]) -> np.ndarray:
    """The row of the captured frame nearest to each of `frames` of the episode, the earlier of two, or InputError."""
    rows = np.flatnonzero(activations.episode == episode)
    if len(rows) == 0:
        known = np.unique(activations.episode)
        raise InputError(f"No frame of episode {episode} was captured; episodes are {known.min()} to {known.max()}.")
    rows = rows[np.argsort(activations.frame[rows], kind="stable")]
    away = np.abs(np.asarray(frames)[:, None] - activations.frame[rows].astype(np.int64))  # [asked, captured]
    return rows[away.argmin(1)]
