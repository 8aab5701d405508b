"""A π0's training pass in less time and memory, to the same loss.

What transformers does, with fewer passes over memory, because on a CPU and at a few hundred tokens those, not the
matrix products, take most of a step. (1) Attention (with the rotation of its queries) and norms have gradients of their
own and keep less for them; scores stay in the processor's cache; norms write the precision that the projections behind
them read. (2) Of the VLM's last layer only keys and values are computed, on every device: its queries, output
projection and FFN reach no action (`HeadLayout.inert`). Loss and gradients are those of the plain pass to rounding.
Other families, and (1) on a GPU, stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from peft.helpers import disable_input_dtype_casting
from torch import nn
from transformers.models.gemma.modeling_gemma import GemmaAttention, GemmaRMSNorm, apply_rotary_pos_emb

from steering.models.attention import GROUPED_MATMUL
from steering.models.pi0 import PI0Policy
from steering.models.policy import SteerablePolicy

CACHE_ELEMENTS = 2**18
"""Scores at a time, a megabyte of them."""


@contextmanager
def training_pass(policy: SteerablePolicy) -> Iterator[None]:
    """While the context is open the policy runs as the module says; afterwards as before."""
    if not isinstance(policy, PI0Policy):
        yield
        return
    stacks = policy.model.model.vlm.language_model, policy.model.model.dit
    with ExitStack() as undo:
        last = stacks[0].layers[-1]
        undo.callback(_patch(last, partial(_keys_and_values, last)))
        if policy.model.config._attn_implementation == GROUPED_MATMUL:
            for module in (module for stack in stacks for module in stack.modules()):
                if isinstance(module, GemmaRMSNorm) and not module.weight.requires_grad:
                    undo.callback(_patch(module, partial(_normed, module)))
                elif isinstance(module, GemmaAttention) and module.config.num_key_value_heads == 1:
                    undo.callback(_patch(module, partial(_attended, module)))
            if policy.dtype == torch.float32:  # autocast casts an adapter's input once; PEFT would do so there and back
                undo.enter_context(disable_input_dtype_casting(policy.model))
        yield


def _normed(norm: Any, x: torch.Tensor) -> torch.Tensor:
    normed: torch.Tensor = _Norm.apply(x, norm.weight, norm.eps)
    return normed


def _attended(
    attention: Any,
    hidden_states: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    *,
    attention_mask: torch.Tensor | None,
    cache: Any,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """GemmaAttention with one key head."""
    query = attention.q_proj(hidden_states).unflatten(-1, (-1, attention.head_dim))
    key, value = _key_and_value(attention, hidden_states, position_embeddings, cache)
    dtype = _precision(query)
    key, value = key.squeeze(1).to(dtype), value.squeeze(1).to(dtype)
    output = _Attention.apply(query, key, value, attention_mask, *position_embeddings, attention.scaling)
    return attention.o_proj(output.flatten(2)), None


def _keys_and_values(
    layer: Any, hidden_states: torch.Tensor, *, cache: Any, position_embeddings: Any, **_: Any
) -> torch.Tensor:
    """A Gemma decoder layer as far as its keys and values; what enters goes through."""
    _key_and_value(layer.self_attn, layer.input_layernorm(hidden_states), position_embeddings, cache)
    return hidden_states


def _key_and_value(
    attention: Any, hidden_states: torch.Tensor, position_embeddings: tuple[torch.Tensor, torch.Tensor], cache: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotated keys, and values, [row, key head, token, dim], with those in the cache before them."""
    key, value = (
        projection(hidden_states).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        for projection in (attention.k_proj, attention.v_proj)
    )
    key = apply_rotary_pos_emb(key, key[:, :0], *position_embeddings)[0]
    return (key, value) if cache is None else cache.update(key, value, attention.layer_idx)


class _Attention(torch.autograd.Function):
    """Attention of query [row, query, head, dim] over key, value [row, key, dim] that all heads share.

    The query is rotated by cosines and sines [row, query, dim] (RoPE, halves) and scaled. mask: additive
    [row, 1, query, key]. Returns [row, query, head, dim]. Some rows at a time, so that scores stay in the processor's
    cache; of them the weights alone are kept, in the precision of the product, since the gradient of the scores can be
    had from the output (FlashAttention, arXiv 2205.14135, appendix B).
    """

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, mask: Any, cos: Any, sin: Any, scaling: float) -> Any:
        rows, queries, heads, dim = query.shape
        turned = key.transpose(1, 2)
        rotation = (cos.float() * scaling, sin.float() * scaling)
        folded = query.new_empty((rows, heads * queries, dim), dtype=key.dtype)
        weights, result = folded.new_empty((*folded.shape[:2], key.shape[1])), torch.empty_like(folded)
        output = folded.new_empty(query.shape)
        for part in _parts(weights):
            by_head = (-1, heads, queries, dim)
            folded[part].view(by_head).copy_(_rotated(query[part], *(turn[part] for turn in rotation)).transpose(1, 2))
            scores = (folded[part] @ turned[part]).float()
            if mask is not None:
                scores.unflatten(1, (heads, queries)).add_(mask.expand(rows, -1, -1, -1)[part])
            weights[part] = scores.softmax(-1)
            torch.bmm(weights[part], value[part], out=result[part])
            output[part] = result[part].view(by_head).transpose(1, 2)
        ctx.save_for_backward(folded, key, value, weights, output, *rotation)
        ctx.dtype = query.dtype
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        folded, key, value, weights, output, cos, sin = ctx.saved_tensors
        rows, queries, heads, dim = output.shape
        shared = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
        of_query = output.new_empty(output.shape, dtype=ctx.dtype)
        of_key, of_value = torch.empty_like(key), torch.empty_like(value)
        for part in _parts(weights):
            given = gradients[0][part]
            along = torch.linalg.vecdot(given.float(), output[part].float()).transpose(1, 2).flatten(1)
            gradient = given.to(key.dtype).transpose(1, 2).reshape(len(given), -1, dim)
            scores = (gradient @ value[part].transpose(1, 2)).float()
            scores = scores.sub_(along[..., None]).mul_(weights[part]).to(key.dtype)
            turned = (scores @ key[part]).view(-1, heads, queries, dim).transpose(1, 2)
            of_query[part] = _rotated(turned, cos[part], -sin[part])
            if shared:
                torch.bmm(scores.transpose(1, 2), folded[part], out=of_key[part])
                torch.bmm(weights[part].transpose(1, 2), gradient, out=of_value[part])
        return of_query, *((of_key, of_value) if shared else (None, None)), None, None, None, None


def _rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """RoPE of x [row, query, head, dim] by [row, query, dim], in single precision; its inverse has −sin."""
    half = x.shape[-1] // 2
    (low, high), cos, sin = x.float().split(half, -1), cos[..., None, :half], sin[..., None, :half]
    return torch.cat([low * cos - high * sin, high * cos + low * sin], -1)


def _parts(weights: torch.Tensor) -> list[slice]:
    """Slices of rows whose scores fit into the cache."""
    size = max(CACHE_ELEMENTS // weights[0].numel(), 1)
    return [slice(start, start + size) for start in range(0, len(weights), size)]


class _Norm(torch.autograd.Function):
    """Gemma's RMSNorm of x [..., dim] by a frozen weight: x / rms(x) · (1 + weight), in the products' precision."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, eps: float) -> Any:
        values = x.float()
        scale = (torch.linalg.vector_norm(values, dim=-1, keepdim=True).square() / x.shape[-1] + eps).rsqrt()
        ctx.save_for_backward(values, scale, weight)
        ctx.dtype = x.dtype
        return (values * scale).mul_(1 + weight.float()).to(_precision(x))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        values, scale, weight = ctx.saved_tensors
        gradient = gradients[0] * (1 + weight.float())
        along = torch.linalg.vecdot(gradient, values, dim=-1)[..., None] * scale.pow(3) / values.shape[-1]
        return gradient.mul_(scale).addcmul_(values, along, value=-1).to(ctx.dtype), None, None


def _precision(x: torch.Tensor) -> torch.dtype:
    """What autocast computes products in, or that of `x` outside it."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _patch(module: nn.Module, forward: Callable[..., Any]) -> Callable[[], None]:
    """Give one module another forward; returns what undoes it."""
    module.forward = forward
    return lambda: delattr(module, "forward")
