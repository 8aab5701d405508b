"""An episode with attention as a recording of rerun."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from steering import policy_cache
from steering.pipeline.activations import attention
from steering.pipeline.making import load
from steering.progress import Progress
from steering.store import Store
from steering.types import Attention, Demonstrations, Head


def export_rrd(
    store: Store,
    *,
    demonstrations_id: str,
    path: Path | str,
    episode: int = 0,
    heads: Sequence[Head] = (),
    policy: str = "embedded",
    seed: int = 0,
    progress: Progress = Progress(),
) -> Path:
    """Write an episode with the attention of `heads` as a recording of rerun, a new file.

    Without heads, each stack's attention is the mean over its heads.
    """
    from steering.export.rrd import check_new, write_rrd

    check_new(Path(path))
    demonstrations: Demonstrations = load(store, demonstrations_id, Demonstrations)
    shape = policy_cache.get(policy, None, demonstrations).head_shape
    places = {f"{head.stack}.{head.layer}.{head.head}": shape.place(head) for head in heads}
    half = progress.part(0, 0.5)
    made = attention(
        store, demonstrations_id=demonstrations_id, episode=episode, policy=policy, seed=seed, progress=half
    )
    looked: Attention = load(store, made, Attention)
    shown = {name: looked.image[:, *place] for name, place in places.items()}
    for s, stack in enumerate(shape.stacks if not heads else ()):
        mean = looked.image[:, s, : stack.layers, : stack.heads].mean((1, 2))  # [frame, camera, patch]
        shown[stack.name] = (255 * mean / mean.max((1, 2), keepdims=True).clip(1e-9)).astype(np.uint8)
    columns = demonstrations.columns
    return write_rrd(
        demonstrations.episodes[episode],
        Path(path),
        shown,
        bar=looked.bar,
        names=(columns.state_names, columns.action_names),
        progress=progress.part(0.5, 1),
    )
