"""A folder like `lerobot/pi0_base` with random weights: `python published_policy.py DIR`.

18 layers × 8 heads of 256 in both stacks, narrow in everything else, in lerobot's layout and names, with its tokenizer
beside it and without statistics. Runs in its own process, so that the tests of the page import no torch.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import PI0Config, PI0ForConditionalGeneration

from steering.models.architecture import train_tokenizer

CONFIG = {
    "type": "pi0",
    "input_features": {
        "observation.images.exterior": {"type": "VISUAL", "shape": [3, 56, 56]},
        "observation.images.wrist": {"type": "VISUAL", "shape": [3, 56, 56]},
        "observation.state": {"type": "STATE", "shape": [32]},
    },
    "output_features": {"action": {"type": "ACTION", "shape": [32]}},
    "normalization_mapping": {"VISUAL": "IDENTITY", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"},
    "chunk_size": 10,
    "max_state_dim": 32,
    "max_action_dim": 32,
    "num_inference_steps": 2,
    "tokenizer_max_length": 16,
}
NAMES = (
    ("model.vlm.language_model.embed_tokens", "paligemma_with_expert.paligemma.lm_head"),
    ("model.vlm.vision_tower.", "paligemma_with_expert.paligemma.model.vision_tower.vision_model."),
    ("model.vlm.", "paligemma_with_expert.paligemma.model."),
    ("model.dit.embed_tokens", "paligemma_with_expert.gemma_expert.lm_head"),
    ("model.dit.", "paligemma_with_expert.gemma_expert.model."),
    ("embed_action_time.", ""),
)


def make(folder: Path) -> None:
    """Write the folder."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["press the button", "place the red cube in the blue bowl"] * 5, vocab_size=300)
    gemma = {"model_type": "gemma", "num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1}
    vision = {"model_type": "siglip_vision_model", "hidden_size": 72, "intermediate_size": 80, "image_size": 56}
    vision |= {"patch_size": 14, "num_hidden_layers": 1, "num_attention_heads": 1, "vision_use_head": False}
    text = {**gemma, "hidden_size": 32, "intermediate_size": 48, "head_dim": 256, "vocab_size": len(tokenizer)}
    paligemma = {"model_type": "paligemma", "text_config": text, "vision_config": vision, "projection_dim": 32}
    expert = {**gemma, "hidden_size": 32, "intermediate_size": 48, "head_dim": 256}
    paligemma["image_token_id"] = len(tokenizer)
    model = PI0ForConditionalGeneration(PI0Config(vlm_config=paligemma, dit_config=expert))
    state = {}
    for name, tensor in model.state_dict().items():
        new = next((to + name[len(old) :] for old, to in NAMES if name.startswith(old)), name)
        state[f"model.{new}"] = tensor.contiguous()
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    tokenizer.save_pretrained(folder)
    for file in (folder / "tokenizer.json", folder / "tokenizer_config.json"):  # PaliGemma's own has no such token
        file.write_text(file.read_text().replace("<image>", "<unused>"))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
