"""The score frame by frame: its mean is the score, and it is lowest where the head says nothing of the action."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steering.relevance import scoring, targets
from steering.relevance.by_frame import by_frame
from steering.types import Head

TELLS = Head("expert", 1, 2)


@pytest.mark.parametrize("preset", ["paper", "default"])
def test_the_mean_over_frames_is_the_score_and_fails_where_the_head_is_silent(build, preset: str) -> None:
    a = build((40,) * 6)
    outputs, silent = a.outputs.copy(), a.frame >= 30
    outputs[~silent, 1, 1, 2] = a.action[~silent, :6]
    a = replace(a, outputs=outputs)
    target = targets.named("action", a, preset=preset)
    found = by_frame(a, TELLS, target, k=10, preset=preset, phase=np.zeros(len(a.frame)))
    scores = scoring.rescore(a, scoring.prepare(a, 10), k=10, preset=preset, target=target)
    assert found.zero == scoring.zero_of(preset, target) and found.share.shape == a.frame.shape
    assert found.share.mean() == pytest.approx(scores.score[1, 1, 2], abs=1e-4)
    assert found.share[~silent].mean() > found.share[silent].mean() + 0.2


def test_a_frame_that_needs_no_prediction_adds_nothing(build) -> None:
    a = build((8,) * 3)
    target = targets.named("action", a, preset="paper")
    target = replace(target, values=np.ones_like(target.values))
    found = by_frame(a, TELLS, target, k=4, preset="paper", phase=np.zeros(len(a.frame)))
    assert not found.share.any()
