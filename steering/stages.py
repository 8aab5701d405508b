"""Which rooms compute each kind of artefact, and the version of what they compute.

Every room states the version of its own results as RESULTS in its `__init__.py`, beside the code. Whoever changes what
a room computes raises it and makes the golden values again (`tests/golden`); a test fails where one moved without the
other. The rooms' `__init__.py` load nothing, so that the store can ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steering import (
    activations,
    attribution,
    comparison,
    demonstrations,
    finetune,
    models,
    relevance,
    rollout,
    selection,
    simulation,
)
from steering.metrics import WITH_POLICY

ROOMS = {
    "demonstrations": demonstrations,
    "simulation": simulation,
    "models": models,
    "activations": activations,
    "attribution": attribution,
    "relevance": relevance,
    "selection": selection,
    "finetune": finetune,
    "rollout": rollout,
    "comparison": comparison,
}
MADE_BY = {
    "demonstrations": ("demonstrations", "simulation"),
    "activations": ("models", "activations"),
    "attention": ("models", "activations"),
    "frame_attention": ("models", "activations"),
    "gain_sweep": ("models", "attribution"),
    "relevance": ("relevance",),
    "trust": ("relevance",),
    "neighbours": ("relevance",),
    "over_time": ("relevance",),
    "replication": ("relevance",),
    "selection": ("selection",),
    "adapter": ("models", "finetune"),
    "head_change": ("models", "activations", "relevance"),
    "rollouts": ("models", "simulation", "rollout"),
    "surgery": ("comparison",),
    "strength": ("models", "simulation", "rollout"),
    "open_loop": ("models", "rollout"),
    "comparison": ("comparison",),
    "open_loop_comparison": ("comparison",),
    "policy": ("models",),
    "policy_export": ("models", "finetune"),
}


def rooms_of(kind: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    """The rooms that compute an artefact of `kind` with these parameters; none for a kind that is not known here."""
    if kind == "relevance" and params.get("metric") in WITH_POLICY:
        return ("models", "attribution")
    if kind == "demonstrations" and params.get("by") == "policy":
        return (*MADE_BY[kind], "models", "rollout")
    return MADE_BY.get(kind, ())


def current(kind: str, params: Mapping[str, Any]) -> dict[str, int]:
    """Room -> the version of its results, of the rooms that compute an artefact."""
    return {name: ROOMS[name].RESULTS for name in rooms_of(kind, params)}


def lowest(*versions: Mapping[str, int]) -> dict[str, int]:
    """Room -> the lowest version among `versions`: what a result rests on is as old as its oldest part."""
    found: dict[str, int] = {}
    for one in versions:
        for name, version in one.items():
            found[name] = min(version, found.get(name, version))
    return dict(sorted(found.items()))


def old_words(made_by: Mapping[str, int]) -> str:
    """A sentence that names what an older version computed, and what to do; empty for a result of today.

    made_by: room -> version of its results that an artefact rests on.
    """
    moved = [
        f"{name} (version {version or 'unknown'}, now {ROOMS[name].RESULTS})"
        for name, version in made_by.items()
        if name in ROOMS and version < ROOMS[name].RESULTS
    ]
    if not moved:
        return ""
    return f"Made by an older version of this workbench: {', '.join(moved)}. Make it again for results of today."
