"""What every policy offers to rollouts, capture and finetuning, whatever its family. Torch-free."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from steering.types import HeadShape, Observation


class Policy(Protocol):
    """A vision-language-action policy that predicts a chunk of actions from one observation by denoising.

    name: what people call it. head_shape: its attention heads, the same in both stacks. chunk_size: control steps
    of one chunk. action_dim: real action dimensions. noise_dim: width of the noise (padded action dimensions).
    """

    name: str
    head_shape: HeadShape
    chunk_size: int
    action_dim: int
    noise_dim: int

    def act(self, observation: Observation, noise: np.ndarray) -> np.ndarray:
        """The next actions, float32 [batch, step, action_dim] in [-1, 1].

        `noise`: float32 [batch, chunk_size, noise_dim], standard normal. The same noise gives the same actions,
        whatever else is in the batch (to float tolerance).
        """
        ...
