"""Attention for multi-query models on a CPU: all query heads of a key head in one matrix product.

Registered with transformers as `grouped_matmul`. PyTorch's flash kernel for CPUs is slow backwards at short
sequences: a training step of the embedded policy takes a third of the time with this one (bf16 autocast,
`tests/benchmarks`). The numbers are those of the eager implementation. Weights of `[batch, head, query, key]` are
held in memory, so it is meant for sequences of a few hundred tokens.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

GROUPED_MATMUL = "grouped_matmul"


def grouped_matmul_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """Attention of `query` [batch, head, query, dim] over `key`, `value` [batch, key head, key, dim].

    Returns ([batch, query, head, dim], None). `attention_mask` is additive. Dropout is not supported.
    """
    batch, heads, queries, dim = query.shape
    groups = key.shape[1]
    folded = query.reshape(batch, groups, heads // groups * queries, dim) * scaling
    scores = (folded @ key.transpose(-1, -2)).view(batch, heads, queries, -1)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(-1).view(batch, groups, heads // groups * queries, -1)
    output = (weights @ value).view(batch, heads, queries, dim)
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(GROUPED_MATMUL, grouped_matmul_attention)
AttentionMaskInterface.register(GROUPED_MATMUL, eager_mask)
