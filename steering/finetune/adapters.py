"""Attach what a method trains to a policy's model, as ordinary PEFT adapters.

A head owns a block of rows of q_proj (or of a fused projection) and a block of columns of o_proj (Robotic Steering,
arXiv 2511.22697; `steering.models.sites`). In
ΔW = B·A the rows of B (q) and the columns of A (o) outside the selected heads' blocks start at zero and receive no
gradient, so ΔW of every other head is exactly zero, and PEFT saves, loads and merges the result like any LoRA. At full
rank (`dense_heads`) the other factor is fixed to ones that pick the heads' rows or columns: a LoRA again, whose free
factor is the block's change itself. Modules that train whole are PEFT's `modules_to_save`. `steering.finetune.plan`
says which modules; `full` attaches nothing and frees every parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from steering.errors import InputError
from steering.finetune.plan import FULL_BYTES, QUERY, Part, Plan, plan, sizes_of_model
from steering.models.loading import without_peft_warning
from steering.models.memory import free_bytes
from steering.models.policy import SteerablePolicy
from steering.types import FinetuneSettings, Selection

Masks = Mapping[str, torch.Tensor]
"""Full parameter name -> bool mask that broadcasts to the parameter: True where it trains."""


@contextmanager
def attached(
    policy: SteerablePolicy, method: str, settings: FinetuneSettings, selection: Selection | None
) -> Iterator[tuple[PeftModel | None, Masks]]:
    """Attach what `method` trains to the policy's model while the context is open; the model leaves as it came.

    An adapter starts as an exact no-op and its random part depends on `settings.seed` alone. Only what trains requires
    gradients. The PeftModel is None for `full`. Raises InputError, in words, where a full finetune does not fit.
    """
    chosen = plan(method, settings, selection, sizes_of_model(policy.model))
    if not chosen.parts:
        with _everything(policy, settings):
            yield None, {}
        return
    whole = {part.name: policy.model.get_submodule(part.name) for part in chosen.parts if _trains_whole(part)}
    with torch.random.fork_rng(devices=[]), without_peft_warning():
        torch.manual_seed(settings.seed)
        peft_model = get_peft_model(policy.model, _config(chosen))
    try:
        peft_model.eval()
        for part in chosen.parts:
            if part.rank is None and part.heads is not None:
                _pick_heads(policy, part)
        masks = head_masks(policy, chosen)
        _apply(policy.model, masks)
        yield peft_model, masks
    finally:
        peft_model.unload()
        for name, module in whole.items():  # PEFT leaves its copies
            parent, _, last = name.rpartition(".")
            setattr(policy.model.get_submodule(parent), last, module)
        policy.model.requires_grad_(False)


def head_masks(policy: SteerablePolicy, chosen: Plan) -> dict[str, torch.Tensor]:
    """Masks of the low-rank adapters of heads: rows of B for q_proj, columns of A for o_proj; nothing else has one.

    Where heads have factors of their own, only the block of a head's rows (columns) and its own ranks is free.
    """
    masks = {}
    for part in chosen.parts:
        if part.heads is not None and part.rank is not None:
            units = torch.zeros(_width(policy, part), part.rank, dtype=torch.bool, device=policy.device)
            for index, block in enumerate(np.split(np.asarray(part.units), len(part.heads))):
                own = slice(None) if part.of_head is None else slice(index * part.of_head, (index + 1) * part.of_head)
                units[block, own] = True
            factor, mask = ("lora_B", units) if part.group == QUERY else ("lora_A", units.T)
            masks[f"{part.name}.{factor}.default.weight"] = mask
    return masks


def _config(chosen: Plan) -> LoraConfig:
    adapted = [part for part in chosen.parts if not _trains_whole(part)]
    ranks = {part.name: part.rank or len(part.units) for part in adapted}
    rank = chosen.rank or max(ranks.values())
    ranks = {name: own for name, own in ranks.items() if own != rank}
    return LoraConfig(
        r=rank,
        lora_alpha=chosen.scale * rank,  # type: ignore[arg-type]  # PEFT says int and only divides by the rank
        target_modules="|".join(re.escape(part.name) for part in adapted),
        modules_to_save=[part.name for part in chosen.parts if _trains_whole(part)] or None,
        rank_pattern={re.escape(name): own for name, own in ranks.items()},
        alpha_pattern={re.escape(name): chosen.scale * own for name, own in ranks.items()},
        lora_dropout=0.0,
    )


def _trains_whole(part: Part) -> bool:
    return part.rank is None and part.heads is None


def _pick_heads(policy: SteerablePolicy, part: Part) -> None:
    """Fix one factor to pick the heads' rows (q_proj) or columns (o_proj); the other starts at zero and trains."""
    layer: Any = policy.model.get_submodule(part.name)
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    picks = torch.eye(_width(policy, part), dtype=up.dtype, device=up.device)[:, list(part.units)]
    fixed, free, values = (up, down, picks) if part.group == QUERY else (down, up, picks.T)
    with torch.no_grad():
        fixed.copy_(values)
        free.zero_()
    fixed.requires_grad_(False)


def _width(policy: SteerablePolicy, part: Part) -> int:
    """Rows of the module for queries, columns for the output projection."""
    outputs, inputs = policy.model.get_submodule(part.name).weight.shape
    return int(outputs if part.group == QUERY else inputs)


def _apply(model: torch.nn.Module, masks: Masks) -> None:
    """Zero the masked entries and keep their gradient at zero, so that Adam (no weight decay) never moves them."""
    for name, mask in masks.items():
        parameter = model.get_parameter(name)
        with torch.no_grad():
            parameter.mul_(mask)
        parameter.register_hook(lambda gradient, mask=mask: gradient * mask)


@contextmanager
def _everything(policy: SteerablePolicy, settings: FinetuneSettings) -> Iterator[None]:
    """Every parameter trains, in single precision, where memory allows; afterwards all are what they were."""
    model = policy.model
    elements = sum(parameter.numel() for parameter in model.parameters())
    need, free = elements * (FULL_BYTES + 4 * settings.keep_best), free_bytes(policy.device.type)
    if need > free:
        raise InputError(
            f"Expected {need / 1e9:.1f} GB of free memory on {policy.device.type} to train all {elements / 1e6:.0f} "
            f"million parameters (weights, gradients, Adam's moments, the old weights); there are {free / 1e9:.1f} GB. "
            "Train selected heads or LoRA instead, or use a machine with more memory."
        )
    before = {name: parameter.data for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.float32, copy=True)
    model.requires_grad_(True)
    try:
        yield
    finally:
        model.requires_grad_(False)
        for name, value in before.items():
            model.get_parameter(name).data = value
