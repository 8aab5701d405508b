"""Rules that ask which heads to train, not which to read: pure functions of scores [layer, head] of one stack. Instant.

In π0 a head of the VLM reaches the action only through keys and values of the layers above it, so how well a set trains
depends on where its heads lie as well as on what they say. `movable`, bool [layer, head], says which heads can move an
action at all; no rule takes another. Every rule returns (layer, head) pairs, sorted. Their comparison:
`python -m steering evidence screen`.
"""

from __future__ import annotations

import numpy as np

from steering.errors import InputError

Place = tuple[int, int]


def reach(movable: np.ndarray) -> np.ndarray:
    """Share of the action expert's layers that read what a head writes: float [layer, head] in [0, 1].

    Layer l of L writes to the residual stream that keys and values of the layers l + 1 to L − 1 read, one expert layer
    each: (L − 1 − l) / (L − 1), which is 0 in the last layer. Source: π0's architecture (arXiv 2410.24164, section IV).
    """
    layers, heads = movable.shape
    above = np.arange(layers - 1, -1, -1) / max(layers - 1, 1)
    return np.repeat(above[:, None], heads, 1)


def best(score: np.ndarray, movable: np.ndarray, count: int) -> tuple[Place, ...]:
    """The `count` heads of highest score; ties go to the lower layer and head."""
    _check(score, movable, count)
    order = np.argsort(-np.where(movable, score, -np.inf), axis=None, kind="stable")[:count]
    return _places(order, movable)


def worst(score: np.ndarray, movable: np.ndarray, count: int) -> tuple[Place, ...]:
    """The `count` heads of lowest score: what a rule by this score must beat."""
    return best(-score, movable, count)


def drawn(movable: np.ndarray, count: int, seed: int) -> tuple[Place, ...]:
    """`count` heads drawn from all that can move an action, whatever their layer: the chance that a rule must beat."""
    _check(np.zeros(movable.shape), movable, count)
    return _places(np.random.default_rng((seed, 71)).permutation(np.flatnonzero(movable))[:count], movable)


def by_reach(movable: np.ndarray, count: int, seed: int) -> tuple[Place, ...]:
    """Depth alone: the lowest layers first, heads within a layer drawn by `seed`; relevance is not asked."""
    return best(reach(movable) + 1e-6 * np.random.default_rng((seed, 73)).random(movable.shape), movable, count)


def by_reach_and_relevance(relevance: np.ndarray, movable: np.ndarray, count: int) -> tuple[Place, ...]:
    """The highest reach × relevance, below 0 taken as 0: what a head says, weighed by how much of it arrives."""
    return best(reach(movable) * np.clip(relevance, 0, None), movable, count)


def within_layers(score: np.ndarray, movable: np.ndarray, count: int) -> tuple[Place, ...]:
    """The best heads of each layer of the lower half, in turn from below; above it once that half is full.

    With 7 layers that can move an action the lower half is 4: four heads lie in four layers, eight two by two.
    """
    _check(score, movable, count)
    able = np.flatnonzero(movable.any(1))
    lower = set(able[: (len(able) + 1) // 2].tolist())
    place_in_layer = np.argsort(np.argsort(-np.where(movable, score, -np.inf), axis=1, kind="stable"), axis=1)
    layer = np.repeat(np.arange(len(movable))[:, None], movable.shape[1], 1)
    above = ~np.isin(layer, list(lower))
    order = np.lexsort((layer.ravel(), place_in_layer.ravel(), above.ravel(), ~movable.ravel()))
    return _places(order[:count], movable)


def with_spread(fall: np.ndarray, movable: np.ndarray, count: int) -> tuple[Place, ...]:
    """Greedily the head of the largest predicted fall of the loss, divided by 1 + the heads its layer has already.

    Heads of a layer write to the same place at once, so that the second adds less than its own prediction.
    fall: [layer, head], e.g. of `attribution.trainability.adam_fall`.
    """
    _check(fall, movable, count)
    chosen = np.zeros(movable.shape, bool)
    for _ in range(count):
        left = np.where(movable & ~chosen, fall / (1 + chosen.sum(1, keepdims=True)), -np.inf)
        chosen.flat[int(left.argmax())] = True
    return _places(np.flatnonzero(chosen), movable)


def _check(score: np.ndarray, movable: np.ndarray, count: int) -> None:
    if score.shape != movable.shape:
        raise InputError(f"Expected scores of the same heads, {movable.shape}, got {score.shape}.")
    if not 1 <= count <= movable.sum():
        raise InputError(f"Expected 1 to {movable.sum()} heads that can move an action; got {count}.")
    if not np.isfinite(score[movable]).all():
        raise InputError("Expected a finite score of every head that can move an action. Score the heads again.")


def _places(flat: np.ndarray, movable: np.ndarray) -> tuple[Place, ...]:
    return tuple(sorted((int(one) // movable.shape[1], int(one) % movable.shape[1]) for one in flat))
