"""What a policy offers to the rest of the workbench, whatever its family. Importing this loads no torch.

`Policy` is enough for rollouts. `SteerablePolicy` is what capture, attribution and finetuning use: one to several
stacks of layers, some of which read the prompt and some make the actions from what `prefix` leaves behind, trained by
flow matching. `docs/ADAPTERS.md` shows how a family is added; `steering/models/smolvla.py` is one,
`steering/models/pi0_fast.py` one of a single stack that writes its actions as words (it trains by the next word).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from steering.types import HeadShape, Observation

if TYPE_CHECKING:
    import torch

    from steering.models.preprocessing import Preprocessor, Statistics
    from steering.models.sites import HeadLayout

    Batch = dict[str, torch.Tensor]


class Policy(Protocol):
    """A vision-language-action policy that predicts a chunk of actions from one observation by denoising.

    name: what people call it. head_shape: its attention heads, stack by stack. chunk_size: control steps
    of one chunk. action_dim: real action dimensions. noise_dim: width of the noise (padded action dimensions).
    """

    name: str
    head_shape: HeadShape
    chunk_size: int
    action_dim: int
    noise_dim: int

    def act(self, observation: Observation, noise: np.ndarray) -> np.ndarray:
        """The next actions, float32 [batch, step, action_dim], in the units of the demonstrations, not clipped.

        `noise`: float32 [batch, chunk_size, noise_dim], standard normal. The same noise gives the same actions,
        whatever else is in the batch (to float tolerance).
        """
        ...


class SteerablePolicy(Policy, Protocol):
    """A policy whose heads can be read, scaled and trained one by one.

    model: a torch module in evaluation mode, no parameter requiring a gradient. layout: where its heads sit
    (`model.head_layout`, else π0's modules); the input of an output projection is its layer's heads side by side.
    `model.config` holds `time_sampling_*` of π0; `set_attn_implementation("eager")` makes the attention modules return
    their weights [batch, head, query, key] second.
    expert_tokens: name -> position of a token that may be captured in the expert's sequence. notices: what the user
    should know of how it was loaded, as sentences.
    own_statistics: the normalisation that came with the checkpoint, None where none did; `preprocessor.statistics` is
    the one in use.
    """

    model: Any
    layout: HeadLayout
    preprocessor: Preprocessor
    denoising_steps: int
    expert_tokens: Mapping[str, int]
    notices: tuple[str, ...]
    own_statistics: Statistics | None

    @property
    def device(self) -> torch.device:
        """Where the model's parameters are."""
        ...

    def with_statistics(self, statistics: Statistics, notice: str = "") -> SteerablePolicy:
        """The same model (shared, not copied) under other normalisation; `notice` says why."""
        ...

    def prepare(self, observation: Observation, chunk: np.ndarray | None = None) -> Batch:
        """The tensors of an observation, and `actions` for raw chunks [batch, step, dim].

        `attention_mask` [batch, token] covers the VLM's whole sequence, its valid tokens first; `state` and `actions`
        are normalised and padded. Everything else is the family's own, with the batch as first axis.
        """
        ...

    def embed(self, batch: Batch) -> torch.Tensor:
        """The VLM's embedded sequence [batch, token, width]; also from a batch that has it as `inputs_embeds`."""
        ...

    def freeze(self, batch: Batch, layers: int) -> Batch:
        """What the VLM's first `layers` give, as tensors with which `prefix` goes on while their weights stay."""
        ...

    def prefix(self, batch: Batch) -> Any:
        """One pass of the VLM: a transformers cache of each layer's keys and values, which the expert attends to."""
        ...

    def velocity(self, batch: Batch, cache: Any, noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """One pass of the expert: velocity [batch, step, noise_dim] at `timestep` [batch]. The cache is unchanged."""
        ...

    def denoise(self, batch: Batch, cache: Any, noise: torch.Tensor, end: float = 0.0) -> torch.Tensor:
        """Integrate the velocity from t = 1 to `end`: normalised actions [batch, step, noise_dim] at that time."""
        ...

    def flow_loss(self, batch: Batch, noise: torch.Tensor, timestep: torch.Tensor, cache: Any = None) -> torch.Tensor:
        """The flow-matching loss (scalar) with several noise samples per prefix.

        `noise`: [batch, sample, step, noise_dim]; `timestep`: [batch, sample]. The prefix is computed once, unless
        its `cache` is given (it is used up).
        """
        ...
