"""Data of what is asked below the map (static/heads/measures.js): why a head, gains, words, the strip over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.answers.heads import Atlas
from steering.types import FrameAttention, GainSweep, RankAgreement, RelevanceOverTime, Why


def why(explained: Sequence[Why], atlas: Atlas) -> dict[str, Any]:
    """Of every frame of an episode: neighbours as [episode, frame, share of weight], predicted and true action.

    atlas: the picture of all frames, of `Media.atlas`. Actions are in standard deviations, as all dimensions share
    an axis.
    """
    spread = np.where(explained[0].spread > 1e-9, explained[0].spread, 1)
    return {
        "atlas": atlas,
        "names": [name.replace("delta_", "Δ").replace("_", " ") for name in explained[0].names],
        "frames": [
            {
                "near": [
                    [int(e), int(f), round(float(w), 3)]
                    for e, f, w in zip(one.neighbour_episode, one.neighbour_frame, one.weight, strict=True)
                ],
                "actions": _rounded(one.action / spread, 2),
                "predicted": _rounded(one.predicted / spread, 2),
                "true": _rounded(one.true / spread, 2),
            }
            for one in explained
        ],
    }


def sweep(found: GainSweep) -> dict[str, Any]:
    """Predicted actions by gain, in standard deviations, and paths in the pictures where there are some."""
    spread = np.where(found.spread > 1e-9, found.spread, 1)
    return {
        "gains": list(found.gains),
        "names": [name.replace("delta_", "Δ").replace("_", " ") for name in found.names],
        "mean": _rounded(found.chunk.mean(1) / spread, 3),
        "demonstrated": _rounded(found.demonstrated.mean(0) / spread, 3),
        "paths": {camera: _rounded(path, 4) for camera, path in found.path_px.items()},
        "change": _rounded(change(found), 3),
    }


def change(found: GainSweep) -> np.ndarray:
    """float [gain]: root mean square change of the chunk from the policy's own, in standard deviations."""
    spread = np.where(found.spread > 1e-9, found.spread, 1)
    own = found.chunk[int(np.argmin(np.abs(np.array(found.gains) - 1)))]
    moved: np.ndarray = np.sqrt((((found.chunk - own) / spread) ** 2).mean((1, 2)))
    return moved


def words(found: FrameAttention) -> dict[str, Any]:
    """Attention of every head, flat, to each word, and the rest of where it looks."""
    heads = int(np.prod(found.word.shape[:3]))
    return {
        "words": list(found.words),
        "weight": _rounded(found.word.reshape(heads, -1), 4),
        "rest": {
            "images": _rounded(found.image.reshape(heads, -1).sum(1), 4),
            "rest of the prompt": _rounded(found.other.reshape(heads), 4),
            "joint state": _rounded(found.state.reshape(heads), 4),
            "actions": _rounded(found.actions.reshape(heads, -1).sum(1), 4),
        },
    }


def strip(found: RelevanceOverTime) -> dict[str, Any]:
    """Relevance of every head, flat, in each part of the episode; null where there are no frames."""
    bins = len(found.edges) - 1
    flat = found.score.reshape(bins, -1).T.astype(float)
    return {
        "score": [[round(float(v), 2) if np.isfinite(v) else None for v in row] for row in flat],
        "zero": found.zero.replace("_", " and "),
        "k": found.k,
    }


def agreement_lines(found: Sequence[RankAgreement]) -> list[str]:
    """Each stack's agreement as a sentence."""
    return [
        f"{one.first}: Spearman {one.rho:.2f} over {one.heads} heads (95 % interval {one.low:.2f} to {one.high:.2f})"
        for one in found
    ]


def _rounded(values: np.ndarray, digits: int) -> Any:
    return np.round(np.asarray(values, float), digits).tolist()
