"""Where the attention heads of a policy sit: module names, row and column blocks, and the heads that cannot act.

Full-path names, because the vision tower has projections of the same short names. They are π0's in transformers; every
other family builds its model at the same ones (docs/ADAPTERS.md). Torch-free.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from steering.errors import InputError, unknown_name
from steering.types import STACKS, Head, HeadShape

LAYERS = {"vlm": "model.vlm.language_model.layers", "expert": "model.dit.layers"}


def attention_name(stack: str, layer: int) -> str:
    """Full module name of the self-attention of a layer, e.g. `model.dit.layers.3.self_attn`."""
    if stack not in LAYERS:
        raise unknown_name("stack", stack, LAYERS)
    return f"{LAYERS[stack]}.{layer}.self_attn"


def projection_name(stack: str, layer: int, projection: str) -> str:
    """Full module name of a projection (`q_proj`, `k_proj`, `v_proj`, `o_proj`) of a layer."""
    return f"{attention_name(stack, layer)}.{projection}"


def head_block(head: int, head_dim: int) -> slice:
    """The rows of q_proj and the columns of o_proj that belong to a head."""
    return slice(head * head_dim, (head + 1) * head_dim)


def head_shape(config: Any) -> HeadShape:
    """Layers, heads and head dimension of a policy's configuration. Both stacks must agree, as in every π0."""
    text, expert = config.vlm_config.text_config, config.dit_config
    return same_shape(*(HeadShape(c.num_hidden_layers, c.num_attention_heads, c.head_dim) for c in (text, expert)))


def same_shape(vlm: HeadShape, dit: HeadShape) -> HeadShape:
    """The shape of both stacks. Raises InputError where they differ."""
    if vlm != dit:
        raise InputError(
            f"Expected a policy whose VLM and action expert have the same heads; the VLM has {vlm}, the expert {dit}. "
            "Choose a checkpoint such as 'lerobot/pi0_base'."
        )
    return vlm


def inert_heads(shape: HeadShape) -> tuple[Head, ...]:
    """Heads that cannot move an action: those of the VLM's last layer.

    Only each VLM layer's keys and values reach the expert (π0, arXiv 2410.24164, section IV), so the last layer's
    queries, output projection and MLP end nowhere. Their gradient is exactly zero.
    """
    return tuple(Head(STACKS[s], int(layer), int(head)) for s, layer, head in np.argwhere(inert_mask(shape)))


def inert_mask(shape: HeadShape) -> np.ndarray:
    """`inert_heads` as bool [stack, layer, head]."""
    return shape.last_layer("vlm")


def check_heads(heads: tuple[Head, ...], shape: HeadShape) -> None:
    """Raise InputError unless every head exists in `shape` and there is at least one."""
    if not heads:
        raise InputError("Expected at least one attention head; none is selected. Select heads on the map first.")
    for head in heads:
        if head.stack not in STACKS or not (0 <= head.layer < shape.layers and 0 <= head.head < shape.heads):
            raise InputError(
                f"There is no head {head} in this policy: it has {shape.layers} layers × {shape.heads} heads in each "
                f"of {', '.join(STACKS)}. Select heads on this policy's own map."
            )
