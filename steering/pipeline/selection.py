"""Sets of heads, by rule or by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from steering.errors import unknown_name
from steering.pipeline.making import load, made
from steering.progress import Progress
from steering.store import Store
from steering.types import PAPER_SET_SIZE, Head, HeadShape, Relevance

RULES = ("top_k", "bottom", "random", "manual")


def select(
    store: Store,
    *,
    relevance_id: str,
    rule: str = "top_k",
    count: int = PAPER_SET_SIZE,
    stacks: Sequence[str] = ("vlm",),
    heads: Sequence[Sequence[Any]] | None = None,
    seed: int = 0,
    progress: Progress = Progress(),
) -> str:
    """Choose heads by a rule of RULES.

    `random` draws as many heads per layer as the best `count` have there, by `seed`. `manual` takes `heads`, rows of
    (stack, layer, head).
    """
    from steering.selection import controls, rules

    if rule not in RULES:
        raise unknown_name("selection rule", rule, RULES)
    relevance = load(store, relevance_id, Relevance)
    shape = HeadShape(relevance.score.shape[1], relevance.score.shape[2], head_dim=1)
    stacks = tuple(stacks)
    params: dict[str, Any] = {"rule": rule, "count": count, "stacks": stacks}
    if rule == "manual":
        chosen = tuple(_head(row) for row in heads or ())
        params = {"rule": rule, "heads": sorted(dataclasses.astuple(head) for head in chosen)}
        selection = rules.manual(chosen, shape, relevance.inert)
    elif rule == "bottom":
        selection = controls.bottom(relevance, count, stacks)
    else:
        selection = rules.top_k(relevance, count, stacks)
        if rule == "random":
            params["seed"] = seed
            selection = controls.random_heads(selection, shape, seed, relevance.inert)
    progress.report(1.0, f"Selected {len(selection.heads)} heads")
    return made(store, "selection", (relevance_id,), params, lambda: selection)


def _head(row: Sequence[Any]) -> Head:
    stack, layer, head = row
    return Head(str(stack), int(layer), int(head))
