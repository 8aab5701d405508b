"""What every measure asks the policy: chosen frames, and the draws of noise and time of the flow-matching loss.

Every frame gets the same draws, so that frames differ by what the policy sees and does and by nothing else, and every
head is asked the same question. Flow-matching times are evenly spread quantiles of the training distribution.
Memory on the embedded policy: 45 kB a frame; π0: 6 MB a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats

from steering.errors import InputError
from steering.models.chunks import demonstrated_chunks
from steering.models.flow import Batch
from steering.models.policy import SteerablePolicy
from steering.models.preprocessing import observe
from steering.types import Demonstrations

FRAMES = 64
SAMPLES = 4
EMBED_BATCH = 32
LOSS_BATCH = 16
KEPT = ("attention_mask", "state", "actions")


@dataclass(frozen=True)
class Probe:
    """Frames of demonstrations with the draws of the loss.

    batch: inputs_embeds [frame, token, width], attention_mask, state, actions. episode, frame: int32 [frame].
    noise: [sample, step, noise_dim]; timestep: [sample], for the loss. start: [1, step, noise_dim], the noise from
    which the policy acts.
    """

    policy: SteerablePolicy
    batch: Batch
    episode: np.ndarray
    frame: np.ndarray
    noise: torch.Tensor
    timestep: torch.Tensor
    start: torch.Tensor

    def __len__(self) -> int:
        return len(self.frame)

    def batches(self, batch_size: int) -> Iterator[tuple[slice, Batch]]:
        """The frames in parts of at most `batch_size`, with their rows."""
        for begin in range(0, len(self), batch_size):
            rows = slice(begin, begin + batch_size)
            yield rows, {name: tensor[rows] for name, tensor in self.batch.items()}


def probe(
    policy: SteerablePolicy,
    demonstrations: Demonstrations,
    *,
    frames: int = FRAMES,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Probe:
    """`frames` frames evenly spread over all episodes (fewer where there are fewer), with `samples` draws."""
    if frames < 2 or samples < 1:
        raise InputError(f"Expected at least 2 frames and 1 sample; got {frames} and {samples}.")
    episode, frame = spread_frames(demonstrations, frames)
    chunks = demonstrated_chunks(demonstrations, policy.chunk_size)
    chunk = np.stack([chunks[e][f] for e, f in zip(episode, frame, strict=True)])
    with torch.no_grad():
        batch = policy.prepare(observe(demonstrations, episode, frame), chunk)
        parts = [
            policy.embed({name: tensor[begin : begin + EMBED_BATCH] for name, tensor in batch.items()})
            for begin in range(0, len(frame), EMBED_BATCH)
        ]
    rng = np.random.default_rng((seed, 17))
    noise = rng.standard_normal((samples + 1, policy.chunk_size, policy.noise_dim), np.float32)
    drawn = torch.from_numpy(noise).to(policy.device)
    times = torch.from_numpy(_quantiles(policy, samples)).to(policy.device)
    kept = {"inputs_embeds": torch.cat(parts), **{name: batch[name] for name in KEPT}}
    return Probe(policy, kept, episode, frame, noise=drawn[1:], timestep=times, start=drawn[:1])


def spread_frames(demonstrations: Demonstrations, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Episode and frame index, int32 [frame], of `count` frames evenly spread over all frames of all episodes."""
    lengths = [e.frames for e in demonstrations.episodes]
    total = sum(lengths)
    if total < 2:
        raise InputError(f"Expected at least 2 frames; the demonstrations have {total}. Open or record some first.")
    episode = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    frame = np.concatenate([np.arange(n, dtype=np.int32) for n in lengths])
    rows = np.linspace(0, total - 1, min(count, total)).round().astype(int)
    return episode[rows], frame[rows]


def frame_losses(
    policy: SteerablePolicy, batch: Batch, noise: torch.Tensor, timestep: torch.Tensor, cache: Any = None
) -> torch.Tensor:
    """The flow-matching loss of every frame, mean over samples, steps and dimensions: [frame].

    `noise` [sample, step, noise_dim] and `timestep` [sample] are the same for every frame. The prefix is computed
    unless its `cache` is given (it is used up). In the expert's pass rows are frames × samples, samples fastest.
    """
    frames, samples = len(batch["state"]), len(noise)
    repeated = policy.prefix(batch) if cache is None else cache
    repeated.batch_repeat_interleave(samples)
    expert = {name: batch[name].repeat_interleave(samples, 0) for name in KEPT}
    rows_noise, rows_time = noise.repeat(frames, 1, 1), timestep.repeat(frames)
    time = rows_time[:, None, None]
    noisy = time * rows_noise + (1 - time) * expert["actions"]
    velocity = policy.velocity(expert, repeated, noisy, rows_time)
    return (rows_noise - expert["actions"] - velocity).square().mean((1, 2)).view(frames, samples).mean(1)


def mean_loss(asked: Probe, batch_size: int = LOSS_BATCH) -> float:
    """The flow-matching loss over all frames and draws, of the policy as it stands (heads may be switched off)."""
    total = 0.0
    with torch.inference_mode():
        for _, batch in asked.batches(batch_size):
            total += float(frame_losses(asked.policy, batch, asked.noise, asked.timestep).sum())
    return total / len(asked)


def over_episodes(values: np.ndarray, episode: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of `values` [frame, ...] over frames, and its standard error with whole episodes as the unit.

    The error is that of a mean whose frames are clustered by episode (Liang & Zeger 1986); 0 for a single episode.
    """
    mean = values.mean(0, dtype=np.float64)
    totals = np.stack([(values[episode == one] - mean).sum(0, dtype=np.float64) for one in np.unique(episode)])
    clusters = len(totals)
    scale = clusters / (clusters - 1) if clusters > 1 else 0.0
    return mean, np.sqrt(scale * (totals**2).sum(0)) / len(values)


def _quantiles(policy: SteerablePolicy, samples: int) -> np.ndarray:
    """Evenly spread quantiles of the times that the policy was trained on: float32 [sample] in (0, 1]."""
    config = policy.model.config
    share = (np.arange(samples) + 0.5) / samples
    times = stats.beta.ppf(share, config.time_sampling_beta_alpha, config.time_sampling_beta_beta)
    return (times * config.time_sampling_scale + config.time_sampling_offset).astype(np.float32)
