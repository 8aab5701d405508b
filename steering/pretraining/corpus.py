"""The collected shards in memory, and the batches that the training stages draw from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from steering.errors import InputError
from steering.models.preprocessing import SMALLEST_STD, Statistics
from steering.pretraining.collect import Shard, load_shard
from steering.types import CAMERAS

ACTION_STD_FLOOR = 0.1
"""Rotations that hardly vary would otherwise weigh as much as the motion that does the task."""


def load_shards(folders: Sequence[Path], limit: int | None = None) -> Shard:
    """All shards of `folders` as one, at most `limit` shards of each. Memory: 65 kB a frame."""
    paths = [p for folder in folders for p in sorted(folder.glob("shard_????.npz"))[:limit]]
    if not paths:
        raise InputError(f"Expected collected shards in {list(map(str, folders))}, found none. Run `collect` first.")
    shards = [load_shard(path) for path in paths]
    return Shard(**{f.name: np.concatenate([getattr(s, f.name) for s in shards]) for f in fields(Shard)})


def shard_statistics(shard: Shard) -> Statistics:
    """Normalisation statistics of the pretraining data."""
    action = shard.chunk[:, 0].reshape(-1, shard.chunk.shape[-1]).astype(np.float64)
    state = shard.state.astype(np.float64)
    moments = (state.mean(0), state.std(0).clip(SMALLEST_STD), action.mean(0), action.std(0).clip(ACTION_STD_FLOOR))
    return Statistics(*(m.astype(np.float32) for m in moments))


def pixels(images: np.ndarray) -> torch.Tensor:
    """uint8 [..., px, px, 3] -> float32 [..., 3, px, px] in [−1, 1]."""
    return torch.from_numpy(images).movedim(-1, -3).float() / 127.5 - 1


@torch.inference_mode()
def vision_features(tower: torch.nn.Module, images: np.ndarray, batch: int = 256) -> torch.Tensor:
    """The frozen tower's output for every image: bfloat16 [frame, camera, patch, width]."""
    rows = []
    for start in range(0, len(images), batch):
        flat = pixels(images[start : start + batch]).flatten(0, 1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = tower(flat).last_hidden_state
        rows.append(output.to(torch.bfloat16).unflatten(0, (-1, len(CAMERAS))))
    return torch.cat(rows)
