"""How far a relevance can be trusted: bootstrap, set stability and permutation null put together.

Cost on two cores, 20 episodes of 100 frames at 128 heads: about 7 s for 100 bootstrap replicates and 3 s for 200
permutations of the strict score.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance.baselines import MEAN
from steering.relevance.conditional_null import conditional_null
from steering.relevance.conditioning import Conditioner
from steering.relevance.null import permutation_null
from steering.relevance.scoring import zero_of
from steering.relevance.stability import bootstrap, nogueira
from steering.relevance.targets import Target
from steering.types import PAPER_SET_SIZE, Neighbours, Relevance, Trust

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
    conditioner: Conditioner | None = None,
    progress: Progress | None = None,
) -> Trust:
    """The trust in a k-NN relevance, from the neighbours, target and frames that it was scored with.

    set_size: heads of a stack whose stability is asked for. The bootstrap scores at the relevance's best k, the null at
    all of its ks. permutations: 0 leaves the null out; p is NaN then. conditioner: that of a strict score.
    """
    if relevance.metric != "knn":
        raise InputError(f"Intervals and the null are those of the k-NN score; got the metric {relevance.metric!r}.")
    progress = progress or Progress()
    scored, inert = list(target.scored), relevance.inert
    values, strict = target.values[:, scored], zero_of(relevance.preset, target) != MEAN
    part = progress.part(0, 0.6)
    given: dict[str, Any] = {"counted": counted, "inert": inert, "seed": seed}
    null = None
    if not strict:
        if permutations:
            null = permutation_null(neighbours, values, relevance.ks, permutations=permutations, progress=part, **given)
    elif conditioner is None:
        raise InputError("The trust in a strict score needs what it was conditioned on; none was given.")
    else:
        if permutations:
            null = conditional_null(
                neighbours, conditioner, values, relevance.ks, permutations=permutations, progress=part, **given
            )
        values = conditioner.own(values, range(len(scored)))
    resampled = bootstrap(
        neighbours,
        values,
        relevance.best_k,
        counted=counted,
        inert=inert,
        shared=strict,
        replicates=replicates,
        seed=seed,
        progress=progress.part(0.6 if permutations else 0, 1),
    )
    score_low, score_high = resampled.intervals(relevance.score)
    rank_low, rank_high = resampled.rank_intervals()
    chosen = resampled.chosen(set_size)
    movable = ~inert
    unknown = np.full(inert.shape, np.nan, np.float32)
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
