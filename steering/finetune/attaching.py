"""Attach what a method trains to a policy's model, as ordinary PEFT adapters; the model leaves as it came.

`steering.finetune.plan` says which modules and heads, `steering.finetune.adapters` does it for any model, `full`
attaches nothing and frees every parameter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import PeftModel

from steering.errors import InputError
from steering.finetune.adapters import COLUMNS, ROWS, HeadBlocks, HeadLoraConfig, Masks, attach
from steering.finetune.plan import FULL_BYTES, QUERY, Part, Plan, plan, sizes_of_model
from steering.models.memory import free_bytes
from steering.models.policy import SteerablePolicy
from steering.models.sites import HeadLayout
from steering.types import FinetuneSettings, Selection


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
    config = _config(chosen, policy.layout)
    whole = {part.name: policy.model.get_submodule(part.name) for part in chosen.parts if _trains_whole(part)}
    peft_model, masks = attach(policy.model, config, seed=settings.seed)
    try:
        peft_model.eval()
        yield peft_model, masks
    finally:
        peft_model.unload()
        for name, module in whole.items():  # PEFT leaves its copies
            parent, _, last = name.rpartition(".")
            setattr(policy.model.get_submodule(parent), last, module)
        policy.model.requires_grad_(False)


def _config(chosen: Plan, layout: HeadLayout) -> HeadLoraConfig:
    """The heads and modules of a plan. Ranks are of one factor: where heads have their own, of each head's."""
    adapted = [part for part in chosen.parts if not _trains_whole(part)]
    ranks = {part.name: part.of_head or part.rank for part in adapted}
    rank = chosen.rank or 1
    return HeadLoraConfig(
        heads={part.name: _blocks(part, layout) for part in adapted},
        rank=rank,
        alpha=chosen.scale * rank,
        ranks={name: own for name, own in ranks.items() if own is not None and own != rank},
        own_factors=any(part.of_head is not None for part in adapted),
        dense=chosen.rank is None,
        modules_to_save=[part.name for part in chosen.parts if _trains_whole(part)],
    )


def _blocks(part: Part, layout: HeadLayout) -> HeadBlocks | None:
    if part.heads is None or part.site is None:
        return None
    sites = layout[part.site[0]]
    if part.group == QUERY:
        return HeadBlocks(part.heads, ROWS, sites.stack.head_dim, sites.query_start)
    return HeadBlocks(part.heads, COLUMNS, sites.stack.head_dim)


def _trains_whole(part: Part) -> bool:
    return part.rank is None and part.heads is None


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
