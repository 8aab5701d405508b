"""A π0 in the published layout (lerobot/pi0_base) at reduced width: heads, cameras, chunk and names as published."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from transformers import LlamaConfig, PI0Config, PI0ForConditionalGeneration, SmolVLMConfig

from steering.models.architecture import train_tokenizer
from steering.models.smolvla import SmolVLAConfig, SmolVLAModel
from steering.types import Demonstrations, Episode

SLOTS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
SMALL_INSTRUCTIONS = ("press the button", "place the marker in the mug")
INSTRUCTIONS = ("pick up the cube", "place the marker in the mug and then push the button")
TO_PUBLISHED = (
    (r"^model\.vlm\.language_model\.embed_tokens", "paligemma_with_expert.paligemma.lm_head"),
    (r"^model\.vlm\.vision_tower\.", "paligemma_with_expert.paligemma.model.vision_tower.vision_model."),
    (r"^model\.vlm\.", "paligemma_with_expert.paligemma.model."),
    (r"^model\.dit\.embed_tokens", "paligemma_with_expert.gemma_expert.lm_head"),
    (r"^model\.dit\.", "paligemma_with_expert.gemma_expert.model."),
    (r"^embed_action_time\.", ""),
)
PUBLISHED_CONFIG = {
    "type": "pi0",
    "n_obs_steps": 1,
    "input_features": {
        **{f"observation.images.{slot}": {"type": "VISUAL", "shape": [3, 224, 224]} for slot in SLOTS},
        "observation.state": {"type": "STATE", "shape": [32]},
    },
    "output_features": {"action": {"type": "ACTION", "shape": [32]}},
    "normalization_mapping": {"VISUAL": "IDENTITY", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"},
    "device": "cpu",
    "paligemma_variant": "gemma_2b",
    "action_expert_variant": "gemma_300m",
    "dtype": "float32",
    "chunk_size": 50,
    "n_action_steps": 50,
    "max_state_dim": 32,
    "max_action_dim": 32,
    "num_inference_steps": 10,
    "image_resolution": [224, 224],
    "empty_cameras": 0,
    "tokenizer_max_length": 48,
}


def renamed(state: dict[str, torch.Tensor], rules: tuple[tuple[str, str], ...]) -> dict[str, torch.Tensor]:
    """`state` under other names; the first rule that fits a name is applied."""
    result = {}
    for name, tensor in state.items():
        new = next((re.sub(rule, to, name) for rule, to in rules if re.search(rule, name)), name)
        result[new] = tensor.contiguous()
    return result


@pytest.fixture(scope="session")
def narrow_pi0() -> PI0ForConditionalGeneration:
    """The published architecture, 18 × 8 heads of 256 in both stacks, narrow in everything else."""
    torch.manual_seed(0)
    gemma = {"model_type": "gemma", "num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1}
    vision = {"model_type": "siglip_vision_model", "hidden_size": 144, "intermediate_size": 160, "image_size": 56}
    vision |= {"patch_size": 14, "num_hidden_layers": 2, "num_attention_heads": 2, "vision_use_head": False}
    text = {**gemma, "hidden_size": 64, "intermediate_size": 96, "head_dim": 256, "vocab_size": 400}
    paligemma = {"model_type": "paligemma", "text_config": text, "vision_config": vision, "projection_dim": 64}
    expert = {**gemma, "hidden_size": 32, "intermediate_size": 48, "head_dim": 256}
    return PI0ForConditionalGeneration(PI0Config(vlm_config={**paligemma, "image_token_id": 400}, dit_config=expert))


@pytest.fixture(scope="session")
def published_folder(narrow_pi0, robot_demonstrations, tmp_path_factory) -> Path:
    """A folder like `lerobot/pi0_base`, with a normaliser as its finetunes have, and no tokenizer."""
    folder = tmp_path_factory.mktemp("published") / "pi0_base"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(PUBLISHED_CONFIG))
    state = renamed(dict(narrow_pi0.state_dict()), TO_PUBLISHED)
    save_file({f"model.{name}": tensor for name, tensor in state.items()}, folder / "model.safetensors")
    write_normaliser(folder, robot_demonstrations, "MEAN_STD")
    return folder


@pytest.fixture(scope="session")
def smolvla_folder(tmp_path_factory) -> Path:
    """Named as `lerobot/smolvla_base`, with its heads' width, four layers, 12 actions a chunk."""
    folder = tmp_path_factory.mktemp("smolvla") / "smolvla_base"
    folder.mkdir()
    torch.manual_seed(0)
    heads = {"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 64, "num_hidden_layers": 4}
    text = {"model_type": "llama", "hidden_size": 96, "intermediate_size": 120, "vocab_size": 320, **heads}
    vision = {"hidden_size": 64, "intermediate_size": 80, "num_hidden_layers": 1, "num_attention_heads": 1}
    vision |= {"image_size": 32, "patch_size": 4}
    vlm = SmolVLMConfig(text_config=text | {"rms_norm_eps": 1e-5}, vision_config=vision, scale_factor=4)
    expert = LlamaConfig(hidden_size=72, intermediate_size=100, rms_norm_eps=1e-5, **heads)
    model = SmolVLAModel(SmolVLAConfig(vlm, expert))
    state = {}
    for name, tensor in model.state_dict().items():
        if tensor.ndim == 2 and "embed" not in name:
            tensor = torch.randn(tensor.shape) / tensor.shape[1] ** 0.5
        name = name.replace("model.vlm.language_model.", "vlm_with_expert.vlm.model.text_model.")
        name = name.replace("model.vlm.", "vlm_with_expert.vlm.model.").replace(
            "model.dit.", "vlm_with_expert.lm_expert."
        )
        state[f"model.{name}"] = tensor.contiguous()
    state["model.vlm_with_expert.vlm.lm_head.weight"] = torch.zeros(320, 96)
    save_file(state, folder / "model.safetensors")
    config = {"type": "smolvla", "chunk_size": 12, "max_state_dim": 32, "max_action_dim": 32, "num_steps": 4}
    config |= {"attention_mode": "cross_attn", "self_attn_every_n_layers": 2, "tokenizer_max_length": 48}
    config |= {"vlm_model_name": "HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "num_vlm_layers": 4}
    (folder / "config.json").write_text(json.dumps(config))
    train_tokenizer(SMALL_INSTRUCTIONS * 5, vocab_size=300).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory) -> str:
    """A tokenizer without `<image>`, as plain Gemma's."""
    folder = tmp_path_factory.mktemp("tokenizers")
    tokenizer = train_tokenizer(INSTRUCTIONS * 5, vocab_size=300)
    tokenizer.save_pretrained(folder)
    text = (folder / "tokenizer.json").read_text().replace("<image>", "<unused>")
    (folder / "tokenizer.json").write_text(text)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "pad_token": "<pad>"})
    )
    return str(folder)


@pytest.fixture(scope="session")
def robot_demonstrations() -> Demonstrations:
    """Three episodes of a robot with 14 state and 14 action dimensions in its own units, two cameras of its own."""
    rng = np.random.default_rng(3)
    episodes = []
    for index in range(3):
        frames = 5 + index
        cameras = {name: rng.integers(0, 256, (frames, 40, 56, 3), dtype=np.uint8) for name in ("wrist_left", "top")}
        state = rng.normal(3, 2, (frames, 14)).astype(np.float32)
        action = rng.normal(-2, 5, (frames, 14)).astype(np.float32)
        episodes.append(Episode(f"episode_{index}", INSTRUCTIONS[index % 2], 50.0, cameras, state, action))
    return Demonstrations("two arms", "", (), tuple(episodes))


def write_normaliser(folder: Path, demonstrations: Demonstrations, mode: str) -> None:
    """lerobot's processor files, with every statistic that it computes."""
    file = "policy_preprocessor_step_5_normalizer_processor.safetensors"
    values = {}
    for name, field in (("observation.state", "state"), ("action", "action")):
        data = np.concatenate([getattr(e, field) for e in demonstrations.episodes])
        values |= {f"{name}.mean": data.mean(0), f"{name}.std": data.std(0)}
        values |= {f"{name}.min": data.min(0), f"{name}.max": data.max(0)}
        values |= {f"{name}.q{q:02d}": np.quantile(data, q / 100, axis=0).astype(np.float32) for q in (1, 10, 90, 99)}
    save_arrays({name: np.ascontiguousarray(value) for name, value in values.items()}, folder / file)
    norm_map = {"VISUAL": "IDENTITY", "STATE": mode, "ACTION": mode}
    tokenizer = {"max_length": 48, "tokenizer_name": "google/paligemma-3b-pt-224"}
    steps = [
        {"registry_name": "rename_observations_processor", "config": {"rename_map": {}}},
        {"registry_name": "tokenizer_processor", "config": tokenizer},
        {"registry_name": "normalizer_processor", "config": {"eps": 1e-8, "norm_map": norm_map}, "state_file": file},
    ]
    (folder / "policy_preprocessor.json").write_text(json.dumps({"name": "policy_preprocessor", "steps": steps}))
