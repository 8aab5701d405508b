"""Attention weights of chosen query tokens, from every head of every stack in one pass of the policy.

Only the chosen rows leave the hooks, so memory stays at one layer's weights of one batch. The pass over actions is at
t = 1, from the noise that is given.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from steering.models.hooks import Rewrite, attention_rows
from steering.models.policy import SteerablePolicy
from steering.models.sites import ACTIONS
from steering.models.tokens import Tokens
from steering.types import HeadShape


def query_attention(
    policy: SteerablePolicy, batch: dict[str, torch.Tensor], noise: torch.Tensor, queries: Mapping[str, Tokens]
) -> dict[str, torch.Tensor]:
    """Stack -> weights float32 [frame, layer, head, key] of the query tokens in `queries`, mean over several.

    Keys of a stack on the prompt are the prompt's tokens; of one on the actions the prompt's tokens, then its own.
    `noise`: [1, step, dim].
    """
    frames = len(batch["state"])

    def chosen(tokens: Tokens) -> Rewrite:
        return lambda weights: tokens.read(weights.transpose(1, 2)).float()  # [frame, query, head, key] -> one query

    with (
        torch.inference_mode(),
        attention_rows(policy.model, {s: chosen(tokens) for s, tokens in queries.items()}) as rows,
    ):
        time = torch.ones(frames, device=policy.device)
        cache = policy.prefix(batch)
        if policy.layout.on(ACTIONS):
            policy.velocity(batch, cache, noise.expand(frames, -1, -1), time)
    return {
        one.name: torch.stack([rows[one.name, layer] for layer in range(one.layers)], dim=1)
        for one in policy.head_shape.stacks
    }


def on_grid(shape: HeadShape, of_stack: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Tensors [frame, layer, head, ...] of each stack as one [frame, stack, layer, head, ...], 0 where no head is."""
    first = next(iter(of_stack.values()))
    result = first.new_zeros(len(first), *shape.grid, *first.shape[3:])
    for s, one in enumerate(shape.stacks):
        result[:, s, : one.layers, : one.heads] = of_stack[one.name]
    return result
