"""The score of one head frame by frame: where it tells the action, and where it fails. The score's own errors, not
summed.

Cost: neighbours of one head and its errors, 0.2 s for 2 000 frames of 20 episodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import eye_array

from steering.progress import Progress
from steering.relevance import conditional
from steering.relevance.baselines import mean_error_by_frame
from steering.relevance.conditioning import Conditioner
from steering.relevance.regression import frame_errors
from steering.relevance.scoring import left_open, zero_of
from steering.relevance.sets import neighbours_of
from steering.relevance.targets import Target
from steering.types import Activations, Head, OutcomeGap, ScoreByFrame

REPLICATES = 2000


def by_frame(
    activations: Activations,
    head: Head,
    target: Target,
    *,
    k: int,
    preset: str,
    phase: np.ndarray,
    conditioner: Conditioner | None = None,
) -> ScoreByFrame:
    """Errors of a head and of its baseline at every frame. phase: int [frame], index into PHASES (`phases.phases_of`);
    conditioner: as that of `score`.
    """
    a, scored, counted = activations, list(target.scored), np.ones(len(activations.episode), bool)
    residuals = left_open(a, target, counted, preset, conditioner)
    found = neighbours_of(a, (head,), (k,))
    if residuals is None:
        values = target.values[:, scored]
        error, zero_error = frame_errors(found, values, (k,))[0, 0], mean_error_by_frame(values, a.episode, a.frame)
    else:
        residuals = residuals[..., scored]
        zero_error = (conditional.own(residuals, a.episode).astype(np.float64) ** 2).mean(1)
        each = eye_array(len(counted), format="csr")
        told = conditional.errors(found, residuals, range(len(scored)), (k,), counted, Progress(), each)
        error = told.held_out[0, 0].mean(-1)
    return ScoreByFrame(
        head=head,
        error=error.astype(np.float32),
        zero_error=zero_error.astype(np.float32),
        zero=zero_of(preset, target),
        k=k,
        episode=a.episode,
        frame=a.frame,
        phase=phase.astype(np.int8),
    )


def outcome_gap(scored: ScoreByFrame, success: Sequence[bool | None], seed: int = 0) -> OutcomeGap | None:
    """Whether the head does worse where the arm fails; None unless two episodes of either outcome are known.

    success: of every episode. Episodes are resampled within each outcome, for frames of one are no independent draws.
    """
    share, generator = scored.share, np.random.default_rng(seed)
    means = {int(one): float(share[scored.episode == one].mean()) for one in np.unique(scored.episode)}
    failed, succeeded = (np.array([m for i, m in means.items() if success[i] is won]) for won in (False, True))
    if min(len(failed), len(succeeded)) < 2:
        return None
    drawn = [one[generator.integers(len(one), size=(REPLICATES, len(one)))].mean(1) for one in (failed, succeeded)]
    low, high = np.percentile(drawn[1] - drawn[0], (2.5, 97.5))
    return OutcomeGap(
        len(failed), len(succeeded), float(failed.mean()), float(succeeded.mean()), float(low), float(high)
    )
