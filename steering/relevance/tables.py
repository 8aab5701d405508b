"""A relevance as plain numbers: one JSON document, and one table row a head. Instant."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from steering.types import Head, HeadShape, Relevance, Trust

TRUSTED = ("score_low", "score_high", "rank_low", "rank_high", "chosen_share", "p")
"""Fields of a Trust that stand beside the scores: 95 % intervals, share of resampled best sets, family-wise p."""


def document(relevance: Relevance, trust: Trust | None = None) -> dict[str, Any]:
    """JSON-able: per stack, head and k the error, the scores, and what they are measured against.

    `error` is stack -> k -> [layer][head] (k is `-` for metrics without neighbours, and there is none for those that
    predict nothing), `score`, `gain`, `gripper` and `inert` are stack -> [layer][head], `dimension_r2` is dimension ->
    stack -> [layer][head]. What the relevance does not hold is null. trust: of the same relevance; `trust` is its
    fields TRUSTED by stack, null without one.
    """
    stacks, ks = relevance.shape, [str(k) for k in relevance.ks] or ["-"] * len(relevance.error)
    dimensions: Any = relevance.dimension_r2 if relevance.dimension_r2 is not None else ()
    return {
        "metric": relevance.metric,
        "preset": relevance.preset,
        "target": relevance.target,
        "phase": relevance.phase,
        "tokens": dict(zip(stacks.names, relevance.tokens, strict=True)),
        "ks": list(relevance.ks),
        "best_k_of": dict(relevance.best_k),
        "cv_mse_of": dict(relevance.cv_mse),
        "fold_k": {stack: list(ks_of) for stack, ks_of in relevance.fold_k.items()},
        "baselines": dict(relevance.baselines),
        "error": {
            stack: {k: _by_stack(relevance.error[i], stacks)[stack] for i, k in enumerate(ks)} for stack in stacks.names
        },
        "score": _by_stack(relevance.score, stacks),
        "rank": _by_stack(_ranks(relevance), stacks),
        "trust": None if trust is None else {name: _by_stack(getattr(trust, name), stacks) for name in TRUSTED},
        "gain": None if relevance.gain is None else _by_stack(relevance.gain, stacks),
        "gripper": None if relevance.gripper is None else _by_stack(relevance.gripper, stacks),
        "dimension_r2": {
            name: _by_stack(r2, stacks) for name, r2 in zip(relevance.dimension_names, dimensions, strict=True)
        },
        "inert": {name: [[bool(v) for v in row] for row in values] for name, values in _cells(relevance.inert, stacks)},
    }


def rows(relevance: Relevance, selected: Collection[Head] = (), trust: Trust | None = None) -> list[list[Any]]:
    """A header and one row a head, in the order stack, layer, head, for CSV. trust: of the same relevance.

    rank: 1 is the best of its stack; inert heads have none.
    """
    errors = [f"error_k{k}" for k in relevance.ks] or ["error"] * len(relevance.error)
    extra = {"rank": _ranks(relevance), "gain": relevance.gain, "gripper": relevance.gripper}
    extra |= {name: getattr(trust, name) for name in TRUSTED} if trust is not None else {}
    held = {name: value for name, value in extra.items() if value is not None}
    r2 = [f"r2_{name}" for name in relevance.dimension_names]
    shape = relevance.shape
    table: list[list[Any]] = [["stack", "layer", "head", "inert", "selected", "score", *held, *errors, *r2]]
    for head in shape.all_heads():
        place = shape.place(head)
        numbers = [relevance.score[place], *(value[place] for value in held.values()), *relevance.error[:, *place]]
        if relevance.dimension_r2 is not None:
            numbers += [*relevance.dimension_r2[:, *place]]
        flags = [int(relevance.inert[place]), int(head in selected)]
        table.append(
            [head.stack, head.layer, head.head, *flags, *(f"{float(n):.7g}" if np.isfinite(n) else "" for n in numbers)]
        )
    return table


def _ranks(relevance: Relevance) -> np.ndarray:
    """float [stack, layer, head]: rank by score in the stack, 1 the best; NaN for heads that cannot move an action."""
    ranks = np.full(relevance.score.shape, np.nan)
    for s in range(len(ranks)):
        movable = ~relevance.inert[s]
        order = np.argsort(-relevance.score[s][movable], kind="stable")
        of_movable = np.empty(len(order))
        of_movable[order] = np.arange(1, len(order) + 1)
        ranks[s][movable] = of_movable
    return ranks


def _by_stack(values: np.ndarray, shape: HeadShape) -> dict[str, Any]:
    """stack -> [layer][head]; null for what is not finite, which JSON does not know."""
    return {
        name: [[float(v) if np.isfinite(v) else None for v in row] for row in of_stack]
        for name, of_stack in _cells(values, shape)
    }


def _cells(values: np.ndarray, shape: HeadShape) -> Iterator[tuple[str, np.ndarray]]:
    """Each stack's name and its own part of [stack, layer, head]."""
    for s, one in enumerate(shape.stacks):
        yield one.name, values[s, : one.layers, : one.heads]
