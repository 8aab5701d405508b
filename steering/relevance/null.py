"""What scores arise by chance: the target's trajectories permuted between episodes, everything after them done again.

Each permutation gives every episode another episode's trajectory, resampled in time to its length. Heads, robot state
and clock stay where they are. What every trajectory has in common (it starts still, it closes the gripper in the
middle) survives, what belongs to this episode does not. The neighbours do not change, so a permutation is one more
column of the target; every k is scored again. This null breaks state → action as well as head → action: it is that
of the published score, and `conditional_null` that of the strict one.

The statistic of a head is its best score over the ks, so that the choice of k is part of the null. `p` compares it with
the best head of each permutation (max-statistic, family-wise; Westfall and Young 1993), `p_head` with the same head's
own; both are (b + 1) / (B + 1), never 0 (Phipson and Smyth 2010).
Cost: 200 permutations of 1 600 frames and 7 dimensions at 128 heads take about 4 s on two cores; memory CHUNK_BYTES a
thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance import folds
from steering.relevance.baselines import mean_errors
from steering.relevance.regression import predictions
from steering.relevance.threads import for_each
from steering.types import Neighbours

CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Null:
    """statistic: float32 [stack, layer, head], each head's best score over the ks. p, p_head: see the module; NaN for
    inert heads. maxima: float32 [permutation], the best head's statistic of each permutation.
    """

    statistic: np.ndarray
    p: np.ndarray
    p_head: np.ndarray
    maxima: np.ndarray


def permutation_null(
    neighbours: Neighbours,
    target: np.ndarray,
    ks: Sequence[int],
    *,
    counted: np.ndarray,
    inert: np.ndarray,
    permutations: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> Null:
    """The permutation null of the scores of `target`, float [frame, dim], over its mean.

    counted: bool [frame], frames whose errors count. inert: bool [stack, layer, head], heads outside the family.
    """
    episodes = np.unique(neighbours.episode)
    if len(episodes) < 2:
        raise InputError("A permutation null needs at least two episodes to permute, got one. Add demonstrations.")
    if permutations < 1:
        raise InputError(f"Expected at least one permutation, got {permutations}.")
    generator = np.random.default_rng(seed)
    source = np.stack([permuted_rows(neighbours.episode, neighbours.frame, generator) for _ in range(permutations)])
    sources = np.concatenate([np.arange(len(target))[None], source])  # the first is the target as it is
    errors = _errors(neighbours, target, ks, sources, counted, progress or Progress())  # [k, head, permutation]
    worth = [mean_errors(target[rows], neighbours.episode, neighbours.frame, counted).sum() for rows in sources]
    at_zero = np.array(worth) / counted.sum() / target.shape[1]
    statistic = 1 - errors.min(0) / at_zero  # [head, permutation]
    family = ~inert.ravel()
    if not family.any():
        raise InputError("Every head is marked inert; at least one must not be.")
    observed, null = statistic[:, :1], statistic[:, 1:]
    maxima = null[family].max(0)
    p = (1 + (maxima >= observed).sum(1)) / (permutations + 1)
    p_head = (1 + (null >= observed).sum(1)) / (permutations + 1)
    grid = neighbours.grid
    return Null(
        statistic=observed[:, 0].reshape(grid).astype(np.float32),
        p=np.where(inert, np.nan, p.reshape(grid)).astype(np.float32),
        p_head=np.where(inert, np.nan, p_head.reshape(grid)).astype(np.float32),
        maxima=maxima.astype(np.float32),
    )


def permuted_rows(episode: np.ndarray, frame: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """int [frame]: the row whose target each frame gets when trajectories are permuted between episodes.

    A frame at the share t of its episode's captured frames gets the frame at the same share of the other's.
    """
    rows = folds.rows_by_episode(episode, frame)
    source = np.empty(len(episode), np.int64)
    for here, other in zip(rows, generator.permutation(len(rows)), strict=True):
        share = (np.arange(len(here)) + 0.5) / len(here)
        source[here] = rows[other][(share * len(rows[other])).astype(int)]
    return source


def _errors(
    neighbours: Neighbours,
    target: np.ndarray,
    ks: Sequence[int],
    sources: np.ndarray,
    counted: np.ndarray,
    progress: Progress,
) -> np.ndarray:
    """float64 [k, head, permutation]: mean squared error over dimensions and frames that count."""
    target = target.astype(np.float32)
    frames, dims = target.shape
    errors = np.empty((len(ks), int(np.prod(neighbours.grid)), len(sources)))
    size = max(1, CHUNK_BYTES // (8 * frames * dims))
    starts = range(0, len(sources), size)
    for number, start in enumerate(starts):
        chunk = sources[start : start + size]
        permuted = np.ascontiguousarray(target[chunk.T].reshape(frames, -1))  # [frame, permutation * dim]

        def one(unit: int, permuted: np.ndarray = permuted, start: int = start) -> None:
            for index, predicted in predictions(neighbours, unit, permuted, ks):
                predicted -= permuted
                predicted[~counted] = 0
                squared = np.einsum("fc,fc->c", predicted, predicted).reshape(-1, dims)
                errors[index, unit, start : start + len(squared)] = squared.mean(1)

        part = progress.part(number / len(starts), (number + 1) / len(starts))
        for_each(errors.shape[1], one, part, f"Permutations {start} to {start + len(chunk)}, heads")
    return errors / counted.sum()
