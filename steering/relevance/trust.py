"""How far a relevance can be trusted: bootstrap, set stability and permutation null put together.

Cost on two cores, 20 episodes of 80 frames at 128 heads: about 4 s for 100 bootstrap replicates and 2 s for 200
permutations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance import conditional
from steering.relevance.conditional_null import conditional_null, jackknife, redrawn_gains
from steering.relevance.conditioning import CONDITIONAL, Conditioner
from steering.relevance.null import Null, permutation_null
from steering.relevance.scoring import zero_of
from steering.relevance.stability import Resampled, bootstrap, nogueira
from steering.relevance.targets import Target
from steering.types import PAPER_SET_SIZE, Activations, Neighbours, Relevance, Trust

REPLICATES = 100
PERMUTATIONS = 200


def trust(
    relevance: Relevance,
    neighbours: Neighbours,
    target: Target,
    counted: np.ndarray,
    *,
    set_size: int = PAPER_SET_SIZE,
    replicates: int = REPLICATES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    activations: Activations | None = None,
    progress: Progress | None = None,
) -> Trust:
    """The trust in a k-NN relevance, from the neighbours, target and frames that it was scored with.

    set_size: heads of a stack whose stability is asked for. The bootstrap scores at the relevance's best k, the null at
    all of its ks. permutations: 0 leaves the null out; p is NaN then. activations: those that were scored, which the
    preset `conditional` reads state and time from.
    """
    if relevance.metric != "knn":
        raise InputError(f"Intervals and the null are those of the k-NN score; got the metric {relevance.metric!r}.")
    progress = progress or Progress()
    found = _conditional if relevance.preset == CONDITIONAL else _unconditional
    null, resampled, (score_low, score_high) = found(
        relevance, neighbours, target, counted, activations, replicates, permutations, seed, progress
    )
    rank_low, rank_high = resampled.rank_intervals()
    chosen = resampled.chosen(set_size)
    movable = ~relevance.inert
    unknown = np.full(relevance.inert.shape, np.nan, np.float32)
    return Trust(
        score_low=score_low,
        score_high=score_high,
        rank_low=rank_low,
        rank_high=rank_high,
        chosen_share=np.where(movable, chosen.mean(0), np.nan).astype(np.float32),
        stability={
            stack: nogueira(chosen[:, s][:, movable[s]])
            for s, stack in enumerate(relevance.shape.names)
            if movable[s].sum() > set_size
        },
        p=null.p if null else unknown,
        p_head=null.p_head if null else unknown,
        null_max=null.maxima if null else np.zeros(0, np.float32),
        replicates=replicates,
        permutations=permutations,
        set_size=set_size,
        seed=seed,
    )


Found = tuple[Null | None, Resampled, tuple[np.ndarray, np.ndarray]]
"""The null, scores of every replicate, and the low and high end of each head's score."""


def _unconditional(
    relevance: Relevance,
    neighbours: Neighbours,
    target: Target,
    counted: np.ndarray,
    activations: Activations | None,
    replicates: int,
    permutations: int,
    seed: int,
    progress: Progress,
) -> Found:
    values = target.values[:, target.scored]
    shared: dict[str, Any] = {
        "zero": zero_of(relevance.preset, target),
        "counted": counted,
        "inert": relevance.inert,
        "seed": seed,
    }
    null = None
    if permutations:
        null = permutation_null(
            neighbours, values, relevance.ks, permutations=permutations, progress=progress.part(0, 0.5), **shared
        )
    part = progress.part(0.5 if permutations else 0, 1)
    resampled = bootstrap(neighbours, values, relevance.best_k, replicates=replicates, progress=part, **shared)
    return null, resampled, resampled.intervals()


def _conditional(
    relevance: Relevance,
    neighbours: Neighbours,
    target: Target,
    counted: np.ndarray,
    activations: Activations | None,
    replicates: int,
    permutations: int,
    seed: int,
    progress: Progress,
) -> Found:
    if activations is None:
        raise InputError("The trust in a conditional score needs the activations that were scored; none were given.")
    conditioner = Conditioner(activations, clock=zero_of(relevance.preset, target) == "time")
    scored = list(target.scored)
    null = None
    if permutations:
        null = conditional_null(
            neighbours,
            conditioner,
            target.values[:, scored],
            relevance.ks,
            counted=counted,
            inert=relevance.inert,
            permutations=permutations,
            seed=seed,
            progress=progress.part(0, 0.7),
        )
    residuals = conditioner.nested(target.values, scored, counted)[..., scored]
    errors = conditional.errors(
        neighbours, residuals, range(len(scored)), relevance.ks, counted, progress.part(0.8, 1)
    ).held_out.sum(-1)  # [k, head, episode]
    rows = [one[counted[one]] for one in conditioner.rows]
    left = np.array([(residuals[e, one].astype(np.float64) ** 2).sum() for e, one in enumerate(rows)])
    of_stack = errors.reshape(len(relevance.ks), len(relevance.inert), -1, len(rows))
    at_k = np.concatenate(
        [
            np.stack([of_stack[relevance.ks.index(k), s, :, e] for e, k in enumerate(_fold_ks(relevance, s, rows))], 1)
            for s in range(len(relevance.inert))
        ]
    )  # [head, episode]
    shape = relevance.inert.shape
    low, high = (np.where(relevance.inert, np.nan, end.reshape(shape)) for end in jackknife(left, at_k))
    scores = redrawn_gains(left, at_k, replicates, seed).reshape(replicates, *shape)
    interval = low.astype(np.float32), high.astype(np.float32)
    return null, Resampled(scores.astype(np.float32), relevance.inert), interval


def _fold_ks(relevance: Relevance, stack: int, rows: list[np.ndarray]) -> Sequence[int]:
    """The k of each held-out episode; any where the stack has only inert heads."""
    return relevance.fold_k.get(relevance.shape.names[stack], (relevance.ks[0],) * len(rows))
