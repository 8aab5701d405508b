"""The held-out error: episodes that take no part in training, the whole denoising, in single precision.

Cost: HELDOUT_FRAMES chunks a time; what lies below everything that trains is computed once for all times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from steering.finetune.frames import FrameSet, frame_set
from steering.models.policy import SteerablePolicy
from steering.progress import Progress
from steering.types import Demonstrations

HELDOUT_FRAMES = 32


def heldout_frames(
    policy: SteerablePolicy,
    demonstrations: Demonstrations,
    heldout: Sequence[int],
    *,
    evaluations: int,
    frozen_layers: int | None = 0,
) -> FrameSet | None:
    """The frames that are evaluated, evenly spread over the `heldout` episodes; None where there are none."""
    if not heldout:
        return None
    return frame_set(
        policy,
        demonstrations,
        heldout,
        Progress(),
        draws=HELDOUT_FRAMES * evaluations,
        limit=HELDOUT_FRAMES,
        frozen_layers=frozen_layers,
    )


def heldout_error(policy: SteerablePolicy, frames: FrameSet, seed: int) -> float:
    """Mean squared error of the policy's action chunks, in standard deviations of each action dimension squared."""
    rng = np.random.default_rng((seed, 1))
    noise = rng.standard_normal((len(frames), policy.chunk_size, policy.noise_dim), np.float32)
    with torch.no_grad():
        batch = frames.batch(np.arange(len(frames)))
        actions = policy.denoise(batch, policy.prefix(batch), torch.from_numpy(noise).to(policy.device))
        error = (actions - batch["actions"])[..., : policy.action_dim]
    return float(error.square().mean())
