"""What is drawn and scheduled for a step. It depends on (seed, step) alone, so that a resumed run repeats it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from steering.types import FinetuneSettings

FINAL_LEARNING_RATE = 0.1


@dataclass(frozen=True)
class Draws:
    """Of one step. rows: int64 [batch], frames. noise: float32 [batch, sample, step, dim].

    timestep: float32 [batch, sample], flow-matching time.
    """

    rows: np.ndarray
    noise: np.ndarray
    timestep: np.ndarray


def draws(step: int, frames: int, settings: FinetuneSettings, config: Any, chunk_size: int, noise_dim: int) -> Draws:
    """Frames, noise and flow-matching times of a step. config: the model's, with π0's `time_sampling_*`."""
    rng = np.random.default_rng((settings.seed, 2, step))
    shape = (settings.batch_size, settings.noise_samples)
    noise = rng.standard_normal((*shape, chunk_size, noise_dim), np.float32)
    beta = rng.beta(config.time_sampling_beta_alpha, config.time_sampling_beta_beta, shape)
    timestep = (beta * config.time_sampling_scale + config.time_sampling_offset).astype(np.float32)
    return Draws(batch_rows(step, frames, settings), noise, timestep)


def batch_rows(step: int, frames: int, settings: FinetuneSettings) -> np.ndarray:
    """Rows of a step's batch: int64 [batch]. Every frame comes once per pass, in an order drawn from the seed."""
    positions = range(step * settings.batch_size, (step + 1) * settings.batch_size)
    passes = {position // frames for position in positions}
    orders = {p: np.random.default_rng((settings.seed, 0, p)).permutation(frames) for p in passes}
    return np.array([orders[position // frames][position % frames] for position in positions])


def learning_rate(step: int, settings: FinetuneSettings) -> float:
    """Linear warm-up to the peak, then a cosine to a tenth of it at the last step (openpi)."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    share = (step - settings.warmup_steps) / max(settings.steps - 1 - settings.warmup_steps, 1)
    low = settings.learning_rate * FINAL_LEARNING_RATE
    return low + (settings.learning_rate - low) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
