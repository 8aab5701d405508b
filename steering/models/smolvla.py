"""SmolVLA (arXiv 2506.01844) as lerobot publishes it (`lerobot/smolvla_base`, its finetunes): a whole family in a file.

SmolVLM2's first layers read images, instruction and state; an action expert of as many layers and heads follows them.
Even layers of the expert attend to the VLM's keys and values and their own, causally; odd ones to the VLM's alone,
through projections of their own. So, as in π0, only keys and values leave the VLM. Differences that show: the state is
the VLM's last token and the expert sees actions only. 450 million parameters: a laptop runs it. Built from
transformers' SmolVLM and Llama modules; `steering.models.names` maps the weights' names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from transformers import DynamicCache, LlamaConfig, SmolVLMConfig
from transformers.models.llama.modeling_llama import (
    LlamaAttention,
    LlamaDecoderLayer,
    LlamaRMSNorm,
    apply_rotary_pos_emb,
    eager_attention_forward,
)
from transformers.models.smolvlm.modeling_smolvlm import SmolVLMConnector, SmolVLMVisionTransformer

from steering.errors import InputError
from steering.models import lerobot_layout
from steering.models.checkpoint import Checkpoint
from steering.models.families import Family
from steering.models.flow import Batch, FlowPolicy, time_embedding
from steering.models.memory import Placement
from steering.models.names import HEAD_DIM as HEAD_DIMS
from steering.models.names import RULES, translated
from steering.models.pi0_checkpoint import load_tokenizer
from steering.models.preprocessing import Preprocessor, Statistics
from steering.models.weights import load_model
from steering.progress import Progress

TOKENIZER = "HuggingFaceTB/SmolVLM2-500M-Video-Instruct"
HEAD_DIM = HEAD_DIMS["smolvla"]  # SigLIP bases have it too
ROPE_BASE = 10_000.0
MAX_TEXT_TOKENS = 48
KEY_RULES = RULES["smolvla"]


@dataclass
class SmolVLAConfig:
    """vlm_config: of SmolVLM, with as many text layers as are used. dit_config: of the expert. Names as in π0's."""

    vlm_config: Any
    dit_config: Any
    self_attention_every: int = 2
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
    model_type: str = "smolvla"
    _attn_implementation: str = "eager"


class CrossAttention(LlamaAttention):
    """The expert's odd layers: keys and values are the VLM's of the same layer, projected once more."""

    def __init__(self, config: LlamaConfig, layer_idx: int, key_width: int) -> None:
        super().__init__(config, layer_idx)
        self.k_proj = nn.Linear(key_width, self.k_proj.out_features, bias=config.attention_bias)
        self.v_proj = nn.Linear(key_width, self.v_proj.out_features, bias=config.attention_bias)

    def forward(self, hidden_states: torch.Tensor, **given: Any) -> Any:
        """As LlamaAttention's; positions of the queries start at 0. Weights cover the VLM's keys, then zeros."""
        steps = hidden_states.shape[1]
        queries = self._heads(self.q_proj(hidden_states))
        queries = apply_rotary_pos_emb(queries, queries, *(part[:, :steps] for part in given["from_zero"]))[0]
        layer = given["cache"].layers[self.layer_idx]
        prefix = layer.keys.shape[2]
        keys, values = (part.transpose(1, 2).flatten(2) for part in (layer.keys, layer.values))
        keys, values = self._heads(self.k_proj(keys)), self._heads(self.v_proj(values))
        mask = given["attention_mask"][..., :prefix]
        output, weights = eager_attention_forward(self, queries, keys, values, mask, scaling=self.scaling)
        return self.o_proj(output.flatten(2)), F.pad(weights, (0, steps))

    def _heads(self, projected: torch.Tensor) -> torch.Tensor:
        return projected.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


class SmolVLAModel(nn.Module):
    """The modules, at the names that `steering.models.sites` gives the two stacks."""

    def __init__(self, config: SmolVLAConfig) -> None:
        super().__init__()
        self.config = config
        text, expert = config.vlm_config.text_config, config.dit_config
        language, dit, vlm, self.model = nn.Module(), nn.Module(), nn.Module(), nn.Module()
        language.embed_tokens = nn.Embedding(text.vocab_size, text.hidden_size)
        language.layers = nn.ModuleList(LlamaDecoderLayer(text, i) for i in range(text.num_hidden_layers))
        dit.layers = nn.ModuleList(LlamaDecoderLayer(expert, i) for i in range(expert.num_hidden_layers))
        for index, layer in enumerate(dit.layers):
            if index % config.self_attention_every:
                layer.self_attn = CrossAttention(expert, index, text.num_key_value_heads * text.head_dim)
        dit.norm = LlamaRMSNorm(expert.hidden_size, expert.rms_norm_eps)
        vlm.vision_model = SmolVLMVisionTransformer(config.vlm_config.vision_config)
        vlm.connector = SmolVLMConnector(config.vlm_config)
        vlm.language_model = language
        self.model.vlm, self.model.dit = vlm, dit
        self.state_proj = nn.Linear(config.max_state_dim, text.hidden_size)
        self.action_in_proj = nn.Linear(config.max_action_dim, expert.hidden_size)
        self.action_time_mlp_in = nn.Linear(2 * expert.hidden_size, expert.hidden_size)
        self.action_time_mlp_out = nn.Linear(expert.hidden_size, expert.hidden_size)
        self.action_out_proj = nn.Linear(expert.hidden_size, config.max_action_dim)
        self.set_attn_implementation("eager")

    def set_attn_implementation(self, implementation: str) -> None:
        """`eager` or `sdpa` for the two stacks. Cross-attention is always eager."""
        for config in (self.config, self.config.vlm_config.text_config, self.config.dit_config):
            config._attn_implementation = implementation


class SmolVLAPolicy(FlowPolicy):
    """See `steering.models.policy.SteerablePolicy`. The VLM's last token is the state."""

    expert_tokens = {"first_action": 0}

    def embed(self, batch: Batch) -> torch.Tensor:
        """Image features, instruction, state: [batch, token, width]. The state stands at the last valid position."""
        if "inputs_embeds" in batch:
            return batch["inputs_embeds"]
        vlm, pixels = self.model.model.vlm, batch["pixel_values"]
        features = vlm.connector(vlm.vision_model(pixels.flatten(0, 1).to(self.dtype)).last_hidden_state)
        images = features.unflatten(0, pixels.shape[:2]).flatten(1, 2)
        embeds = vlm.language_model.embed_tokens(batch["input_ids"])
        embeds = torch.cat([images.to(embeds), embeds[:, images.shape[1] :]], dim=1) * embeds.shape[-1] ** 0.5
        state = self.model.state_proj(batch["state"].to(self.dtype)).to(embeds)
        return torch.where(_last(batch["attention_mask"])[..., None], state[:, None], embeds)

    def prefix(self, batch: Batch) -> Any:
        """See `SteerablePolicy.prefix`."""
        cache = DynamicCache()
        frozen = batch["prefix_keys"].shape[1] if "prefix_keys" in batch else 0
        for layer in range(frozen):
            cache.update(batch["prefix_keys"][:, layer], batch["prefix_values"][:, layer], layer)
        if frozen < self.head_shape["vlm"].layers:
            self._run_vlm(batch, cache, slice(frozen, None))
        return cache

    def freeze(self, batch: Batch, layers: int) -> Batch:
        """See `SteerablePolicy.freeze`: what enters the next layer; keys, values [batch, layer, head, token, dim]."""
        cache = DynamicCache()
        embeds = self._run_vlm(batch, cache, slice(layers))
        kept: list[Any] = cache.layers[:layers]
        return {
            "inputs_embeds": embeds,
            "prefix_keys": torch.stack([layer.keys for layer in kept], dim=1),
            "prefix_values": torch.stack([layer.values for layer in kept], dim=1),
        }

    def _run_vlm(self, batch: Batch, cache: Any, part: slice) -> torch.Tensor:
        embeds, valid = self.embed(batch), batch["attention_mask"].bool()
        state = _last(batch["attention_mask"])
        seen = valid[:, None, :] & (~state[:, None, :] | state[:, :, None])  # images and text do not see the state
        rotation = self._rotation(valid.long().cumsum(-1) - 1)
        for layer in self.model.model.vlm.language_model.layers[part]:
            embeds = layer(
                embeds,
                attention_mask=_additive(seen, embeds.dtype),
                cache=cache,
                position_embeddings=rotation,
            )
        return embeds

    def velocity(self, batch: Batch, cache: Any, noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """See `SteerablePolicy.velocity`."""
        actions = self.model.action_in_proj(noisy.to(self.dtype))
        time = (
            time_embedding(self.model.config, timestep, actions.shape[-1]).to(actions.dtype)[:, None].expand_as(actions)
        )
        hidden = self.model.action_time_mlp_in(torch.cat([actions, time], dim=2))
        hidden = self.model.action_time_mlp_out(F.silu(hidden))
        rows, steps = hidden.shape[:2]
        valid = batch["attention_mask"].bool()
        causal = torch.ones(steps, steps, dtype=torch.bool, device=hidden.device).tril().expand(rows, -1, -1)
        seen = torch.cat([valid[:, None].expand(-1, steps, -1), causal], dim=2)
        order = torch.arange(steps, device=hidden.device).expand(rows, -1)
        with self._uncropped(cache, steps):
            for layer in self.model.model.dit.layers:
                hidden = layer(
                    hidden,
                    attention_mask=_additive(seen, hidden.dtype),
                    cache=cache,
                    position_embeddings=self._rotation(valid.sum(-1, keepdim=True) + order),
                    from_zero=self._rotation(order),
                )
        return self.model.action_out_proj(self.model.model.dit.norm(hidden)).float()

    @contextmanager
    def _uncropped(self, cache: Any, steps: int) -> Iterator[None]:
        """Lets the expert's self-attention add its keys to the cache, and takes them away again."""
        try:
            yield
        finally:
            for layer in cache.layers[:: self.model.config.self_attention_every]:
                layer.crop(-steps)

    def _rotation(self, position: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines [batch, token, dim] of rotary positions."""
        dim = self.head_shape.head_dim
        frequency = ROPE_BASE ** -(torch.arange(0, dim, 2, device=position.device).float() / dim)
        angle = (position[..., None] * frequency).repeat(1, 1, 2)
        return angle.cos().to(self.dtype), angle.sin().to(self.dtype)


@dataclass(frozen=True)
class SmolVLAPreprocessor(Preprocessor):
    """The prompt is the instruction and a newline, then one place for the state; images are padded left and on top."""

    bar: ClassVar[float] = 1.0

    def row(self, instruction: str, cameras: int) -> list[int]:
        """See `Preprocessor.row`; the last id is never looked at."""
        return [*super().row(instruction, cameras), 0]

    def text_tokens(self, instruction: str) -> list[int]:
        """Token ids of the instruction and a newline, at most `max_text_tokens`."""
        return self.tokenizer(f"{instruction}\n")["input_ids"][: self.max_text_tokens]

    def square_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """As lerobot's resize_with_pad: linear, black on the left and on top."""
        height, width = pixels.shape[-2:]
        ratio = max(height, width) / self.image_px
        size = (int(height / ratio), int(width / ratio))
        pixels = F.interpolate(pixels, size, mode="bilinear", align_corners=False)
        return F.pad(pixels, (self.image_px - size[1], 0, self.image_px - size[0], 0))


def config(checkpoint: Checkpoint) -> SmolVLAConfig:
    """Settings of lerobot's config.json, sizes of the weights."""
    lerobot_layout.check_supported(checkpoint)
    given = checkpoint.config
    if given.get("attention_mode", "cross_attn") != "cross_attn" or given.get("add_image_special_tokens"):
        raise InputError(
            f"Expected SmolVLA as published (attention_mode 'cross_attn', no image special tokens) at "
            f"{checkpoint.source!r}; its config.json says otherwise. Choose a finetune of 'lerobot/smolvla_base'."
        )
    shapes = {translated(name, KEY_RULES): header.shape for name, header in checkpoint.tensors.items()}
    try:
        text, expert = _llama(shapes, "model.vlm.language_model"), _llama(shapes, "model.dit")
        text["vocab_size"] = shapes["model.vlm.language_model.embed_tokens.weight"][0]
        vision, scale = _vision(shapes)
    except KeyError as error:
        raise InputError(
            f"Expected the weights of a SmolVLA at {checkpoint.source!r}; {error.args[0]} is missing. Fetch the whole "
            "checkpoint, or choose one such as 'lerobot/smolvla_base'."
        ) from error
    names = ("chunk_size", "max_state_dim", "max_action_dim", "min_period", "max_period")
    return SmolVLAConfig(
        vlm_config=SmolVLMConfig(text_config=text, vision_config=vision, scale_factor=scale),
        dit_config=LlamaConfig(**{k: v for k, v in expert.items() if k != "model_type"}),
        self_attention_every=int(given.get("self_attn_every_n_layers", 2)),
        num_inference_steps=int(given.get("num_steps", 10)),
        **{name: given[name] for name in names if given.get(name) is not None},
    )


def _llama(shapes: dict[str, tuple[int, ...]], stack: str) -> dict[str, Any]:
    first = f"{stack}.layers.0"
    layers = {int(found[1]) for name in shapes if (found := re.match(rf"{re.escape(stack)}\.layers\.(\d+)\.", name))}
    queries, width = shapes[f"{first}.self_attn.q_proj.weight"]
    return {
        "model_type": "llama",
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "intermediate_size": shapes[f"{first}.mlp.gate_proj.weight"][0],
        "num_attention_heads": queries // HEAD_DIM,
        "num_key_value_heads": shapes[f"{first}.self_attn.k_proj.weight"][0] // HEAD_DIM,
        "head_dim": HEAD_DIM,
        "rms_norm_eps": 1e-5,
    }


def _vision(shapes: dict[str, tuple[int, ...]]) -> tuple[dict[str, Any], int]:
    """Sizes of SmolVLM's SigLIP, and how many patches a side its connector joins."""
    tower = "model.vlm.vision_model"
    width, _, patch, _ = shapes[f"{tower}.embeddings.patch_embedding.weight"]
    joined = shapes["model.vlm.connector.modality_projection.proj.weight"][1]
    sizes = {
        "hidden_size": width,
        "intermediate_size": shapes[f"{tower}.encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": len({n.split(".")[5] for n in shapes if n.startswith(f"{tower}.encoder.layers.")}),
        "num_attention_heads": 16 if width == 1152 else max(width // HEAD_DIM, 1),  # 1152: SigLIP so400m
        "image_size": round(shapes[f"{tower}.embeddings.position_embedding.weight"][0] ** 0.5) * patch,
        "patch_size": patch,
    }
    return sizes, round((joined / width) ** 0.5)


def model(checkpoint: Checkpoint, config: SmolVLAConfig, placement: Placement, progress: Progress) -> nn.Module:
    """SmolVLAModel with the checkpoint's weights."""
    return load_model(lambda: SmolVLAModel(config), checkpoint, placement, KEY_RULES, progress)


def preprocessor(
    checkpoint: Checkpoint, config: SmolVLAConfig, statistics: Statistics, tokenizer: str | None
) -> Preprocessor:
    """SmolVLM2's tokenizer from the folder, the place that the checkpoint names, or `tokenizer`."""
    place, limit = lerobot_layout.tokenizer(checkpoint, str(checkpoint.config.get("vlm_model_name") or TOKENIZER))
    vision = config.vlm_config.vision_config
    return SmolVLAPreprocessor(
        tokenizer=load_tokenizer(tokenizer or place),
        statistics=statistics,
        image_px=vision.image_size,
        tokens_per_image=(vision.image_size // vision.patch_size // config.vlm_config.scale_factor) ** 2,
        state_dim=config.max_state_dim,
        action_dim=config.max_action_dim,
        cameras=lerobot_layout.cameras(checkpoint),
        max_text_tokens=limit or MAX_TEXT_TOKENS,
        image_token_id=0,
    )


def _last(attention_mask: torch.Tensor) -> torch.Tensor:
    """Where the last valid token of each row is: bool [batch, token]."""
    position = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    return position == attention_mask.sum(-1, keepdim=True) - 1


def _additive(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Attention mask [batch, 1, query, key] to add to the scores."""
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill(~seen, torch.finfo(dtype).min)[:, None]


FAMILY = Family(SmolVLAPolicy, config, model, lerobot_layout.statistics, preprocessor)
