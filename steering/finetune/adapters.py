"""LoRA on chosen attention heads of any model, over PEFT: what `docs/HEAD_LORA.md` shows.

    config = HeadLoraConfig({"model.layers.3.self_attn.q_proj": [0, 5], "model.layers.3.self_attn.o_proj": [0, 5]})
    adapted = add_head_lora(model, config)        # a PeftModel; train it as any other
    adapted.save_pretrained("adapter")            # plain LoRA: PeftModel.from_pretrained(model, "adapter")

A head owns a block of rows of the projections of queries, keys and values, and a block of columns of the output
projection. In ΔW = scale · B·A the rows of B, or the columns of A, outside the chosen heads' blocks start at zero and
receive no gradient, so ΔW of every other head is exactly zero: under Adam and SGD, with weight decay (zero decays to
zero), and after merging. At full rank (`dense`) the other factor is fixed to ones that pick the heads' rows or columns,
and the free factor is the change of the block itself: a LoRA again. Cost: that of LoRA on the same modules; a masked
product of each gradient.

PEFT itself restricts LoRA to modules, not to heads (huggingface/peft, issue 2293). The finetunes of this workbench go
through the same functions (`steering.finetune.attaching`); Robotic Steering is arXiv 2511.22697.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from steering.errors import InputError
from steering.models.loading import without_peft_warning

Masks = Mapping[str, torch.Tensor]
"""Full parameter name -> bool mask that broadcasts to the parameter: True where it trains."""

ROWS, COLUMNS = "rows", "columns"
AXES = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj", "query", "key", "value", "to_q", "to_k", "to_v"), ROWS),
    **dict.fromkeys(("o_proj", "out_proj", "dense", "to_out", "c_proj", "wo"), COLUMNS),
}
"""Last part of a module's name -> where its heads lie, for those that are known."""
_HEAD_DIM = ("head_dim", "attention_head_size", "attention_head_dim")
_HEADS = ("num_attention_heads", "num_heads", "n_head", "n_heads")


@dataclass(frozen=True)
class HeadBlocks:
    """Some heads of a module, in so many words. axis: ROWS of its weight [out, in], or COLUMNS.

    heads: counted from 0. dim: rows or columns of one head. start: the first row of head 0, where queries are fused
    with others.
    """

    heads: tuple[int, ...]
    axis: str
    dim: int
    start: int = 0

    def __post_init__(self) -> None:
        if self.axis not in (ROWS, COLUMNS) or self.dim < 1 or self.start < 0:
            raise InputError(f"Expected heads in {ROWS!r} or {COLUMNS!r}, got {self.axis!r}, {self.dim} wide.")

    @property
    def units(self) -> tuple[tuple[int, ...], ...]:
        """The rows or columns of each head."""
        begins = (self.start + head * self.dim for head in self.heads)
        return tuple(tuple(range(begin, begin + self.dim)) for begin in begins)


@dataclass(frozen=True)
class HeadLoraConfig:
    """Which heads train, and how.

    heads: full name of a module -> its heads, counted from 0 (of keys and values that several query heads share, those
    of the keys); `HeadBlocks` where the name or the model does not say where they lie; None for the whole module.
    rank, alpha: ΔW is alpha / rank · B·A. ranks: full name -> another rank, at the same scale. own_factors: every head
    has factors of its own, each of the rank, instead of sharing them. dense: full rank, no factors; then `rank`,
    `alpha` and `ranks` count for nothing. dropout, task_type: as in `peft.LoraConfig`. modules_to_save: full names of
    modules that train whole.
    """

    heads: Mapping[str, Sequence[int] | HeadBlocks | None]
    rank: int = 16
    alpha: float = 16.0
    ranks: Mapping[str, int] = field(default_factory=dict)
    own_factors: bool = False
    dense: bool = False
    dropout: float = 0.0
    task_type: str | None = None
    modules_to_save: Sequence[str] = ()

    def blocks(self, model: nn.Module) -> dict[str, HeadBlocks]:
        """Where the chosen heads lie in a model. Raises InputError, in words, for heads or modules that it lacks."""
        if not self.heads:
            raise InputError("Expected at least one module with heads to train, got none.")
        if min([self.rank, *self.ranks.values()]) < 1 or self.alpha <= 0:
            raise InputError(f"Expected a rank of at least 1 and a positive alpha; got {self.rank}, {self.alpha:g}.")
        asked = {name: heads for name, heads in self.heads.items() if heads is not None}
        return {name: _blocks(model, name, heads) for name, heads in asked.items()}

    def rank_of(self, name: str, blocks: HeadBlocks | None) -> int:
        """The rank of a module's adapter in PEFT's sense, all heads together."""
        heads = len(blocks.heads) if blocks is not None else 1
        if self.dense:
            return heads * blocks.dim if blocks is not None else 1
        return self.ranks.get(name, self.rank) * (heads if self.own_factors else 1)


def add_head_lora(model: nn.Module, config: HeadLoraConfig, *, seed: int | None = None) -> PeftModel:
    """Adapters on the chosen heads of a model, ready to train: an exact no-op until something has trained.

    Only what trains requires gradients. seed: of the random factor; None draws on from torch's state. Hooks on the
    parameters keep the zeros; they do not survive a deep copy of the model or sharding of parameters (FSDP, ZeRO 3).
    After loading an adapter to go on training, call `restrict`. Raises InputError, in words, for what does not fit.
    """
    return attach(model, config, seed=seed)[0]


def restrict(adapted: PeftModel, config: HeadLoraConfig) -> PeftModel:
    """Hold a loaded adapter to the heads that it was trained on, for more training; the same model is returned.

    `adapted` comes from `PeftModel.from_pretrained(model, folder, is_trainable=True)`. Raises InputError where the
    adapter changes other heads than those of `config`.
    """
    model = adapted.get_base_model()
    blocks = config.blocks(model)
    masks = head_masks(model, config, blocks)
    for name, mask in masks.items():
        if (model.get_parameter(name) * ~mask).any():
            raise InputError(
                f"This adapter changes other heads than the configuration names ({name}). Give the heads that it was "
                "trained on."
            )
    if config.dense:
        _pick_heads(model, blocks, values=False)
    hold(model, masks)
    return adapted


def attach(model: nn.Module, config: HeadLoraConfig, *, seed: int | None = None) -> tuple[PeftModel, Masks]:
    """`add_head_lora`, and the masks of what trains."""
    blocks = config.blocks(model)
    with torch.random.fork_rng(devices=[], enabled=seed is not None), without_peft_warning():
        if seed is not None:
            torch.manual_seed(seed)
        adapted = get_peft_model(model, _lora_config(model, config, blocks))
    if config.dense:
        _pick_heads(model, blocks, values=True)
    masks = head_masks(model, config, blocks)
    for name, mask in masks.items():
        with torch.no_grad():
            model.get_parameter(name).mul_(mask)
    hold(model, masks)
    return adapted, masks


def head_masks(model: nn.Module, config: HeadLoraConfig, blocks: Mapping[str, HeadBlocks]) -> dict[str, torch.Tensor]:
    """Masks of the low-rank adapters of heads: rows of B, or columns of A; nothing else has one.

    Where heads have factors of their own, only the block of a head's units and its own ranks is free.
    """
    masks = {}
    for name, found in blocks.items() if not config.dense else ():
        layer: Any = model.get_submodule(name)
        factor = "lora_B" if found.axis == ROWS else "lora_A"
        weight = getattr(layer, factor)["default"].weight
        rank, width = config.rank_of(name, found), weight.shape[0 if found.axis == ROWS else 1]
        units = torch.zeros(width, rank, dtype=torch.bool, device=weight.device)
        each = rank // len(found.heads)
        for index, block in enumerate(found.units):
            own = slice(index * each, (index + 1) * each) if config.own_factors else slice(None)
            units[list(block), own] = True
        masks[f"{name}.{factor}.default.weight"] = units if found.axis == ROWS else units.T
    return masks


def hold(model: nn.Module, masks: Masks) -> None:
    """Keep the gradient of masked entries at zero, so that no optimizer moves them from zero."""
    for name, mask in masks.items():
        model.get_parameter(name).register_hook(lambda gradient, mask=mask: gradient * mask)


def _lora_config(model: nn.Module, config: HeadLoraConfig, blocks: Mapping[str, HeadBlocks]) -> LoraConfig:
    scale = 1.0 if config.dense else config.alpha / config.rank
    adapted = [name for name in config.heads if not config.dense or name in blocks]
    whole = [*config.modules_to_save, *(name for name in config.heads if name not in adapted)]
    ranks = {name: config.rank_of(name, blocks.get(name)) for name in adapted}
    rank = max(ranks.values(), default=1) if config.dense else config.rank
    others = {name: own for name, own in ranks.items() if own != rank}
    return LoraConfig(
        r=rank,
        lora_alpha=scale * rank,  # type: ignore[arg-type]  # PEFT says int and only divides by the rank
        target_modules="|".join(re.escape(name) for name in adapted),
        modules_to_save=whole or None,
        rank_pattern={re.escape(name): own for name, own in others.items()},
        alpha_pattern={re.escape(name): scale * own for name, own in others.items()},
        lora_dropout=config.dropout,
        task_type=config.task_type,
        fan_in_fan_out=any(type(model.get_submodule(name)).__name__ == "Conv1D" for name in adapted),
    )


def _pick_heads(model: nn.Module, blocks: Mapping[str, HeadBlocks], *, values: bool) -> None:
    """Fix one factor to pick the heads' rows or columns; the other starts at zero (`values`) and trains."""
    for name, found in blocks.items():
        layer: Any = model.get_submodule(name)
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        fixed, free = (up, down) if found.axis == ROWS else (down, up)
        units = [unit for block in found.units for unit in block]
        width = fixed.shape[0 if found.axis == ROWS else 1]
        picks = torch.eye(width, dtype=fixed.dtype, device=fixed.device)[:, units]
        picks = picks if found.axis == ROWS else picks.T
        if not values and not torch.equal(fixed, picks):
            raise InputError(f"This adapter changes other heads of {name} than the configuration names.")
        with torch.no_grad():
            fixed.copy_(picks)
            if values:
                free.zero_()
        fixed.requires_grad_(False)


def _blocks(model: nn.Module, name: str, asked: Sequence[int] | HeadBlocks) -> HeadBlocks:
    try:
        module: Any = model.get_submodule(name)
        module = getattr(module, "base_layer", module)
        outputs, inputs = _size(module)
    except (AttributeError, ValueError):
        near = [one for one, _ in model.named_modules() if one.rpartition(".")[2] == name.rpartition(".")[2]]
        hint = f" Names that end like it: {', '.join(near[:3])}." if near else ""
        raise InputError(f"The model has no projection {name!r}; give full names of modules.{hint}") from None
    if isinstance(asked, HeadBlocks):
        found = asked
    else:
        last = name.rpartition(".")[2]
        if last not in AXES:
            raise InputError(
                f"Whether the heads of {name} are rows or columns of its weight is not known. Say so by "
                "HeadBlocks(heads, ROWS or COLUMNS, dim)."
            )
        axis = AXES[last]
        found = HeadBlocks(tuple(asked), axis, _head_dim(model, name, outputs if axis == ROWS else inputs))
    width = outputs if found.axis == ROWS else inputs
    there = (width - found.start) // found.dim
    if not found.heads or len(set(found.heads)) < len(found.heads):
        raise InputError(f"Expected at least one head of {name}, each once; got {list(found.heads)}.")
    if not all(0 <= head < there for head in found.heads):
        raise InputError(f"{name} has {there} heads of {found.dim}, counted from 0; got {list(found.heads)}.")
    return found


def _size(module: Any) -> tuple[int, int]:
    """Outputs and inputs of a projection; quantised weights are packed, Conv1D keeps its own the other way round."""
    if hasattr(module, "out_features"):
        return int(module.out_features), int(module.in_features)
    first, second = module.weight.shape
    return (int(second), int(first)) if type(module).__name__ == "Conv1D" else (int(first), int(second))


def _head_dim(model: nn.Module, name: str, width: int) -> int:
    """Rows or columns of one head: what the nearest module above or its configuration says, else width / heads."""
    parents = name.split(".")[:-1]
    nearest = [model.get_submodule(".".join(parents[:depth])) for depth in range(len(parents), -1, -1)]
    places = [place for module in nearest for place in (module, getattr(module, "config", None))]
    for attributes, dim_of in ((_HEAD_DIM, lambda number: number), (_HEADS, lambda number: width // number)):
        for place in places:
            for attribute in attributes:
                number = getattr(place, attribute, None)
                if isinstance(number, int) and number > 0 and width % dim_of(number) == 0:
                    return int(dim_of(number))
    raise InputError(f"How wide a head of {name} is, the model does not say. Say it by HeadBlocks(heads, axis, dim).")
