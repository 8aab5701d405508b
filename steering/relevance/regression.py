"""Weighted k-NN regression from known neighbours: sparse averaging of a target, several k from one pass.

The weights are the paper's (arXiv 2511.22697): 1 / (d + 1e-8), and for heads the nearest neighbour alone where its d
< 1e-8. Baselines average their exact matches: with few dimensions (time in episode) these are common, and one of them
alone would make a needlessly weak baseline. Sums over the nearest k₁ are reused by k₂ > k₁. Cost: 132 predictors, 1
600 frames, 7 target dimensions and four ks take about 0.1 s on two cores; no memory to speak of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_array

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance.neighbours import WEIGHT_OFFSET
from steering.relevance.threads import for_each
from steering.types import Neighbours


def frame_errors(
    neighbours: Neighbours, target: np.ndarray, ks: Sequence[int], progress: Progress | None = None
) -> np.ndarray:
    """Squared error at every frame, float32 [k, unit, frame], averaged over the dimensions of `target` [frame, dim]."""
    target = target.astype(np.float32)
    errors = np.empty((len(ks), *neighbours.order.shape[:2]), np.float32)

    def one(unit: int) -> None:
        errors[:, unit] = unit_errors(neighbours, unit, target, ks)

    for_each(neighbours.order.shape[0], one, progress or Progress(), "Scored predictors")
    return errors


def unit_errors(neighbours: Neighbours, unit: int, target: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """`frame_errors` of one predictor, float32 [k, frame]; target: float32 [frame, dim]."""
    errors = np.empty((len(ks), len(target)), np.float32)
    for index, predicted in predictions(neighbours, unit, target, ks):
        predicted -= target
        errors[index] = np.einsum("fd,fd->f", predicted, predicted) / target.shape[1]
    return errors


def episode_errors(
    neighbours: Neighbours,
    target: np.ndarray,
    ks: Sequence[int],
    counted: np.ndarray,
    progress: Progress,
    units: Sequence[int],
) -> np.ndarray:
    """Squared error summed over the frames of each episode that count, float64 [k, unit, episode, dim], of `units`.

    target: float [frame, dim]. counted: bool [frame]. Episodes are those of `neighbours`, in increasing order.
    """
    target = target.astype(np.float32)
    per_episode = episode_sums(neighbours.episode, counted)
    errors = np.empty((len(ks), len(units), len(per_episode), target.shape[1]))

    def one(place: int) -> None:
        for index, predicted in predictions(neighbours, units[place], target, ks):
            predicted -= target
            predicted *= predicted
            errors[index, place] = per_episode @ predicted

    for_each(len(units), one, progress, "Scored predictors")
    return errors


def predictions(
    neighbours: Neighbours, unit: int, target: np.ndarray, ks: Sequence[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index of k, prediction of `target` for every frame, float32 [frame, dim]) for one predictor.

    Each array is the caller's to change. target: float32 [frame, dim], any number of dimensions.
    """
    with_ones = np.column_stack([target, np.ones(len(target), np.float32)])  # their sum is that of the weights
    for index, sums in weighted_sums(neighbours, unit, with_ones, ks):
        yield index, sums[:, :-1] / sums[:, -1:]


def weighted_sums(
    neighbours: Neighbours,
    unit: int,
    columns: np.ndarray,
    ks: Sequence[int],
    rows: np.ndarray | None = None,
    start: np.ndarray | int = 0,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index of k, weighted sums of `columns` over the nearest k, float32 [row, column]).

    columns: float32 [place, column], any number. rows: int [row], the frames asked, all by default. A neighbour is at
    the place of its frame, plus `start`, int [row], where each row has columns of its own below one another. The
    arrays are to be read only.
    """
    check_depth(neighbours, ks)
    last = int(max(ks))
    ends = sorted({int(k) for k in ks})
    weight = weights(neighbours, unit, rows)[:, :last]
    alone = np.flatnonzero(exact(neighbours, unit, 1, rows))
    weight[alone, 1:] = 0
    order = _of(neighbours.order[unit], rows)[:, :last].astype(np.int32)
    order += np.asarray(start, np.int32).reshape(-1, 1)
    # one sparse row for each frame and each part between two ks, all parts of a frame side by side
    starts = np.append(np.add.outer(np.arange(len(order)) * last, [0, *ends[:-1]]).ravel(), order.size)
    table = (weight.ravel(), order.ravel(), starts.astype(np.int32))
    sums = (csr_array(table, shape=(len(starts) - 1, len(columns))) @ columns).reshape(len(order), len(ends), -1)
    for place, end in enumerate(ends):
        if place:
            sums[:, place] += sums[:, place - 1]
        for index in np.flatnonzero(np.asarray(ks) == end):
            yield int(index), sums[:, place]


def weights(neighbours: Neighbours, unit: int, rows: np.ndarray | None = None) -> np.ndarray:
    """float32 [row, depth]: 1 / (d + 1e-8) of a predictor's neighbours, relative to that of the nearest."""
    distance = _of(neighbours.distance[unit], rows)
    return (distance[:, :1] + np.float32(WEIGHT_OFFSET)) / (distance + np.float32(WEIGHT_OFFSET))


def exact(neighbours: Neighbours, unit: int, depth: int | None = None, rows: np.ndarray | None = None) -> np.ndarray:
    """bool [row, depth]: neighbours so near that the nearest of them counts alone; only heads have any."""
    distance = _of(neighbours.distance[unit], rows)[:, :depth]
    return (distance < WEIGHT_OFFSET) & (unit < np.prod(neighbours.grid))


def _of(frames: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
    return frames if rows is None else frames[rows]


def episode_sums(episode: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """float32 [episode, frame]: the matrix that sums over the frames of each episode that count."""
    return ((np.unique(episode)[:, None] == episode) & counted).astype(np.float32)


def check_depth(neighbours: Neighbours, ks: Sequence[int]) -> None:
    """Raise InputError where a k is larger than the number of neighbours that were kept."""
    depth = neighbours.order.shape[2]
    if max(ks) > depth:
        raise InputError(f"k = {max(ks)} needs {max(ks)} neighbours, but only the nearest {depth} were kept.")
