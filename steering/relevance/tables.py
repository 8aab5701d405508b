"""A relevance as plain numbers: one JSON document, and one table row a head. Instant."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from steering.types import STACKS, Head, Relevance


def document(relevance: Relevance) -> dict[str, Any]:
    """JSON-able: per stack, head and k the error, the scores, and what they are measured against.

    `error` is stack -> k -> [layer][head] (k is `-` for metrics without neighbours), `score`, `gain`, `gripper` and
    `inert` are stack -> [layer][head], `dimension_r2` is dimension -> stack -> [layer][head]. What the relevance does
    not hold is null. A stack that was not captured is inert throughout.
    """
    ks = [str(k) for k in relevance.ks] or ["-"]
    dimensions: Any = relevance.dimension_r2 if relevance.dimension_r2 is not None else ()
    return {
        "metric": relevance.metric,
        "preset": relevance.preset,
        "target": relevance.target,
        "phase": relevance.phase,
        "tokens": dict(zip(STACKS, relevance.tokens, strict=True)),
        "ks": list(relevance.ks),
        "best_k_of": dict(relevance.best_k),
        "cv_mse_of": dict(relevance.cv_mse),
        "fold_k": {stack: list(ks_of) for stack, ks_of in relevance.fold_k.items()},
        "baselines": dict(relevance.baselines),
        "error": {
            stack: {k: relevance.error[i, s].astype(float).tolist() for i, k in enumerate(ks)}
            for s, stack in enumerate(STACKS)
        },
        "score": _by_stack(relevance.score),
        "gain": _by_stack(relevance.gain),
        "gripper": _by_stack(relevance.gripper),
        "dimension_r2": {name: _by_stack(r2) for name, r2 in zip(relevance.dimension_names, dimensions, strict=True)},
        "inert": {stack: relevance.inert[s].tolist() for s, stack in enumerate(STACKS)},
    }


def rows(relevance: Relevance, selected: Collection[Head] = ()) -> list[list[Any]]:
    """A header and one row a head, in the order stack, layer, head, for CSV."""
    errors = [f"error_k{k}" for k in relevance.ks] or ["error"]
    extra = {"gain": relevance.gain, "gripper": relevance.gripper}
    held = {name: value for name, value in extra.items() if value is not None}
    r2 = [f"r2_{name}" for name in relevance.dimension_names]
    table: list[list[Any]] = [["stack", "layer", "head", "inert", "selected", "score", *held, *errors, *r2]]
    for place in np.ndindex(relevance.score.shape):
        head = Head(STACKS[place[0]], place[1], place[2])
        numbers = [relevance.score[place], *(value[place] for value in held.values()), *relevance.error[:, *place]]
        if relevance.dimension_r2 is not None:
            numbers += [*relevance.dimension_r2[:, *place]]
        flags = [int(relevance.inert[place]), int(head in selected)]
        table.append([head.stack, head.layer, head.head, *flags, *(f"{float(number):.7g}" for number in numbers)])
    return table


def _by_stack(values: np.ndarray | None) -> dict[str, Any] | None:
    return None if values is None else {stack: values[s].astype(float).tolist() for s, stack in enumerate(STACKS)}
