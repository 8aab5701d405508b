"""Low-rank adapters on chosen attention heads, and the usual LoRA on all of them, as ordinary PEFT adapters.

A head owns a block of rows of q_proj and a block of columns of o_proj (Robotic Steering, arXiv 2511.22697). In
ΔW = B·A the rows of B (q) and the columns of A (o) outside the selected heads' blocks start at zero and receive no
gradient, so ΔW of every other head is exactly zero, and PEFT saves, loads and merges the result like any LoRA. Keys
and values, which all heads of a layer share, the MLPs and the vision tower stay frozen. The baseline follows openpi's
`gemma_2b_lora` and `gemma_300m_lora`: q, k, v, o and MLP of every layer of both stacks, vision tower frozen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from steering.errors import InputError, unknown_name
from steering.models.loading import without_peft_warning
from steering.models.policy import SteerablePolicy
from steering.models.sites import LAYERS, check_heads, head_block, inert_heads, projection_name
from steering.types import FinetuneSettings, Head, HeadShape, Selection

LORA_PATTERN = (
    "(" + "|".join(re.escape(name) for name in LAYERS.values()) + r")\.\d+\."
    r"(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
)

Masks = Mapping[str, torch.Tensor]
"""Full parameter name -> bool mask that broadcasts to the parameter: True where it trains."""


@contextmanager
def attached(
    policy: SteerablePolicy, method: str, settings: FinetuneSettings, selection: Selection | None
) -> Iterator[tuple[PeftModel, Masks]]:
    """Attach a new adapter to the policy's model while the context is open; the model leaves as it came.

    The adapter starts as an exact no-op and its random part depends on `settings.seed` alone. Only the adapter
    requires gradients.
    """
    heads = selected_heads(policy, method, selection)
    pattern = head_pattern(heads) if heads else LORA_PATTERN
    alpha: Any = settings.alpha  # PEFT says int and only divides by the rank
    config = LoraConfig(r=settings.rank, lora_alpha=alpha, target_modules=pattern, lora_dropout=0.0)
    with torch.random.fork_rng(devices=[]), without_peft_warning():
        torch.manual_seed(settings.seed)
        peft_model = get_peft_model(policy.model, config)
    try:
        peft_model.eval()
        masks = head_masks(policy, heads)
        _apply(policy.model, masks)
        yield peft_model, masks
    finally:
        peft_model.unload()
        policy.model.requires_grad_(False)


def selected_heads(policy: SteerablePolicy, method: str, selection: Selection | None) -> tuple[Head, ...]:
    """The heads that `method` trains one by one: those of the selection for `steering`, none for `lora`."""
    if method == "lora":
        return ()
    if method != "steering":
        raise unknown_name("trainable method", method, ("steering", "lora"))
    heads = tuple(sorted(set(selection.heads))) if selection is not None else ()
    check_heads(heads, policy.head_shape)
    if set(heads) <= set(inert_heads(policy.head_shape)):
        raise InputError(
            "Expected at least one head that can move an action; all selected heads are in the VLM's last layer, "
            "whose output never reaches the action expert. Add heads of another layer."
        )
    return heads


def frozen_layers(method: str, heads: tuple[Head, ...], shape: HeadShape) -> int:
    """How many of the VLM's first layers lie below every adapter of `method`."""
    return 0 if method == "lora" else min((h.layer for h in heads if h.stack == "vlm"), default=shape.layers)


def head_pattern(heads: tuple[Head, ...]) -> str:
    """Regular expression over full module names: q_proj and o_proj of the layers that hold selected heads."""
    layers = sorted({(head.stack, head.layer) for head in heads})
    names = [
        projection_name(stack, layer, projection) for stack, layer in layers for projection in ("q_proj", "o_proj")
    ]
    return "|".join(re.escape(name) for name in names)


def head_masks(policy: SteerablePolicy, heads: tuple[Head, ...]) -> dict[str, torch.Tensor]:
    """Masks of the adapter's weights: rows of B for q_proj, columns of A for o_proj, all others trained in full."""
    width = policy.head_shape.heads * policy.head_shape.head_dim
    chosen: dict[tuple[str, int], torch.Tensor] = {}
    for head in heads:
        units = chosen.setdefault((head.stack, head.layer), torch.zeros(width, dtype=torch.bool, device=policy.device))
        units[head_block(head.head, policy.head_shape.head_dim)] = True
    masks = {}
    for (stack, layer), units in chosen.items():
        masks[f"{projection_name(stack, layer, 'q_proj')}.lora_B.default.weight"] = units[:, None]
        masks[f"{projection_name(stack, layer, 'o_proj')}.lora_A.default.weight"] = units[None, :]
    return masks


def _apply(model: torch.nn.Module, masks: Masks) -> None:
    """Zero the masked entries and keep their gradient at zero, so that Adam (no weight decay) never moves them."""
    for name, mask in masks.items():
        parameter = model.get_parameter(name)
        with torch.no_grad():
            parameter.mul_(mask)
        parameter.register_hook(lambda gradient, mask=mask: gradient * mask)
