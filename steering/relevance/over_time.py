"""Relevance by time in the episode: when a head tells the action. The same errors as in the score, summed by time.

Only which frames' errors count changes; what predicts them are all frames of the other episodes. The baseline is that
of the score, as strong as it is over the whole episode, and the mean action is the mean of all other frames.
Cost: as `scoring.rescore`, 0.1 s on the embedded policy.
"""

from __future__ import annotations

import numpy as np

from steering.errors import InputError
from steering.relevance import folds
from steering.relevance.baselines import MEAN, contenders
from steering.relevance.regression import frame_errors
from steering.relevance.scoring import only_unconditional, zero_of
from steering.relevance.targets import Target
from steering.types import Activations, Neighbours, RelevanceOverTime

BINS = 20


def over_time(
    activations: Activations, neighbours: Neighbours, target: Target, *, k: int, preset: str, bins: int = BINS
) -> RelevanceOverTime:
    """Explained variance of every head in each of `bins` equal parts of the episode."""
    if bins < 1:
        raise InputError(f"Expected at least one part of the episode, got {bins}.")
    only_unconditional(preset, "The course over time")
    values = target.values[:, target.scored]
    errors = frame_errors(neighbours, values, (k,))[0]  # [unit, frame]
    heads = int(np.prod(neighbours.grid))
    zero = zero_of(preset, target)
    if zero == MEAN:
        at_zero = _mean_errors(values, activations)
    else:
        units = heads + np.array(contenders(zero, neighbours.baselines))
        at_zero = errors[units[errors[units].mean(1).argmin()]]
    bin_of = np.minimum((activations.time_in_episode * bins).astype(int), bins - 1)
    inside = (np.arange(bins)[:, None] == bin_of).astype(np.float64)  # [bin, frame]
    worst = inside @ at_zero
    known = worst > 1e-12
    score = 1 - (inside @ errors[:heads].T) / np.where(known, worst, 1)[:, None]
    score[~known] = np.nan
    return RelevanceOverTime(
        edges=np.linspace(0, 1, bins + 1, dtype=np.float32),
        score=score.reshape(bins, *neighbours.grid).astype(np.float32),
        frames=inside.sum(1).astype(np.int32),
        zero=zero,
        k=k,
        stacks=activations.stacks,
    )


def _mean_errors(values: np.ndarray, activations: Activations) -> np.ndarray:
    """float64 [frame]: squared error of the mean over the frames that may predict each, averaged over dimensions."""
    wide = values.astype(np.float64)
    errors = np.empty(len(wide))
    for rows, left_out in folds.iterate(activations.episode, activations.frame):
        mean = (wide.sum(0) - wide[left_out].sum(0)) / (len(wide) - len(left_out))
        errors[rows] = ((wide[rows] - mean) ** 2).mean(1)
    return errors
