"""What every flow-matching policy does in the same way: prepare, act, denoise, and the training loss.

Conventions are π0's (arXiv 2410.24164): noisy = t · noise + (1 − t) · actions, velocity = noise − actions, sampling
from t = 1 to 0. The integration and the loss run in single precision, whatever the model's. A family adds `embed`,
`freeze`, `prefix` and `velocity`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F

from steering.models.preprocessing import MEAN_STD, Preprocessor, Statistics
from steering.models.sites import HeadLayout, layout_of
from steering.types import HeadShape, Observation

Batch = dict[str, torch.Tensor]
"""Tensors by name, the batch as first axis; see `SteerablePolicy.prepare`."""


class FlowPolicy(ABC):
    """See `steering.models.policy.SteerablePolicy`; `model` is in evaluation mode."""

    expert_tokens: Mapping[str, int]

    def __init__(self, model: Any, preprocessor: Preprocessor, name: str) -> None:
        self.model = model
        self.preprocessor = preprocessor
        self.name = name
        self.own_statistics: Statistics | None = preprocessor.statistics
        self.normalisation: tuple[str, str] = MEAN_STD  # of state and action, in lerobot's words
        self.trained = False  # whether `own_statistics` are those of an adapter
        self.notices: tuple[str, ...] = ()
        self.layout: HeadLayout = layout_of(model)
        self.head_shape: HeadShape = self.layout.shape
        self.chunk_size = int(model.config.chunk_size)
        self.noise_dim = int(model.config.max_action_dim)
        self.action_dim = len(preprocessor.statistics.actions_mean)
        self.denoising_steps = int(model.config.num_inference_steps)

    @property
    def device(self) -> torch.device:
        """Where the model's parameters are."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the model's weights."""
        return self.model.get_submodule("action_out_proj").weight.dtype

    def with_statistics(self, statistics: Statistics, notice: str = "") -> Self:
        """The same model under other normalisation; see `SteerablePolicy.with_statistics`."""
        other = copy.copy(self)
        other.preprocessor = replace(self.preprocessor, statistics=statistics)
        other.action_dim = len(statistics.actions_mean)
        other.notices = (notice,) if notice else ()
        return other

    def prepare(self, observation: Observation, chunk: np.ndarray | None = None) -> Batch:
        """See `SteerablePolicy.prepare`. Cameras that the observation lacks are masked, which is to leave them out."""
        cameras = self.preprocessor.cameras_in_order(observation.cameras)
        batch: Batch = {
            **self.preprocessor.tokens(observation.instruction, len(cameras)),
            "pixel_values": self.preprocessor.pixels(cameras),
            "pixel_attention_mask": torch.ones(len(observation.state), len(cameras), dtype=torch.bool),
            "state": self.preprocessor.state(observation.state),
        }
        if chunk is not None:
            batch["actions"] = self.preprocessor.actions(chunk)
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def act(self, observation: Observation, noise: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        with torch.inference_mode():
            batch = self.prepare(observation)
            actions = self.denoise(batch, self.prefix(batch), torch.from_numpy(noise).to(self.device))
        return self.preprocessor.raw_actions(actions)

    def denoise(self, batch: Batch, cache: Any, noise: torch.Tensor, end: float = 0.0) -> torch.Tensor:
        """See `SteerablePolicy.denoise`."""
        steps = round((1 - end) * self.denoising_steps)
        actions = noise
        for step in range(steps):
            time = 1 - (1 - end) * step / steps
            timestep = torch.full((len(noise),), time, device=noise.device)
            actions = actions - (1 - end) / steps * self.velocity(batch, cache, actions, timestep)
        return actions

    def flow_loss(self, batch: Batch, noise: torch.Tensor, timestep: torch.Tensor, cache: Any = None) -> torch.Tensor:
        """See `SteerablePolicy.flow_loss`. Padded action dimensions count, as in openpi and transformers."""
        samples = noise.shape[1]
        cache = self.prefix(batch) if cache is None else cache
        cache.batch_repeat_interleave(samples)
        repeated = {name: batch[name].repeat_interleave(samples, 0) for name in ("state", "attention_mask", "actions")}
        noise, time = noise.flatten(0, 1), timestep.flatten()
        actions, shares = repeated["actions"], time[:, None, None]
        noisy = shares * noise + (1 - shares) * actions
        return F.mse_loss(self.velocity(repeated, cache, noisy, time), noise - actions)

    @abstractmethod
    def embed(self, batch: Batch) -> torch.Tensor:
        """See `SteerablePolicy.embed`."""

    @abstractmethod
    def freeze(self, batch: Batch, layers: int) -> Batch:
        """See `SteerablePolicy.freeze`."""

    @abstractmethod
    def prefix(self, batch: Batch) -> Any:
        """See `SteerablePolicy.prefix`."""

    @abstractmethod
    def velocity(self, batch: Batch, cache: Any, noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """See `SteerablePolicy.velocity`."""


def time_embedding(config: Any, timestep: torch.Tensor, width: int) -> torch.Tensor:
    """Sines and cosines, float64 [batch, width], of the flow-matching time [batch], as in openpi and lerobot.

    config: `min_period` and `max_period` of the slowest and the fastest wave.
    """
    fraction = torch.linspace(0, 1, width // 2, dtype=torch.float64, device=timestep.device)
    period = config.min_period * (config.max_period / config.min_period) ** fraction
    angle = timestep[:, None] / period * 2 * torch.pi
    return torch.cat([angle.sin(), angle.cos()], dim=1)
