"""Count what an adapter trains, by group, without the entries that its masks hold at zero."""

from __future__ import annotations

from torch import nn

from steering.finetune.adapters import Masks

GROUPS = {"gate_proj": "mlp", "up_proj": "mlp", "down_proj": "mlp"}


def trainable_parameters(model: nn.Module, masks: Masks) -> dict[str, int]:
    """Group (`q_proj`, `k_proj`, `v_proj`, `o_proj`, `mlp`) -> number of trained entries, adapter attached."""
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            projection = name.split(".lora_")[0].rsplit(".", 1)[-1]
            group = GROUPS.get(projection, projection)
            trained = masks[name].expand_as(parameter).sum() if name in masks else parameter.numel()
            counts[group] = counts.get(group, 0) + int(trained)
    return counts
