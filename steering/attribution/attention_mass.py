"""Attention of every head to the image patches that the named things cover, from masks that are handed in.

Read at the same two tokens as the cached activations (end of the prompt; first action at t = 1). Two passes of the
policy a batch cost 10 ms a frame on the embedded policy. Masks come from the simulator (`demonstrations.masks`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from steering.attribution.probe import Probe
from steering.errors import InputError
from steering.models.preprocessing import area_weights
from steering.models.query_attention import on_grid, query_attention
from steering.models.tokens import named_tokens, names_of_tokens
from steering.progress import Progress

BATCH = 16
TOKENS = ("last_prefix", "first_action")


@dataclass(frozen=True)
class ObjectAttention:
    """Shares of attention, float32 [frame, stack, layer, head].

    mass: on what the masks cover. even_mass: what even attention over the same patches would put there.
    """

    mass: np.ndarray
    even_mass: np.ndarray


def attention_mass(
    probe: Probe, masks: np.ndarray, *, batch_size: int = BATCH, progress: Progress | None = None
) -> ObjectAttention:
    """`masks`: bool [frame, camera, height, width] of the probe's frames, cameras in the order the policy sees them."""
    progress = progress or Progress()
    covered = torch.from_numpy(patch_cover(probe, masks)).to(probe.policy.device)  # [frame, patch of all cameras]
    masses, evens = [], []
    for rows, batch in probe.batches(batch_size):
        progress.report(rows.start / len(probe), f"Attention: frame {rows.start} of {len(probe)}")
        frames = len(batch["state"])
        tokens = names_of_tokens(probe.policy, *TOKENS)
        queries = named_tokens(probe.policy, tokens, batch, [""] * frames, masks.shape[1])
        weights = query_attention(probe.policy, batch, probe.start, queries)
        image = on_grid(probe.policy.head_shape, {s: w[..., : covered.shape[1]] for s, w in weights.items()})
        cover = covered[rows, None, None, None]
        masses.append((image * cover).sum(-1).cpu().numpy())
        evens.append((image.sum(-1) * cover.mean(-1)).cpu().numpy())
    progress.report(1.0, f"Attention of {len(probe)} frames")
    return ObjectAttention(np.concatenate(masses), np.concatenate(evens))


def patch_cover(probe: Probe, masks: np.ndarray) -> np.ndarray:
    """Share of every patch that a mask covers, float32 [frame, camera · patch], 0..1."""
    if masks.ndim != 4 or len(masks) != len(probe) or masks.shape[2] != masks.shape[3]:
        raise InputError(
            f"Expected square masks [frame, camera, height, width] of {len(probe)} frames; got {list(masks.shape)}. "
            "Make them for the frames of the probe."
        )
    grid = round(probe.policy.preprocessor.tokens_per_image**0.5)
    weights = area_weights(masks.shape[-1], grid).numpy()
    return (weights @ masks.astype(np.float32) @ weights.T).reshape(len(masks), -1)
