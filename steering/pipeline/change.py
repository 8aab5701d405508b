"""What a finetune does to the heads: their relevance before and after it, by one question."""

from __future__ import annotations

import numpy as np

from steering import policy_cache
from steering.pipeline.activations import capture
from steering.pipeline.making import LOADING, adapter_folder, load, made
from steering.pipeline.relevance import score
from steering.progress import Progress
from steering.store import Store
from steering.types import HEAD_RESTRICTED, Demonstrations, FinetuneResult, HeadChange, Relevance

CAPTURED_AS = ("vlm_token", "expert_token", "timestep", "seed", "samples", "stride")
"""Parameters of a capture: both policies are captured alike."""


def head_change(store: Store, *, adapter_id: str, preset: str = "default", progress: Progress = Progress()) -> str:
    """Score every head of a finetuned policy beside the untouched one, on the demonstrations that it was trained on.

    The scores before are those of `score` by `preset`; those after are of the same frames, neighbours and target. A
    rise says that a head's output came to tell more of the action, not that the policy acts better. Costs a capture.
    """
    manifest = store.manifest(adapter_id)
    demonstrations_id, policy = manifest.parents[0], str(manifest.params["policy"])
    activations_id = capture(store, demonstrations_id=demonstrations_id, policy=policy, progress=progress.part(0, 0.4))
    before_id = score(store, activations_id=activations_id, preset=preset, progress=progress.part(0.4, 0.5))

    def make() -> HeadChange:
        from steering.activations import capture as stage
        from steering.relevance.keyframes import keyframes, take
        from steering.relevance.scoring import score as score_heads

        result: FinetuneResult = load(store, adapter_id, FinetuneResult)
        demonstrations: Demonstrations = load(store, demonstrations_id, Demonstrations)
        before: Relevance = load(store, before_id, Relevance)
        captured = store.manifest(activations_id).params
        rest = progress.part(0.5, 1)
        tuned = policy_cache.get(policy, adapter_folder(store, adapter_id), demonstrations, rest.part(0, LOADING))
        settings = {name: captured[name] for name in CAPTURED_AS}
        outputs = stage.capture(tuned, demonstrations, **settings, progress=rest.part(LOADING, 0.9))
        if store.manifest(before_id).params["keyframes"]:
            outputs = take(outputs, keyframes(outputs, demonstrations.episodes[0].rate_hz))
        after = score_heads(outputs, preset, before.ks, progress=rest.part(0.9, 1))
        trained = result.selection.heads if result.selection and result.method in HEAD_RESTRICTED else ()
        return HeadChange(result.method, trained, before, after)

    return made(store, "head_change", (adapter_id, before_id), {"preset": preset}, make)


def change_lines(change: HeadChange) -> list[str]:
    """What a HeadChange shows, a sentence a stack: mean scores of trained and other heads, and how ranks agree."""
    from steering.relevance.stability import rank_agreement

    lines = []
    for s, one in enumerate(change.before.shape.stacks):
        label, stack = one.label, one.name
        inert, trained = change.before.inert[s], np.zeros(change.before.inert[s].shape, bool)
        for head in change.trained:
            if head.stack == stack:
                trained[head.layer, head.head] = True
        groups = {"trained": trained & ~inert, "other": ~trained & ~inert} if trained.any() else {"": ~inert}
        said = [
            f"{int(of.sum())} {name} head{'s' if of.sum() > 1 else ''} {change.before.score[s][of].mean():.3f} → "
            f"{change.after.score[s][of].mean():.3f}".replace("  ", " ")
            for name, of in groups.items()
            if of.any()
        ]
        agreed = rank_agreement(change.before.score[s], change.after.score[s], ("before", "after"), inert)
        lines.append(
            f"{label[:1].upper()}{label[1:]}: mean score of {', of '.join(said)}; rank agreement before and after "
            f"{agreed.rho:.2f} (95 % interval {agreed.low:.2f} to {agreed.high:.2f})."
        )
    return lines
