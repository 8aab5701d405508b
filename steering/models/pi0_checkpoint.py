"""From a π0 checkpoint to a policy: configuration, names of the weights, tokenizer, statistics.

Three layouts load: transformers' own (`PI0ForConditionalGeneration.save_pretrained`), lerobot's from 0.4 on
(`lerobot/pi0_base`) with openpi's PyTorch conversion, and lerobot's before that; `steering.models.names` maps their
names. lerobot's configuration names sizes only by variant, so they are read from the weights' shapes. PaliGemma's
tokenizer is not in lerobot's folders: it is `google/paligemma-3b-pt-224` on the hub, behind a licence to accept there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub.errors import HfHubHTTPError
from torch import nn
from transformers import AutoTokenizer, PI0Config, PI0ForConditionalGeneration

from steering import hub
from steering.errors import InputError, NotFound
from steering.models import lerobot_layout
from steering.models.attention import GROUPED_MATMUL
from steering.models.checkpoint import Checkpoint
from steering.models.families import Family
from steering.models.memory import Placement
from steering.models.names import HEAD_DIM, RULES, translated
from steering.models.pi0 import PI0Policy
from steering.models.preprocessing import Preprocessor, Statistics
from steering.models.weights import load_model
from steering.progress import Progress

PROCESSOR_FILE = "processor_config.json"
TOKENIZER = "google/paligemma-3b-pt-224"
TOKENIZER_FILES = ("*.json", "*.model", "*.txt", "*.jinja")
MAX_TEXT_TOKENS = 48  # openpi, lerobot and PI0Processor
SIGLIP_HEAD_DIM = 72  # SigLIP so400m: 1152 in 16 heads; not to be read from shapes
KEY_RULES = RULES["pi0"]
GROUPED_UP_TO_TOKENS = 64
"""Image tokens of a camera up to which a CPU uses grouped_matmul; longer sequences use PyTorch's own attention."""

_SIZES = ("chunk_size", "max_state_dim", "max_action_dim", "num_inference_steps", "min_period", "max_period")
_TIMES = ("time_sampling_beta_alpha", "time_sampling_beta_beta", "time_sampling_scale", "time_sampling_offset")
_COPIED = (*_SIZES, *_TIMES)


def config(checkpoint: Checkpoint) -> PI0Config:
    """The configuration: as it stands in transformers' layout, with sizes read from the weights in lerobot's."""
    if "vlm_config" in checkpoint.config:
        return PI0Config.from_dict(dict(checkpoint.config))
    lerobot_layout.check_supported(checkpoint)
    given = {name: checkpoint.config[name] for name in _COPIED if checkpoint.config.get(name) is not None}
    if "num_steps" in checkpoint.config:  # lerobot before 0.4
        given["num_inference_steps"] = checkpoint.config["num_steps"]
    shapes = {translated(name, KEY_RULES): header.shape for name, header in checkpoint.tensors.items()}
    paligemma = paligemma_sizes(checkpoint, shapes)
    expert = expert_sizes(checkpoint, shapes)
    return PI0Config(vlm_config=paligemma | {"model_type": "paligemma"}, dit_config=expert, **given)


def expert_sizes(checkpoint: Checkpoint, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """The expert's configuration (Gemma) from the same shapes."""
    try:
        return _gemma(shapes, "model.dit")
    except KeyError as error:
        raise _incomplete(checkpoint, error) from error


def paligemma_sizes(checkpoint: Checkpoint, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """PaliGemma's configuration from the shapes of weights under the names of the model here."""
    try:
        vlm, vision = _gemma(shapes, "model.vlm.language_model"), _siglip(shapes)
        vlm["vocab_size"] = shapes["model.vlm.language_model.embed_tokens.weight"][0]
        projection = shapes["model.vlm.multi_modal_projector.linear.weight"][0]
    except KeyError as error:
        raise _incomplete(checkpoint, error) from error
    return {
        "text_config": vlm,
        "vision_config": vision,
        "projection_dim": projection,
        "image_token_id": vlm["vocab_size"],
    }


def _incomplete(checkpoint: Checkpoint, error: KeyError) -> InputError:
    return InputError(
        f"Expected the weights of a {checkpoint.family} at {checkpoint.source!r}; {error.args[0]} is missing. Fetch "
        "the whole checkpoint, or choose one such as 'lerobot/pi0_base'."
    )


def _gemma(shapes: dict[str, tuple[int, ...]], stack: str) -> dict[str, Any]:
    """Sizes of a Gemma stack."""
    first = f"{stack}.layers.0"
    layers = {int(found[1]) for name in shapes if (found := re.match(rf"{re.escape(stack)}\.layers\.(\d+)\.", name))}
    dim = HEAD_DIM["pi0"]
    queries, width = shapes[f"{first}.self_attn.q_proj.weight"]
    return {
        "model_type": "gemma",
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "intermediate_size": shapes[f"{first}.mlp.gate_proj.weight"][0],
        "num_attention_heads": queries // dim,
        "num_key_value_heads": shapes[f"{first}.self_attn.k_proj.weight"][0] // dim,
        "head_dim": dim,
    }


def _siglip(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    tower = "model.vlm.vision_tower"
    width, _, patch, _ = shapes[f"{tower}.embeddings.patch_embedding.weight"]
    side = round(shapes[f"{tower}.embeddings.position_embedding.weight"][0] ** 0.5)
    return {
        "model_type": "siglip_vision_model",
        "hidden_size": width,
        "intermediate_size": shapes[f"{tower}.encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": len({n.split(".")[5] for n in shapes if n.startswith(f"{tower}.encoder.layers.")}),
        "num_attention_heads": max(width // SIGLIP_HEAD_DIM, 1),
        "image_size": side * patch,
        "patch_size": patch,
        "vision_use_head": False,
    }


def model(checkpoint: Checkpoint, config: PI0Config, placement: Placement, progress: Progress) -> nn.Module:
    """PI0ForConditionalGeneration with the checkpoint's weights."""
    loaded: Any = load_model(
        lambda: PI0ForConditionalGeneration(config),
        checkpoint,
        placement,
        KEY_RULES,
        progress,
        may_lack=("model.dit.embed_tokens.weight",),  # the expert is fed embeddings
    )
    short = _tokens_per_image(config) <= GROUPED_UP_TO_TOKENS
    loaded.set_attn_implementation(GROUPED_MATMUL if placement.device == "cpu" and short else "sdpa")
    return loaded


def statistics(checkpoint: Checkpoint) -> Statistics | None:
    """Those of `processor_config.json`, or lerobot's."""
    values = checkpoint.read_json(PROCESSOR_FILE)
    names = ("state_mean", "state_std", "actions_mean", "actions_std")
    if all(values.get(name) for name in names):
        return Statistics(*(np.asarray(values[name], np.float32) for name in names))
    return lerobot_layout.statistics(checkpoint)


def preprocessor(
    checkpoint: Checkpoint, config: PI0Config, statistics: Statistics, tokenizer: str | None
) -> Preprocessor:
    """PaliGemma's tokenizer from the folder, the place that the checkpoint names, or `tokenizer`."""
    place, limit = lerobot_layout.tokenizer(checkpoint, TOKENIZER)
    lerobot = "vlm_config" not in checkpoint.config
    vlm: Any = config.vlm_config
    return Preprocessor(
        tokenizer=load_tokenizer(tokenizer or place, vlm.image_token_id),
        statistics=statistics,
        image_px=vlm.vision_config.image_size,
        tokens_per_image=_tokens_per_image(config),
        state_dim=config.max_state_dim,
        action_dim=config.max_action_dim,
        cameras=lerobot_layout.cameras(checkpoint),
        max_text_tokens=(limit or MAX_TEXT_TOKENS) if lerobot else None,
        image_token_id=vlm.image_token_id,
    )


def load_tokenizer(place: str | Path | hub.Repository, image_token_id: int | None = None) -> Any:
    """The tokenizer in a folder or on the hub. Raises NotFound, with what to do, where there is none.

    A text is what the caller names, a folder or else a hub id. Code that comes with a tokenizer is never run.
    """
    found = hub.named(place) or Path(place) if isinstance(place, str) else place
    name = found.id if isinstance(found, hub.Repository) else str(found)
    try:
        folder = found.snapshot("model", TOKENIZER_FILES) if isinstance(found, hub.Repository) else found
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, token=False)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise NotFound(
            f"Expected the tokenizer's files (tokenizer.json, tokenizer_config.json) at {name!r}; they cannot be "
            f"read ({str(error).splitlines()[0]}). Save the checkpoint's tokenizer beside it, or have who runs this "
            f"fetch it while online: `hf download {TOKENIZER}`, whose licence needs to be accepted on the hub first."
        ) from error
    known = tokenizer.get_vocab().get("<image>")
    if image_token_id is not None and known not in (None, image_token_id):
        raise InputError(
            f"Expected '<image>' to be token {image_token_id} as in config.json; the tokenizer at {name!r} says "
            f"{known}. Use the checkpoint's own tokenizer."
        )
    return tokenizer


def _tokens_per_image(config: PI0Config) -> int:
    vlm: Any = config.vlm_config
    return int(vlm.vision_config.image_size // vlm.vision_config.patch_size) ** 2


FAMILY = Family(PI0Policy, config, model, statistics, preprocessor)
