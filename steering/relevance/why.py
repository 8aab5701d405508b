"""Why a head counts as relevant: for one frame, the frames in which it says similar things, and what was done there.

The same neighbours and weights as in the score (`steering.relevance.knn`), in the action's own units. Cost: a
millisecond.
"""

from __future__ import annotations

import numpy as np

from steering.errors import InputError
from steering.relevance import knn
from steering.relevance.neighbours import WEIGHT_OFFSET
from steering.relevance.targets import raw_action
from steering.types import Activations, Head, Why


def why(activations: Activations, head: Head, row: int, k: int = 10) -> Why:
    """The `k` nearest frames of the query frame `row` in a head's output, and the action that follows from them."""
    rows, distance = knn.nearest_frames(activations, head, row, k)
    weight = 1 / (distance + WEIGHT_OFFSET)
    if distance[0] < WEIGHT_OFFSET:
        weight[1:] = 0
    weight /= weight.sum()
    target = raw_action(activations)
    return Why(
        head=head,
        episode=int(activations.episode[row]),
        frame=int(activations.frame[row]),
        neighbour_episode=activations.episode[rows].astype(np.int32),
        neighbour_frame=activations.frame[rows].astype(np.int32),
        distance=distance.astype(np.float32),
        weight=weight.astype(np.float32),
        action=activations.action[rows].astype(np.float32),
        predicted=(weight @ target.values[rows]).astype(np.float32),
        true=activations.action[row].astype(np.float32),
        spread=target.values.std(0).astype(np.float32),
        names=target.names,
    )


def row_of(activations: Activations, episode: int, frame: int) -> int:
    """The row of the captured frame nearest to `frame` of the episode; the earlier of two. Raises InputError."""
    rows = np.flatnonzero(activations.episode == episode)
    if len(rows) == 0:
        known = np.unique(activations.episode)
        raise InputError(f"No frame of episode {episode} was captured; episodes are {known.min()} to {known.max()}.")
    away = np.abs(activations.frame[rows].astype(np.int64) - frame)
    return int(min(zip(away, activations.frame[rows], rows, strict=True))[2])
