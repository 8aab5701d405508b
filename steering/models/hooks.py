"""Hooks on the attention of every stack: read, rewrite and scale head outputs, read attention weights.

Context managers: every hook attaches on entry and detaches on exit, all or none, also after an error. A head's output
is the input of its output projection (`steering.models.sites`), before that mixes the heads. Works under every
attention implementation and with adapters attached. Cost: reading is free of copies; nothing is detached from the
graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from steering.errors import InputError
from steering.models.sites import HeadLayout, check_heads, layout_of
from steering.types import Head, HeadShape, Surgery

Site = tuple[str, int]
Rewrite = Callable[[torch.Tensor], torch.Tensor]


@contextmanager
def head_outputs(model: nn.Module, choose: Mapping[str, Rewrite] | None = None) -> Iterator[dict[Site, torch.Tensor]]:
    """Collect the head outputs of each later forward pass of a policy's model.

    Yields a dictionary that fills as the model runs: (stack, layer) -> [batch, token, head, dim], of the latest
    pass through that layer. The tensors belong to the autograd graph; clone or detach what you keep.
    `choose`: stack -> a function of those tensors whose result is kept in their place, so that memory stays small;
    stacks that it does not name are not read.
    """
    layout = layout_of(model)
    outputs: dict[Site, torch.Tensor] = {}
    choose = dict.fromkeys(layout.shape.names, lambda outputs: outputs) if choose is None else choose

    def reader(site: Site) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def read(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            outputs[site] = choose[site[0]](_by_head(layout, site, args[0]))

        return read

    with ExitStack() as hooks:
        for site in layout.places:
            if site[0] in choose:
                projection = output_projection(model, layout, site)
                hooks.callback(projection.register_forward_pre_hook(reader(site)).remove)
        yield outputs


@contextmanager
def rewritten_heads(model: nn.Module, rewrites: Mapping[Site, Rewrite]) -> Iterator[None]:
    """Replace the head outputs of some layers by what `rewrites` make of them, in every pass of an open context.

    `rewrites`: (stack, layer) -> a function of [batch, token, head, dim] that returns the same shape.
    """
    layout = layout_of(model)

    def rewriter(site: Site, rewrite: Rewrite) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], tuple[torch.Tensor]]:
        def apply(module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
            return (rewrite(_by_head(layout, site, args[0])).flatten(-2),)

        return apply

    with ExitStack() as hooks:
        for site, rewrite in rewrites.items():
            projection = output_projection(model, layout, site)
            hooks.callback(projection.register_forward_pre_hook(rewriter(site, rewrite)).remove)
        yield


@contextmanager
def scaled_heads(model: nn.Module, gains: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Multiply head outputs by `gains` while the context is open; 0 removes a head, 1 leaves it as it is.

    `gains`: stack -> [layer, head], any stacks; a tensor that requires a gradient receives one.
    """

    def scaler(gain: torch.Tensor) -> Rewrite:
        return lambda heads: heads * gain[:, None].to(heads)

    sites = {(stack, layer): scaler(row) for stack, gain in gains.items() for layer, row in enumerate(gain)}
    with rewritten_heads(model, sites):
        yield


@contextmanager
def switched_heads(model: Any, gains: Mapping[Head, float]) -> Iterator[None]:
    """Multiply the outputs of single heads, by name, while the context is open: 0 switches a head off, 1 does nothing.

    Layers without a named head are not touched, so without heads (or with gains of 1) the policy acts as ever, to the
    bit. Raises InputError for heads that the model does not have and gains that are not finite.
    """
    shape = layout_of(model).shape
    tables: dict[Site, torch.Tensor] = {}
    if gains:
        check_heads(tuple(gains), shape)
    for head, gain in gains.items():
        if not math.isfinite(gain):
            raise InputError(f"Expected a finite gain for {head.label()}, 0 to switch it off; got {gain}.")
        tables.setdefault((head.stack, head.layer), torch.ones(shape[head.stack].heads))[head.head] = gain
    rewrites: dict[Site, Rewrite] = {
        site: lambda heads, table=table: heads * table[:, None].to(heads)  # type: ignore[misc]
        for site, table in tables.items()
    }
    with rewritten_heads(model, rewrites):
        yield


@contextmanager
def operated_heads(model: Any, surgery: Surgery, rows: Sequence[bool]) -> Iterator[None]:
    """Do what a Surgery says in those `rows` of a batch while the context is open; the other rows keep their bytes.

    Raises InputError for heads that the model does not have, and for a control that lacks heads of a changed layer.
    """
    shape = layout_of(model).shape
    check_surgery(surgery, shape)
    there = torch.tensor(rows)[:, None, None, None]
    with rewritten_heads(model, {site: _operation(surgery, site, shape, there) for site in _layers(surgery.heads)}):
        yield


def check_surgery(surgery: Surgery, shape: HeadShape) -> None:
    """Raises InputError, in words, where a Surgery does not fit a policy's heads."""
    check_heads(surgery.heads, shape)
    if surgery.instead:
        check_heads(surgery.instead, shape)
    if not math.isfinite(surgery.factor):
        raise InputError(f"Expected a finite factor, 0 to silence heads; got {surgery.factor}.")
    if surgery.instead and _layers(surgery.instead).keys() != _layers(surgery.heads).keys():
        raise InputError("Expected other heads of every layer that is changed for a control. Leave the control out.")


def _layers(heads: Sequence[Head]) -> dict[Site, list[int]]:
    """Site -> its heads among these."""
    found: dict[Site, list[int]] = {}
    for head in heads:
        found.setdefault((head.stack, head.layer), []).append(head.head)
    return found


def _operation(surgery: Surgery, site: Site, shape: HeadShape, there: torch.Tensor) -> Rewrite:
    """The surgery in one layer. there: bool [row, 1, 1, 1]."""
    own = _layers(surgery.heads)[site]
    scaled = _layers(surgery.instead)[site] if surgery.instead else own
    chosen = torch.zeros(shape[site[0]].heads, 1, dtype=torch.bool)
    chosen[scaled] = True
    touched = there & chosen  # [row, 1, head, 1]

    def operate(outputs: torch.Tensor) -> torch.Tensor:
        factor: torch.Tensor | float = surgery.factor
        if surgery.instead:
            wanted, theirs = (outputs[:, :, heads].float().flatten(2).norm(dim=2) for heads in (own, scaled))
            ratio = torch.where(theirs > 0, wanted / theirs, torch.zeros_like(theirs))  # [row, token]
            factor = (1 + (surgery.factor - 1) * ratio)[:, :, None, None].to(outputs)
        return torch.where(touched.to(outputs.device), outputs * factor, outputs)

    return operate


@contextmanager
def attention_rows(
    model: Any, choose: Mapping[str, Callable[[torch.Tensor], torch.Tensor]]
) -> Iterator[dict[Site, torch.Tensor]]:
    """Collect rows of attention weights: the model runs in eager attention while the context is open.

    `choose`: stack -> a function of the weights [batch, head, query, key] that returns what to keep of them, so
    that memory stays small. Yields (stack, layer) -> what `choose` returned, of the latest pass.
    """
    layout = layout_of(model)
    rows: dict[Site, torch.Tensor] = {}

    def reader(site: Site) -> Callable[[nn.Module, tuple[Any, ...], tuple[Any, ...]], None]:
        def read(module: nn.Module, args: tuple[Any, ...], output: tuple[Any, ...]) -> None:
            rows[site] = choose[site[0]](output[1])

        return read

    before = model.config._attn_implementation
    with ExitStack() as undo:
        undo.callback(model.set_attn_implementation, before)
        model.set_attn_implementation("eager")
        for site in layout.places:
            if site[0] in choose:
                stack, layer = site
                attention = model.get_submodule(layout[stack].name(layer, layout[stack].attention))
                undo.callback(attention.register_forward_hook(reader(site)).remove)
        yield rows


def output_projection(model: nn.Module, layout: HeadLayout, site: Site) -> nn.Module:
    """The module whose input are the heads of a layer side by side."""
    return model.get_submodule(layout.output(*site))


def _by_head(layout: HeadLayout, site: Site, outputs: torch.Tensor) -> torch.Tensor:
    stack = layout[site[0]].stack
    return outputs.unflatten(-1, (stack.heads, stack.head_dim))
