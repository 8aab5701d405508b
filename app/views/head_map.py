"""Data of the head map and the inspector: one entry per head, in the order stack, layer, head."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from steering.types import STACK_LABELS, STACKS, TOKEN_GROUPS, Attention, Head, HeadShape, Relevance

STACK_READS = {"vlm": "sees and reads", "expert": "makes the actions"}
ZERO = {"paper": ("Explained variance", "the mean action"), "default": ("Gain over state and time", "state and time")}
PLACES = {
    "exterior": "the exterior camera",
    "wrist": "the wrist camera",
    "instruction": "the instruction",
    "state": "the joint state",
    "actions": "the action tokens",
}
INERT = (
    "Inert: only the keys and values of a VLM layer reach the action expert, and behind the last layer nothing reads "
    "what this head writes. Training it could not move an action."
)


def head_map(
    key: str,
    version: int,
    relevance: Relevance,
    attention: Attention | None,
    selected: Collection[Head],
    cost: Mapping[str, Mapping[str, int]],
    rank: int,
) -> dict[str, Any]:
    """What static/head_map.js and static/inspector.js draw.

    key: names the relevance; version: changes whenever the server means to replace the page's selection.
    cost: stack -> {per_layer, per_head}, trainable parameters at rank 1 (see app.costs).
    """
    _, layers, heads = relevance.score.shape
    shape = HeadShape(layers, heads, 0)
    flat = relevance.score.reshape(-1)
    movable = ~relevance.inert
    ranks = np.zeros_like(relevance.score, dtype=int)
    for s in range(len(STACKS)):
        order = np.argsort(np.where(movable[s], -relevance.score[s], np.inf), axis=None, kind="stable")
        ranks[s].reshape(-1)[order] = np.arange(1, layers * heads + 1)
    everything = shape.all_heads()
    mass = None if attention is None else attention.mass.mean(axis=0).reshape(-1, len(TOKEN_GROUPS))
    best = int(np.argmax(np.where(movable.reshape(-1), flat, -np.inf)))
    return {
        "key": key,
        "version": version,
        "metric": ZERO[relevance.preset][0],
        "layers": layers,
        "heads": heads,
        "stacks": [_stack(s, relevance) for s in range(len(STACKS))],
        "score": [round(float(v), 4) for v in flat],
        "rank": ranks.reshape(-1).tolist(),
        "ranked": [int(movable[s].sum()) for s in range(len(STACKS))],
        "inert": relevance.inert.reshape(-1).tolist(),
        "names": [_capital(head.label()) for head in everything],
        "sentence": [sentence(relevance, head, None if mass is None else mass[i]) for i, head in enumerate(everything)],
        "mass": None if mass is None else np.round(mass, 4).tolist(),
        "groups": list(TOKEN_GROUPS),
        "selected": [i for i, head in enumerate(everything) if head in set(selected)],
        "focus": best,
        "cost": [dict(cost[stack]) for stack in STACKS],
        "rank_of_adapter": rank,
    }


def _stack(s: int, relevance: Relevance) -> dict[str, Any]:
    score = relevance.score[s][~relevance.inert[s]]
    return {
        "name": STACKS[s],
        "label": _capital(STACK_LABELS[STACKS[s]]),
        "reads": STACK_READS[STACKS[s]],
        "low": round(float(score.min()), 4),
        "high": round(float(score.max()), 4),
    }


def sentence(relevance: Relevance, head: Head, mass: np.ndarray | None) -> str:
    """One or two plain sentences about a head. mass: float [group], its mean attention, None where not computed."""
    at = (STACKS.index(head.stack), head.layer, head.head)
    if relevance.inert[at]:
        return INERT
    k = relevance.best_k.get(head.stack)
    error = float(relevance.error[relevance.ks.index(k) if k in relevance.ks else 0][at])
    explained = 1 - error / relevance.baselines["mean_action"]
    reference = 1 - relevance.baselines["state_time"] / relevance.baselines["mean_action"]
    looks = "" if mass is None else f"{_looks(mass)} "
    if explained <= 0:
        return f"{looks}Its output alone predicts the demonstrated action no better than the mean action does."
    if explained > reference + 0.02:
        against = f"more than joint state and time alone ({_percent(reference)})"
    elif explained < reference - 0.02:
        against = f"less than joint state and time alone ({_percent(reference)})"
    else:
        against = f"about as much as joint state and time alone ({_percent(reference)})"
    return f"{looks}Its output alone explains {_percent(explained)} of the action's variance, {against}."


def _looks(mass: np.ndarray) -> str:
    first, second = np.argsort(-mass)[:2]
    share = float(mass[first])
    place = PLACES[TOKEN_GROUPS[first]]
    if share >= 0.6:
        return f"Looks mostly at {place} ({_percent(share)})."
    other = f"{PLACES[TOKEN_GROUPS[second]]} {_percent(float(mass[second]))}"
    return f"Divides its attention: {place} {_percent(share)}, {other}."


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _percent(fraction: float) -> str:
    return f"{max(fraction, 0):.0%}".replace("%", " %")


def selection_of(indices: Collection[object], shape: HeadShape) -> tuple[Head, ...]:
    """The heads that the page names by flat index. Anything but known indices is left out: it comes from the client."""
    heads = shape.all_heads()
    known = sorted({i for i in indices if type(i) is int and 0 <= i < len(heads)})
    return tuple(heads[i] for i in known)
