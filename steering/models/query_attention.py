"""Attention weights of chosen query tokens, from every head of both stacks in one pass of the policy.

Only the chosen rows leave the hooks, so memory stays at one layer's weights of one batch. The expert's pass is at
t = 1, from the noise that is given.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from steering.models.hooks import Rewrite, attention_rows
from steering.models.policy import SteerablePolicy
from steering.models.tokens import Tokens
from steering.types import STACKS


def query_attention(
    policy: SteerablePolicy, batch: dict[str, torch.Tensor], noise: torch.Tensor, queries: Mapping[str, Tokens]
) -> dict[str, torch.Tensor]:
    """Stack -> weights float32 [frame, layer, head, key] of the query tokens in `queries`, mean over several.

    Keys of the VLM are its own tokens; those of the expert the VLM's tokens, then its own. `noise`: [1, step, dim].
    """
    frames = len(batch["state"])

    def chosen(tokens: Tokens) -> Rewrite:
        return lambda weights: tokens.read(weights.transpose(1, 2)).float()  # [frame, query, head, key] -> one query

    with torch.inference_mode(), attention_rows(policy.model, {s: chosen(queries[s]) for s in STACKS}) as rows:
        time = torch.ones(frames, device=policy.device)
        policy.velocity(batch, policy.prefix(batch), noise.expand(frames, -1, -1), time)
    layers = range(policy.head_shape.layers)
    return {stack: torch.stack([rows[stack, layer] for layer in layers], dim=1) for stack in STACKS}
