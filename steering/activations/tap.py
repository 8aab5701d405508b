r"""Read the heads of any torch transformer whose attention ends in an output projection.

    with tap(model, r"self_attn\.o_proj$") as taken:
        for batch in batches:
            model(**batch)
    activations = Activations.from_arrays(taken.outputs(), action, episode)

A head's output is its part of the projection's input (as in `steering.models.hooks`, which does the same for the
policies that are known here). Nothing of the model changes, and nothing of it is kept. Cost: that of the forward
passes; memory of one token a row, layer and head.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from steering.errors import InputError

Choose = Callable[[torch.Tensor], torch.Tensor]
HEADS = ("num_attention_heads", "num_heads", "n_head", "n_heads")
"""What configurations and attention modules call their number of heads."""


class Taken:
    """What a tap collected: the outputs of every layer that matched, one row for each row of each batch."""

    def __init__(self, layers: tuple[str, ...]) -> None:
        self.layers = layers
        self._rows: dict[str, list[np.ndarray]] = {name: [] for name in layers}

    def outputs(self) -> np.ndarray:
        """float32 [row, layer, head, dim], rows in the order of the forward passes, layers in that of `layers`.

        Raises InputError where nothing ran, or where a layer ran more or less often than the others.
        """
        if not any(self._rows.values()):
            raise InputError(
                "Nothing ran through the layers. Run the model inside the `with` block. torch's nn.MultiheadAttention "
                "multiplies by its projection's weight without calling it, so it cannot be read this way."
            )
        joined = {name: np.concatenate(parts) if parts else None for name, parts in self._rows.items()}
        shapes = {name: None if one is None else one.shape for name, one in joined.items()}
        if len(set(shapes.values())) != 1:
            told = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:8])
            raise InputError(
                f"Expected as many rows and the same heads in every layer, got {told}. Tap layers of one stack that "
                "all run once a pass; use a tap for each stack."
            )
        return np.stack([one for one in joined.values() if one is not None], axis=1)

    def __repr__(self) -> str:
        rows = sum(map(len, next(iter(self._rows.values()))))
        return f"Taken({len(self.layers)} layers, {rows} rows)"


@contextmanager
def tap(model: nn.Module, pattern: str, *, heads: int | None = None, token: int | Choose = -1) -> Iterator[Taken]:
    """Collect head outputs of every forward pass while the context is open.

    pattern: a regular expression that is searched for in the full names of modules; those found are the output
    projections, one a layer, in the model's order. heads: in a layer; by default what the configuration or the
    attention module says. token: which token of a sequence is kept, or a function of [batch, token, head, dim] that
    returns [batch, head, dim] (a mean over patches, the last token that is no padding). Raises InputError where nothing
    matches or the width does not divide.
    """
    found = {name: module for name, module in model.named_modules() if re.search(pattern, name)}
    wrong = [name for name, module in found.items() if not _is_projection(module)]
    if not found or wrong:
        raise InputError(_no_match(model, pattern, wrong))
    taken = Taken(tuple(found))
    choose: Choose = (lambda outputs: outputs[:, token]) if isinstance(token, int) else token

    def reader(name: str, number: int) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def read(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            if args[0].ndim != 3:
                raise InputError(f"Expected [batch, token, width] at {name}, got {list(args[0].shape)}.")
            kept = choose(args[0].detach().unflatten(-1, (number, -1)))
            if kept.ndim != 3 or len(kept) != len(args[0]):
                raise InputError(
                    f"Expected `token` to give [batch, head, dim] of {len(args[0])} rows, got {list(kept.shape)}."
                )
            taken._rows[name].append(kept.float().cpu().numpy())

        return read

    with ExitStack() as hooks:
        for name, module in found.items():
            number = heads or _heads_of(model, name)
            width = _inputs(module)
            if width % number:
                raise InputError(f"{name} takes {width} inputs, which {number} heads do not divide. Say `heads`.")
            hooks.callback(module.register_forward_pre_hook(reader(name, number)).remove)
        yield taken


def _is_projection(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.ndim == 2


def _inputs(module: nn.Module) -> int:
    """Inputs of a projection; transformers' Conv1D keeps its weight the other way round."""
    weight: Any = module.weight
    return int(weight.shape[0] if type(module).__name__ == "Conv1D" else weight.shape[1])


def _heads_of(model: nn.Module, name: str) -> int:
    """The number of heads, from the nearest module above the projection that says it, or from its configuration."""
    parents = name.split(".")[:-1]
    for depth in range(len(parents), -1, -1):
        module: Any = model.get_submodule(".".join(parents[:depth]))
        for place in (module, getattr(module, "config", None)):
            for attribute in HEADS:
                number = getattr(place, attribute, None)
                if isinstance(number, int) and number > 0:
                    return number
    raise InputError(f"How many heads {name} has is said neither by its module nor by a configuration. Say `heads`.")


def _no_match(model: nn.Module, pattern: str, wrong: list[str]) -> str:
    named = [
        name
        for name, module in model.named_modules()
        if _is_projection(module) and re.search(r"att", name.rpartition(".")[0], re.IGNORECASE)
    ]
    offered = f" Projections inside its attention: {', '.join(named[:6])}…" if named else ""
    if wrong:
        return f"{pattern!r} also matches {wrong[0]}, which is no projection. Make the pattern narrower.{offered}"
    return f"No module's name matches {pattern!r}.{offered}"
