"""Trainable parameters of each method, counted from a policy's configuration alone: no weights, no torch, instant.

Low-rank adapters of rank r on a projection of m inputs and n outputs train r (m + n) numbers. Robotic Steering adapts
q and o of the layers that hold selected heads, and of these only the heads' rows (q) and columns (o); LoRA adapts
q, k, v, o and the feed-forward layers of both stacks. `steering.finetune.parameters` counts the same on the model.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steering.errors import InputError, NotFound
from steering.types import STACKS, Head, HeadShape

_CONFIGS = {"vlm": ("vlm_config", "text_config"), "expert": ("dit_config",)}
_MAX_HEADER = 64 << 20


@dataclass(frozen=True)
class StackSize:
    """Sizes of one stack. `width` is the residual stream's, `mlp` the feed-forward's inner width."""

    layers: int
    heads: int
    key_value_heads: int
    head_dim: int
    width: int
    mlp: int


@dataclass(frozen=True)
class PolicySize:
    """Sizes of a policy. parameters: of the whole model, None where the weights' file does not say."""

    name: str
    stacks: Mapping[str, StackSize]
    parameters: int | None

    @property
    def head_shape(self) -> HeadShape:
        """Layers, heads and head dimension, the same in both stacks."""
        first = self.stacks["vlm"]
        return HeadShape(first.layers, first.heads, first.head_dim)

    def head_cost(self) -> dict[str, dict[str, int]]:
        """stack -> trainable parameters at rank 1 of a touched layer and, on top, of each selected head."""
        return {s: {"per_layer": 2 * size.width, "per_head": 2 * size.head_dim} for s, size in self.stacks.items()}

    def steering(self, heads: Collection[Head], rank: int) -> int:
        """Trainable parameters of Robotic Steering on `heads`."""
        cost = self.head_cost()
        layers = {(head.stack, head.layer) for head in heads}
        per_layer = sum(cost[stack]["per_layer"] for stack, _ in layers)
        return rank * (per_layer + sum(cost[head.stack]["per_head"] for head in heads))

    def lora(self, rank: int) -> int:
        """Trainable parameters of LoRA on all heads and feed-forward layers."""
        return rank * sum(_lora_at_rank_1(self.stacks[stack]) for stack in STACKS)


def _lora_at_rank_1(size: StackSize) -> int:
    query, key_value = size.heads * size.head_dim, size.key_value_heads * size.head_dim
    attention = 2 * (size.width + query) + 2 * (size.width + key_value)
    return size.layers * (attention + 3 * (size.width + size.mlp))


def policy_size(folder: Path, name: str) -> PolicySize:
    """Read the sizes of the π0 in `folder`."""
    path = folder / "config.json"
    if not path.is_file():
        raise NotFound(f"There is no policy in {folder.name}: config.json is missing. Fetch the repository's assets.")
    config = json.loads(path.read_text("utf-8"))
    try:
        return PolicySize(name, {stack: _stack(config, keys) for stack, keys in _CONFIGS.items()}, _count(folder))
    except KeyError as error:
        raise InputError(f"{folder.name}/config.json is not of a π0: {error} is missing.") from None


def _stack(config: Mapping[str, Any], keys: tuple[str, ...]) -> StackSize:
    for key in keys:
        config = config[key]
    return StackSize(
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        key_value_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        width=config["hidden_size"],
        mlp=config["intermediate_size"],
    )


def _count(folder: Path) -> int | None:
    """Numbers in the folder's safetensors files, from their headers."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_HEADER:
                return None
            header = json.loads(file.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                size = 1
                for side in entry["shape"]:
                    size *= side
                total += size
    return total or None
