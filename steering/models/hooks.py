"""Hooks on the attention of both stacks: read head outputs, scale heads, read attention weights.

Context managers: every hook attaches on entry and detaches on exit, all or none, also after an error. A head's
output is the input of `o_proj`, before the output projection mixes the heads. Works under every attention
implementation and with adapters attached. Cost: reading is free of copies; nothing is detached from the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from steering.models.sites import attention_name, head_shape, projection_name
from steering.types import STACKS

Site = tuple[str, int]


@contextmanager
def head_outputs(model: nn.Module) -> Iterator[dict[Site, torch.Tensor]]:
    """Collect the head outputs of each later forward pass of a PI0ForConditionalGeneration.

    Yields a dictionary that fills as the model runs: (stack, layer) -> [batch, token, head, dim], of the latest
    pass through that layer. The tensors belong to the autograd graph; clone or detach what you keep.
    """
    shape = head_shape(model.config)
    outputs: dict[Site, torch.Tensor] = {}

    def reader(site: Site) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def read(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            outputs[site] = args[0].unflatten(-1, (shape.heads, shape.head_dim))

        return read

    with ExitStack() as hooks:
        for stack in STACKS:
            for layer in range(shape.layers):
                projection = model.get_submodule(projection_name(stack, layer, "o_proj"))
                hooks.callback(projection.register_forward_pre_hook(reader((stack, layer))).remove)
        yield outputs


@contextmanager
def scaled_heads(model: nn.Module, gains: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Multiply head outputs by `gains` while the context is open; 0 removes a head, 1 leaves it as it is.

    `gains`: stack -> [layer, head], any stacks; a tensor that requires a gradient receives one.
    """
    shape = head_shape(model.config)

    def scaler(gain: torch.Tensor) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], tuple[torch.Tensor]]:
        def scale(module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
            heads = args[0].unflatten(-1, (shape.heads, shape.head_dim))
            return ((heads * gain[:, None].to(heads)).flatten(-2),)

        return scale

    with ExitStack() as hooks:
        for stack, gain in gains.items():
            for layer in range(shape.layers):
                projection = model.get_submodule(projection_name(stack, layer, "o_proj"))
                hooks.callback(projection.register_forward_pre_hook(scaler(gain[layer])).remove)
        yield


@contextmanager
def attention_rows(
    model: Any, choose: Mapping[str, Callable[[torch.Tensor], torch.Tensor]]
) -> Iterator[dict[Site, torch.Tensor]]:
    """Collect rows of attention weights: the model runs in eager attention while the context is open.

    `choose`: stack -> a function of the weights [batch, head, query, key] that returns what to keep of them, so
    that memory stays small. Yields (stack, layer) -> what `choose` returned, of the latest pass.
    """
    shape = head_shape(model.config)
    rows: dict[Site, torch.Tensor] = {}

    def reader(site: Site) -> Callable[[nn.Module, tuple[Any, ...], tuple[Any, ...]], None]:
        def read(module: nn.Module, args: tuple[Any, ...], output: tuple[Any, ...]) -> None:
            rows[site] = choose[site[0]](output[1])

        return read

    before = model.config._attn_implementation
    with ExitStack() as undo:
        undo.callback(model.set_attn_implementation, before)
        model.set_attn_implementation("eager")
        for stack in choose:
            for layer in range(shape.layers):
                attention = model.get_submodule(attention_name(stack, layer))
                undo.callback(attention.register_forward_hook(reader((stack, layer))).remove)
        yield rows
