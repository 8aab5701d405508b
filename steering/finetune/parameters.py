"""Count what trains on a model, by group, without the entries that masks hold at zero.

`steering.finetune.plan.parameter_counts` says the same beforehand, from the configuration alone.
"""

from __future__ import annotations

import re

from torch import nn

from steering.finetune.adapters import Masks
from steering.finetune.plan import Plan


def trainable_parameters(model: nn.Module, masks: Masks, chosen: Plan) -> dict[str, int]:
    """Group -> trained entries of the model as it stands, without those that masks hold at zero.

    The same as `Plan.parameters` of `chosen` says beforehand; of a full finetune, everything is in the group `all`.
    """
    groups, counts = {part.name: part.group for part in chosen.parts}, dict[str, int]()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            module = re.split(r"\.(?:lora_|modules_to_save\.)", name)[0]
            group = groups[module] if module != name else "all"
            trained = masks[name].expand_as(parameter).sum() if name in masks else parameter.numel()
            counts[group] = counts.get(group, 0) + int(trained)
    return counts
