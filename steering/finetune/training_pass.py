"""A π0's training pass in less time and memory, to the same loss.

What transformers does, with fewer passes over memory, because on a CPU and at a few hundred tokens those, not the
matrix products, take most of a step. (1) Attention and norms have gradients of their own and keep less for them;
norms write the precision that the projections behind them read. (2) Of the VLM's last layer only keys and values are
computed, on every device: its queries, output projection and FFN reach no action (`sites.inert_heads`). The loss is
that of the plain pass to rounding; gradients too. Other families, and (1) on a GPU, stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm, apply_rotary_pos_emb

from steering.models.attention import GROUPED_MATMUL, grouped_matmul_attention
from steering.models.pi0 import PI0Policy
from steering.models.policy import SteerablePolicy

LEAN = "lean_matmul"


@contextmanager
def training_pass(policy: SteerablePolicy) -> Iterator[None]:
    """While the context is open the policy runs as the module says; afterwards as before."""
    if not isinstance(policy, PI0Policy):
        yield
        return
    model = policy.model
    implementation = model.config._attn_implementation
    with ExitStack() as undo:
        last = model.model.vlm.language_model.layers[-1]
        undo.callback(_patch(last, lambda *args, **kwargs: _keys_and_values(last, *args, **kwargs)))
        if implementation == GROUPED_MATMUL:
            undo.callback(model.set_attn_implementation, implementation)
            model.set_attn_implementation(LEAN)
            for stack in (model.model.vlm.language_model, model.model.dit):
                for norm in stack.modules():
                    if isinstance(norm, GemmaRMSNorm) and not norm.weight.requires_grad:
                        undo.callback(_patch(norm, lambda x, norm=norm: _Norm.apply(x, norm.weight, norm.eps)))
        yield


def _lean_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    if key.shape[1] != 1:  # several key heads
        return grouped_matmul_attention(module, query, key, value, attention_mask, scaling)
    dtype = _precision(query)
    own = (tensor.squeeze(1).to(dtype) for tensor in (key, value))
    return _Attention.apply((query * scaling).to(dtype), *own, attention_mask), None


class _Attention(torch.autograd.Function):
    """Attention of scaled query [row, head, query, dim] over key, value [row, key, dim] that all heads share.

    mask: additive. Returns [row, query, head, dim]. The scores' gradient comes from the output (FlashAttention, arXiv
    2205.14135, appendix B), so that the weights alone are kept, in the precision of the product.
    """

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, mask: Any) -> Any:
        rows, heads, queries, dim = query.shape
        scores = (query.reshape(rows, -1, dim) @ key.transpose(1, 2)).float()
        if mask is not None:
            scores.view(rows, heads, queries, -1).add_(mask)
        weights = scores.softmax(-1).to(query.dtype)
        output = weights @ value
        ctx.save_for_backward(query, key, value, weights, output)
        return output.view(rows, heads, queries, dim).transpose(1, 2).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        query, key, value, weights, output = ctx.saved_tensors
        rows, dim = len(query), query.shape[-1]
        gradient = gradients[0].to(query.dtype).transpose(1, 2).reshape(rows, -1, dim)
        of_scores = (gradient @ value.transpose(1, 2)).float()
        of_scores.sub_((gradient.float() * output).sum(-1, keepdim=True)).mul_(weights)
        of_scores = of_scores.to(query.dtype)
        of_query = (of_scores @ key).view_as(query)
        of_key = of_scores.transpose(1, 2) @ query.reshape(rows, -1, dim) if ctx.needs_input_grad[1] else None
        of_value = weights.transpose(1, 2) @ gradient if ctx.needs_input_grad[2] else None
        return of_query, of_key, of_value, None


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


def _keys_and_values(
    layer: Any, hidden_states: torch.Tensor, *, past_key_values: Any, position_embeddings: Any, **_: Any
) -> torch.Tensor:
    """A Gemma decoder layer as far as its keys and values; what enters goes through."""
    attention, entered = layer.self_attn, layer.input_layernorm(hidden_states)
    key, value = (
        projection(entered).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        for projection in (attention.k_proj, attention.v_proj)
    )
    key = apply_rotary_pos_emb(key, key[:, :0], *position_embeddings)[0]
    past_key_values.update(key, value, attention.layer_idx)
    return hidden_states


def _precision(x: torch.Tensor) -> torch.dtype:
    """What autocast computes products in, or that of `x` outside it."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _patch(module: nn.Module, forward: Callable[..., Any]) -> Callable[[], None]:
    """Give one module another forward; returns what undoes it."""
    module.forward = forward
    return lambda: delattr(module, "forward")


AttentionInterface.register(LEAN, _lean_attention)
AttentionMaskInterface.register(LEAN, eager_mask)
