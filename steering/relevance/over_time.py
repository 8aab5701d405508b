"""Relevance by time in the episode: when a head tells the action. The same errors as in the score, summed by time.

Only which frames' errors count changes; what predicts them are all frames of the other episodes. What the score is
measured against is that of the score too: what state and time leave open, or the mean of all other frames.
Cost: as `scoring.rescore`, 0.1 s on the embedded policy.
"""

from __future__ import annotations

import numpy as np

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance import conditional
from steering.relevance.baselines import mean_error_by_frame
from steering.relevance.conditioning import Conditioner
from steering.relevance.regression import frame_errors
from steering.relevance.scoring import left_open, zero_of
from steering.relevance.targets import Target
from steering.types import Activations, Neighbours, RelevanceOverTime

BINS = 20


def over_time(
    activations: Activations,
    neighbours: Neighbours,
    target: Target,
    *,
    k: int,
    preset: str,
    bins: int = BINS,
    conditioner: Conditioner | None = None,
) -> RelevanceOverTime:
    """The score of every head in each of `bins` equal parts of the episode. conditioner: as that of `score`."""
    if bins < 1:
        raise InputError(f"Expected at least one part of the episode, got {bins}.")
    scored, counted = list(target.scored), np.ones(len(activations.episode), bool)
    residuals = left_open(activations, target, counted, preset, conditioner)
    bin_of = np.minimum((activations.time_in_episode * bins).astype(int), bins - 1)
    inside = (np.arange(bins)[:, None] == bin_of).astype(np.float64)  # [bin, frame]
    if residuals is None:
        values = target.values[:, scored]
        heads = range(int(np.prod(neighbours.grid)))
        worst = inside @ mean_error_by_frame(values, activations.episode, activations.frame)
        of_heads = inside @ frame_errors(neighbours, values, (k,))[0, heads].T
    else:
        residuals = residuals[..., scored]
        worst = inside @ (conditional.own(residuals, activations.episode).astype(np.float64) ** 2).mean(1)
        dims = range(len(scored))
        told = conditional.errors(neighbours, residuals, dims, (k,), counted, Progress(), inside)
        of_heads = told.held_out[0].mean(-1).T  # [bin, head]
    known = worst > 1e-12
    score = 1 - of_heads / np.where(known, worst, 1)[:, None]
    score[~known] = np.nan
    return RelevanceOverTime(
        edges=np.linspace(0, 1, bins + 1, dtype=np.float32),
        score=score.reshape(bins, *neighbours.grid).astype(np.float32),
        frames=inside.sum(1).astype(np.int32),
        zero=zero_of(preset, target),
        k=k,
        stacks=activations.stacks,
    )
