"""Opening a policy: what it is, whether it fits, and loading it, before anything else is asked of it.

The small files and the headers of the weights say family, layout, heads and size in milliseconds; memory is compared
before a weight is read; then the policy is loaded, or fetched first, with progress, and stays in memory for the next
job. Up to a minute for π0 (7 GB) from the disk.
"""

from __future__ import annotations

import os
import time

from steering import hub, policy_cache
from steering.errors import InputError, NotFound, SteeringError
from steering.pipeline.making import load, weights
from steering.progress import Progress
from steering.store import Store
from steering.types import Demonstrations, HeadShape, PolicyCheck

FAMILY_LABELS = {"pi0": "π0", "pi05": "π0.5", "pi0_fast": "π0-FAST", "smolvla": "SmolVLA"}
OFFLINE = (
    "This server works offline (HF_HUB_OFFLINE=1), so only what was downloaded before opens. Start it with "
    "HF_HUB_OFFLINE=0 to fetch from the hub."
)


def open_policy(
    store: Store, *, policy: str, demonstrations_id: str | None = None, progress: Progress = Progress()
) -> str:
    """Check a policy (`embedded`, a folder or a hub id) and load it; the id of its PolicyCheck.

    demonstrations_id: whose statistics normalise where the policy brings none that fit them. Raises InputError or
    NotFound, in words, where it is no policy that is known here, does not fit into memory, or is not to be had.
    """
    from steering.finetune.plan import sizes_of_checkpoint
    from steering.models.checkpoint import open_checkpoint
    from steering.models.families import family_of
    from steering.models.memory import place

    progress.report(0.0, "Reading what the checkpoint holds")
    try:
        checkpoint = open_checkpoint(policy)
    except NotFound as error:
        if hub.named(policy) is not None and os.environ.get("HF_HUB_OFFLINE", "0") in ("1", "true"):
            raise NotFound(f"{hub.shown(policy)} is not on this server's disk. {OFFLINE}") from error
        raise
    family = family_of(checkpoint)
    shape = sizes_of_checkpoint(checkpoint).head_shape
    layout = "transformers" if "vlm_config" in checkpoint.config else "lerobot"
    words = recognised(checkpoint.family, layout, shape, checkpoint.elements)
    try:
        placement = place(checkpoint)
        progress.report(0.0, f"{words} {placement.words()}")
        own = family.statistics(checkpoint)
        demonstrations = load(store, demonstrations_id, Demonstrations) if demonstrations_id else None
        if own is None and demonstrations is None:
            raise InputError(
                "It brings no normalisation of states and actions, which is then taken from demonstrations. Open "
                "demonstrations first."
            )
        began_s = time.monotonic()
        loaded = policy_cache.get(policy, None, demonstrations, progress)
    except SteeringError as error:
        raise type(error)(f"{words} {error}") from error
    statistics = "demonstrations" if own is None or any("Normalised by" in n for n in loaded.notices) else "own"
    check = PolicyCheck(
        policy=policy,
        family=checkpoint.family,
        layout=layout,
        head_shape=shape,
        parameters=checkpoint.elements,
        placement=placement.words(),
        statistics=statistics,
        load_s=time.monotonic() - began_s,
        notices=loaded.notices,
    )
    parents = [demonstrations_id] if demonstrations_id else []
    return store.save("policy", check, parents=parents, params=weights(policy))


def recognised(family: str, layout: str, shape: HeadShape, parameters: int) -> str:
    """What a checkpoint was recognised as, as a sentence."""
    size = f"{parameters / 1e9:.2f} billion" if parameters >= 1e9 else f"{parameters / 1e6:.1f} million"
    return f"{FAMILY_LABELS.get(family, family)} in {layout}'s layout: {_heads(shape)}, {size} parameters."


def _heads(shape: HeadShape) -> str:
    each = [f"{one.layers} layers × {one.heads} heads of {one.head_dim}" for one in shape.stacks]
    if len(set(each)) == 1:
        return f"{each[0]} in each stack" if len(each) > 1 else each[0]
    return ", ".join(f"{words} in the {one.label}" for words, one in zip(each, shape.stacks, strict=True))
