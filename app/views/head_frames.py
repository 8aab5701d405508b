"""Data of a head over all its frames (static/frames/frames.js): its outputs in the plane, what every frame adds to its
score, tenths of it, and where it fails.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from app.answers.heads import Atlas
from steering.figures.style import PHASE_COLOURS
from steering.types import PHASES, OutcomeGap, Projection, ScoreByFrame

TENTHS = 10
FAILURES_SHOWN = 6
APART = 10
"""Frames of an episode nearer than this to one that is shown say the same, and are not shown beside it."""


def head_frames(
    projected: Projection,
    scored: ScoreByFrame | None,
    outcomes: Sequence[bool | None],
    atlas: Atlas,
    gap: OutcomeGap | None = None,
) -> dict[str, Any]:
    """Columns of the frames that have a picture in `atlas` (of `Media.atlas`), and what was counted over all of them.

    outcomes: of every episode; scored: None where these demonstrations cannot be scored so.
    """
    rows = np.flatnonzero(projected.frame % atlas["step"] == 0)
    known = {one for one in outcomes if one is not None}
    found = {
        "atlas": atlas,
        "x": _rounded(projected.points[rows, 0]),
        "y": _rounded(projected.points[rows, 1]),
        "explained": [round(one, 3) for one in projected.explained],
        "episode": projected.episode[rows].tolist(),
        "frame": projected.frame[rows].tolist(),
        "phase": projected.phase[rows].tolist(),
        "phases": [[name, colour] for name, colour in zip(PHASES, PHASE_COLOURS, strict=True)],
        "outcomes": list(outcomes) if len(known) > 1 else None,
        "total": len(projected.frame),
    }
    return found if scored is None else {**found, **_scored(scored, rows, gap)}


def _scored(scored: ScoreByFrame, rows: np.ndarray, gap: OutcomeGap | None) -> dict[str, Any]:
    share = scored.share
    order = np.argsort(share, kind="stable")
    tenth = np.empty(len(order), int)
    parts = np.array_split(order, TENTHS)
    for number, part in enumerate(parts):
        tenth[part] = number
    zero = scored.zero.replace("_", " and ")
    return {
        "share": _rounded(share[rows]),
        "tenth": tenth[rows].tolist(),
        "tenths": [[_mean(share[part]), len(part)] for part in parts],
        "by_phase": [_mean(share[scored.phase == i]) for i in range(len(PHASES))],
        "worst": [
            [int(scored.episode[row]), int(scored.frame[row]), round(float(share[row]), 2), int(scored.phase[row])]
            for row in _apart(scored, order)
            if share[row] < 0
        ],
        "lines": lines(scored, float(share[parts[-1]].sum() / len(share)) if len(share) else 0.0, zero, gap),
        "zero": zero,
    }


def lines(scored: ScoreByFrame, best_tenth: float, zero: str, gap: OutcomeGap | None) -> list[str]:
    """What the figures say, in sentences."""
    share = scored.share
    told = [
        f"Its score {share.mean():.2f} (k-NN over {zero}, k = {scored.k}) is the mean over {len(share):,} frames. The "
        f"best tenth of them adds {best_tenth:.2f}; in {(share < 0).mean():.0%} it does worse than {zero} alone."
    ]
    if gap is not None:
        told.append(
            f"In the {gap.failures} episodes that fail its mean is {gap.failed:.2f}, in the {gap.successes} that "
            f"succeed {gap.succeeded:.2f}: a difference of {gap.succeeded - gap.failed:.2f} (95 % interval "
            f"{gap.low:.2f} to {gap.high:.2f}, over episodes)."
        )
    return [re.sub(r"-(?=\d)", "−", line).replace("%", "\u00a0%").replace(" \u00a0", "\u00a0") for line in told]


def _apart(scored: ScoreByFrame, order: np.ndarray) -> list[int]:
    """The first rows of `order`, none within APART frames of another."""
    chosen: list[int] = []
    for row in order:
        near = (abs(int(scored.frame[row]) - int(scored.frame[o])) < APART for o in chosen if _same(scored, row, o))
        if not any(near):
            chosen.append(int(row))
        if len(chosen) == FAILURES_SHOWN:
            break
    return chosen


def _same(scored: ScoreByFrame, row: int, other: int) -> bool:
    return bool(scored.episode[row] == scored.episode[other])


def _mean(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 3) if len(values) else None


def _rounded(values: np.ndarray) -> Any:
    return np.round(np.asarray(values, float), 3).tolist()
