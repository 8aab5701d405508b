"""Seconds and memory that training a head set would take, estimated from the runs of this store. Milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.views.laboratory_menu import TrainingEstimate
from steering.errors import SteeringError
from steering.store import Store
from steering.types import FinetuneResult, FinetuneSettings, Head


def estimate(store: Store, policy: str, heads: Sequence[Head]) -> TrainingEstimate | None:
    """From the runs on `policy` whose lowest trained layer comes nearest: what lies below is computed once a frame.

    For the default settings; a step's time counts by the size of its batch. None where nothing was trained yet.
    """
    settings = FinetuneSettings()
    runs: list[tuple[int, float, float]] = []  # depth, seconds an example, memory
    for manifest in store.find("adapter"):
        if manifest.params.get("method") != "steering" or manifest.params.get("policy", policy) != policy:
            continue
        try:
            result: FinetuneResult = store.load(manifest.id)
        except SteeringError:
            continue  # a damaged run tells nothing
        if result.selection and len(result.loss):
            examples = len(result.loss) * result.settings.batch_size
            runs.append((_depth(result.selection.heads), result.train_s / examples, result.peak_memory_mb))
    if not runs:
        return None
    nearest = min(abs(depth - _depth(heads)) for depth, _, _ in runs)
    chosen = [run for run in runs if abs(run[0] - _depth(heads)) == nearest]
    memory = [run[2] for run in chosen if run[2] > 0]
    return TrainingEstimate(
        seconds=float(np.median([run[1] for run in chosen])) * settings.steps * settings.batch_size,
        memory_mb=float(np.median(memory)) if memory else None,
        steps=settings.steps,
        runs=len(chosen),
    )


def _depth(heads: Sequence[Head]) -> int:
    """The lowest selected VLM layer; behind them all where only expert heads are selected."""
    return min((head.layer for head in heads if head.stack == "vlm"), default=1_000)
