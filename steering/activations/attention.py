"""Attention weights of every head over one episode, for display.

Rows of the eager weights: from the last prefix token for the VLM and from the first action token for the expert (at
t = 1, one fixed noise). Only these rows leave the hooks, so memory stays at one batch of weights (about 40 MB for the
embedded policy). Cost: about 100 frames/s on two cores.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from steering.models.flow import Batch
from steering.models.hooks import attention_rows
from steering.models.policy import SteerablePolicy
from steering.models.preprocessing import observe
from steering.progress import Progress
from steering.types import STACKS, TOKEN_GROUPS, Attention, Demonstrations, Episode


def attention(
    policy: SteerablePolicy, episode: Episode, *, seed: int = 0, batch_size: int = 16, progress: Progress | None = None
) -> Attention:
    """Attention over image patches and TOKEN_GROUPS for every frame of `episode`."""
    progress = progress or Progress()
    whole = Demonstrations(episode.name, "", (), (episode,))
    noise = np.random.default_rng(seed).standard_normal((1, policy.chunk_size, policy.noise_dim), np.float32)
    images, masses = [], []
    for start in range(0, episode.frames, batch_size):
        progress.report(start / episode.frames, f"Attention: frame {start} of {episode.frames}")
        frame = np.arange(start, min(start + batch_size, episode.frames))
        batch, weights = _batch_weights(policy, whole, frame, noise)
        image, mass = _by_group(weights, batch, policy, len(episode.cameras))
        images.append(image)
        masses.append(mass)
    progress.report(1.0, f"Attention of {episode.frames} frames")
    grid = round(policy.preprocessor.tokens_per_image**0.5)
    return Attention(np.concatenate(images), np.concatenate(masses), grid)


def _batch_weights(
    policy: SteerablePolicy, whole: Demonstrations, frame: np.ndarray, noise: np.ndarray
) -> tuple[Batch, dict[str, np.ndarray]]:
    """The batch, and stack -> weights [frame, layer, head, key] of the query token."""
    with torch.inference_mode():
        batch = policy.prepare(observe(whole, np.zeros_like(frame), frame))
        row = torch.arange(len(frame), device=policy.device)
        last = batch["attention_mask"].sum(-1) - 1
        choose: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
            "vlm": lambda weights: weights[row, :, last],
            "expert": lambda weights: weights[:, :, 1],
        }
        with attention_rows(policy.model, choose) as rows:
            start = torch.from_numpy(noise).to(policy.device).expand(len(frame), -1, -1)
            policy.velocity(batch, policy.prefix(batch), start, torch.ones(len(frame), device=policy.device))
    layers = range(policy.head_shape.layers)
    return batch, {s: torch.stack([rows[s, la] for la in layers], dim=1).float().cpu().numpy() for s in STACKS}


def _by_group(
    weights: dict[str, np.ndarray], batch: Batch, policy: SteerablePolicy, cameras: int
) -> tuple[np.ndarray, np.ndarray]:
    """Image weights as uint8 [frame, stack, layer, head, camera, patch] and mass [frame, stack, layer, head, group].

    Every camera after the first counts as `wrist` in the mass.
    """
    patches = policy.preprocessor.tokens_per_image
    prefix = batch["attention_mask"].shape[1]
    bounds = {
        "exterior": slice(0, patches),
        "wrist": slice(patches, cameras * patches),
        "instruction": slice(cameras * patches, prefix),
        "state": slice(prefix, prefix + 1),
        "actions": slice(prefix + 1, None),
    }
    images, masses = [], []
    for stack in STACKS:
        row = weights[stack]
        masses.append(np.stack([row[..., bounds[group]].sum(-1) for group in TOKEN_GROUPS], axis=-1))
        image = row[..., : cameras * patches]
        scaled = np.rint(255 * image / image.max(-1, keepdims=True).clip(1e-12)).astype(np.uint8)
        images.append(scaled.reshape(*row.shape[:-1], cameras, patches))
    return np.stack(images, axis=1), np.stack(masses, axis=1).astype(np.float32)
