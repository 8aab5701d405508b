"""Relevance of heads with the policy in the loop: gradients, ablation, patching, attention on the named object."""

from __future__ import annotations

from steering import policy_cache
from steering.errors import unknown_name
from steering.metrics import WITH_POLICY
from steering.pipeline.making import load, made, weights
from steering.progress import Progress
from steering.store import Store
from steering.types import Demonstrations, Relevance

FRAMES = 64
MASKS = 0.5  # share of the time of `attention_mass` that the masks take


def attribute(
    store: Store,
    *,
    demonstrations_id: str,
    metric: str,
    policy: str = "embedded",
    frames: int = FRAMES,
    samples: int = 4,
    seed: int = 0,
    progress: Progress = Progress(),
) -> str:
    """Score every head by one of `metrics.WITH_POLICY`: a relevance whose parent is the demonstrations.

    frames: how many are asked, evenly spread over the episodes. samples: draws of noise and time a frame, by `seed`.
    """
    if metric not in WITH_POLICY:
        raise unknown_name("metric that runs the policy", metric, WITH_POLICY)

    def make() -> Relevance:
        from steering.attribution.probe import spread_frames
        from steering.attribution.scoring import attribute as measure

        demonstrations = load(store, demonstrations_id, Demonstrations)
        masks, part = None, progress
        if metric == "attention_mass":
            from steering.demonstrations.masks import named_masks

            chosen = spread_frames(demonstrations, frames)
            masks, part = (
                named_masks(demonstrations, *chosen, progress=progress.part(0, MASKS)),
                progress.part(MASKS, 1),
            )
        loaded = policy_cache.get(policy, None, demonstrations, part)
        options = {"frames": frames, "samples": samples, "seed": seed}
        return measure(loaded, demonstrations, metric, masks=masks, progress=part, **options)

    params = {**weights(policy), "metric": metric, "frames": frames, "samples": samples, "seed": seed}
    return made(store, "relevance", (demonstrations_id,), params, make)
