"""π0.5 (arXiv 2504.16054) as lerobot publishes it (`lerobot/pi05_base`, its finetunes) and openpi converts it.

What differs from π0: the state is text in the prompt, so the VLM reads it and the expert's sequence is the actions
alone; the time enters the expert through its norms; quantiles normalise unless the checkpoint says otherwise. The
modules are in `steering.models.pi05_model`, the prompt in `steering.models.state_in_text`. A head of the VLM that only
repeats the state looks relevant, so relevance over the state is the score to read here. Cost: as π0's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from transformers import GemmaConfig, PaliGemmaConfig

from steering.models import lerobot_layout, pi0_checkpoint
from steering.models.checkpoint import Checkpoint
from steering.models.families import Family
from steering.models.flow import Batch
from steering.models.memory import Placement
from steering.models.names import RULES, translated
from steering.models.pi0 import PaliGemmaPolicy
from steering.models.pi05_model import PI05Config, PI05Model
from steering.models.preprocessing import Statistics
from steering.models.state_in_text import StateInText, settings_of
from steering.models.weights import load_model
from steering.progress import Progress
from steering.types import Observation

KEY_RULES = RULES["pi05"]
_COPIED = ("chunk_size", "max_state_dim", "max_action_dim", "num_inference_steps", "min_period", "max_period")
_TIMES = ("time_sampling_beta_alpha", "time_sampling_beta_beta", "time_sampling_scale", "time_sampling_offset")


@dataclass(frozen=True)
class PI05Preprocessor(StateInText):
    """The prompt is "Task: <instruction>, State: <integers>;", a newline and "Action: "."""

    behind: ClassVar[str] = ";\nAction: "


class PI05Policy(PaliGemmaPolicy):
    """See `steering.models.policy.SteerablePolicy`. There is no state token."""

    expert_tokens = {"first_action": 0}
    preprocessor: PI05Preprocessor

    def prepare(self, observation: Observation, chunk: np.ndarray | None = None) -> Batch:
        """See `SteerablePolicy.prepare`; the prompt is each frame's own."""
        batch = super().prepare(observation, chunk)
        prompts = self.preprocessor.prompts(observation, batch["pixel_values"].shape[1])
        return batch | {name: tensor.to(self.device) for name, tensor in prompts.items()}

    def velocity(self, batch: Batch, cache: Any, noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """One pass of the expert: velocity [batch, step, noise_dim] at `timestep` [batch]. The cache is unchanged."""
        hidden = self.model.action_in_proj(noisy.to(self.dtype))
        rows, steps = hidden.shape[:2]
        valid, length = batch["attention_mask"].bool(), cache.get_seq_length()
        seen = torch.cat([valid, valid.new_ones(rows, steps)], dim=1)[:, None, None].expand(-1, -1, steps, -1)
        mask = torch.zeros(seen.shape, dtype=hidden.dtype, device=hidden.device)
        position = valid.sum(-1, keepdim=True) + torch.arange(steps, device=hidden.device)
        hidden = self.model.model.dit(
            hidden,
            self.model.embed_time(timestep),
            mask.masked_fill(~seen, torch.finfo(hidden.dtype).min),
            position,
            cache,
        )
        cache.crop(length - cache.get_seq_length())
        return self.model.action_out_proj(hidden).float()


def config(checkpoint: Checkpoint) -> PI05Config:
    """Sizes from the weights, since lerobot and openpi name only variants."""
    lerobot_layout.check_supported(checkpoint)
    shapes = {translated(name, KEY_RULES): header.shape for name, header in checkpoint.tensors.items()}
    paligemma = PaliGemmaConfig(**pi0_checkpoint.paligemma_sizes(checkpoint, shapes))
    expert = pi0_checkpoint.expert_sizes(checkpoint, shapes)
    names = (*_COPIED, *_TIMES)
    given = {name: checkpoint.config[name] for name in names if checkpoint.config.get(name) is not None}
    return PI05Config(
        paligemma, GemmaConfig(**{name: size for name, size in expert.items() if name != "model_type"}), **given
    )


def model(checkpoint: Checkpoint, config: PI05Config, placement: Placement, progress: Progress) -> nn.Module:
    """PI05Model with the checkpoint's weights."""
    loaded: Any = load_model(lambda: PI05Model(config), checkpoint, placement, KEY_RULES, progress)
    loaded.set_attn_implementation("sdpa")
    return loaded


def preprocessor(
    checkpoint: Checkpoint, config: PI05Config, statistics: Statistics, tokenizer: str | None
) -> PI05Preprocessor:
    """PaliGemma's tokenizer as for π0."""
    plain = pi0_checkpoint.preprocessor(checkpoint, config, statistics, tokenizer)  # type: ignore[arg-type]
    return PI05Preprocessor(**settings_of(plain, checkpoint.config.get("tokenizer_max_length")))


FAMILY = Family(PI05Policy, config, model, pi0_checkpoint.statistics, preprocessor)
