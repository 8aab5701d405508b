"""Head outputs and a score of them in one job: what the page's menu starts when nothing was captured before."""

from __future__ import annotations

from collections.abc import Sequence

from steering.pipeline.activations import capture
from steering.pipeline.relevance import neighbours, score, trust
from steering.progress import Progress
from steering.store import Store


def measure(
    store: Store,
    *,
    demonstrations_id: str,
    metric: str | None = None,
    preset: str = "default",
    target: str = "action",
    phase: str = "whole",
    trusted: bool = False,
    keyframes: bool | None = None,
    policy: str = "embedded",
    tokens: Sequence[str] = ("last_prefix", "first_action"),
    progress: Progress = Progress(),
) -> str:
    """Capture where it was not done, keep the neighbours, and score by `metric` where one is named.

    trusted: intervals and the null of that score too. Arguments as in `capture` and `score`. Returns the id of what was
    asked last: neighbours, relevance or trust.
    """
    vlm_token, expert_token = tokens
    activations_id = capture(
        store,
        demonstrations_id=demonstrations_id,
        policy=policy,
        vlm_token=vlm_token,
        expert_token=expert_token,
        progress=progress.part(0, 0.5),
    )
    found = neighbours(store, activations_id=activations_id, progress=progress.part(0.5, 0.6))
    if metric is None:
        return found
    relevance_id = score(
        store,
        activations_id=activations_id,
        preset=preset,
        metric=metric,
        keyframes=keyframes,
        target=target,
        phase=phase,
        progress=progress.part(0.6, 0.7 if trusted else 1),
    )
    return trust(store, relevance_id=relevance_id, progress=progress.part(0.7, 1)) if trusted else relevance_id
