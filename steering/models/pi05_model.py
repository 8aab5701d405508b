"""π0.5's modules (arXiv 2504.16054): PaliGemma, and a Gemma expert whose norms take the flow-matching time.

transformers' π0 has no such expert, so its layers are put together here from Gemma's attention and FFN and an adaptive
RMS norm: y = n (1 + scale) + shift, and what the norm feeds comes back times a gate; scale, shift and gate are a linear
map of the embedded time (openpi and lerobot, `policies/pi_gemma.py`). Module names are π0's, so that hooks and adapters
find every head. Cost: as π0's, 3.6 billion parameters at the published size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PaliGemmaModel
from transformers.models.gemma.modeling_gemma import GemmaAttention, GemmaMLP, GemmaRotaryEmbedding
from transformers.models.pi0.modeling_pi0 import PI0Model

from steering.models.flow import time_embedding


@dataclass
class PI05Config:
    """vlm_config: of PaliGemma. dit_config: of the expert (Gemma). Other names as in lerobot's and π0's."""

    vlm_config: Any
    dit_config: Any
    chunk_size: int = 50
    max_state_dim: int = 32
    max_action_dim: int = 32
    num_inference_steps: int = 10
    min_period: float = 4e-3
    max_period: float = 4.0
    time_sampling_beta_alpha: float = 1.5
    time_sampling_beta_beta: float = 1.0
    time_sampling_scale: float = 0.999
    time_sampling_offset: float = 0.001
    model_type: str = "pi05"
    _attn_implementation: str = "sdpa"


class AdaptiveNorm(nn.Module):
    """RMS norm whose scale and shift depend on the time. Gives the normalised input and the gate of what it feeds."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.dense = nn.Linear(width, 3 * width)

    def forward(self, hidden: torch.Tensor, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """hidden: [batch, token, width]; time: [batch, width]. -> [batch, token, width] and [batch, 1, width]."""
        scale, shift, gate = self.dense(time)[:, None].chunk(3, dim=-1)
        normal = hidden.float()
        normal = normal * torch.rsqrt(normal.pow(2).mean(-1, keepdim=True) + self.eps)
        return (normal * (1 + scale.float()) + shift.float()).to(hidden), gate.to(hidden)


class ExpertLayer(nn.Module):
    """A Gemma layer between adaptive norms."""

    def __init__(self, config: Any, index: int) -> None:
        super().__init__()
        self.self_attn = GemmaAttention(config, index)
        self.mlp = GemmaMLP(config)
        self.input_layernorm = AdaptiveNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = AdaptiveNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, hidden: torch.Tensor, time: torch.Tensor, **given: Any) -> torch.Tensor:
        """hidden: [batch, token, width]; time: [batch, width]; the rest goes to the attention."""
        normal, gate = self.input_layernorm(hidden, time)
        hidden = hidden + gate * self.self_attn(hidden_states=normal, **given)[0]
        normal, gate = self.post_attention_layernorm(hidden, time)
        return hidden + gate * self.mlp(normal)


class Expert(nn.Module):
    """The stack that makes the actions. Its final norm's gate is dropped."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(ExpertLayer(config, index) for index in range(config.num_hidden_layers))
        self.norm = AdaptiveNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = GemmaRotaryEmbedding(config=config)

    def forward(
        self, hidden: torch.Tensor, time: torch.Tensor, mask: torch.Tensor, position: torch.Tensor, cache: Any
    ) -> torch.Tensor:
        """mask: what is added to the scores [batch, 1, token, key]; position: [batch, token]; cache: grows by these."""
        rotation = self.rotary_emb(hidden, position_ids=position)
        for layer in self.layers:
            hidden = layer(hidden, time, attention_mask=mask, position_embeddings=rotation, cache=cache)
        return self.norm(hidden, time)[0]


class _Stacks(nn.Module):
    """PaliGemma and the expert, with π0's way to put pictures and words together."""

    embed_prefix = PI0Model.embed_prefix

    def __init__(self, config: PI05Config) -> None:
        super().__init__()
        self.config = config
        self.vlm = PaliGemmaModel(config.vlm_config)
        self.dit = Expert(config.dit_config)


class PI05Model(nn.Module):
    """The modules, at the names that `steering.models.sites` gives the two stacks."""

    base_model_prefix = "model"  # PEFT asks for it, since a model of transformers is inside

    def __init__(self, config: PI05Config) -> None:
        super().__init__()
        self.config = config
        self.model = _Stacks(config)
        width = config.dit_config.hidden_size
        self.action_in_proj = nn.Linear(config.max_action_dim, width)
        self.action_out_proj = nn.Linear(width, config.max_action_dim)
        self.time_mlp_in = nn.Linear(width, width)
        self.time_mlp_out = nn.Linear(width, width)

    def embed_time(self, timestep: torch.Tensor) -> torch.Tensor:
        """What the norms of the expert take of the flow-matching time [batch]: [batch, width]."""
        waves = time_embedding(self.config, timestep, self.time_mlp_in.in_features)
        hidden = F.silu(self.time_mlp_in(waves.to(self.action_in_proj.weight.dtype)))
        return F.silu(self.time_mlp_out(hidden))

    def set_attn_implementation(self, implementation: str) -> None:
        """`eager`, `sdpa`, or another that transformers knows."""
        self.model.vlm.set_attn_implementation(implementation)
        for config in (self.config, self.config.dit_config):
            config._attn_implementation = implementation
