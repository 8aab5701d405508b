"""Where a stored set of heads comes from, read from the manifests of what it was made of. Milliseconds.

A set by a rule needs no record of its own: its manifest names rule, relevance and day. Sets that came from elsewhere
(a file, another task's set on the page) carry their origin with them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from steering import hub
from steering.errors import NotFound, SteeringError
from steering.manifest import Manifest
from steering.pipeline.making import load
from steering.store import Store
from steering.types import Demonstrations, Origin, Relevance, Selection, origin_of_word
from steering.types.origin import RULE_WORDS

OPERATIONS = ("shared", "union", "difference")
Load = Callable[[str], Any]


def selection_of(store: Store, selection_id: str) -> Selection:
    """A stored selection with its origin."""
    selection: Selection = load(store, selection_id, Selection)
    return dataclasses.replace(selection, origin=origin_of(store, selection_id))


def origin_of(store: Store, artefact_id: str, read: Load | None = None) -> Origin | None:
    """Where the heads of a selection, or of an adapter, come from; None where that is not known.

    read: loads an artefact by id, where the caller keeps them in memory.
    """
    try:
        manifest = store.manifest(artefact_id)
    except NotFound:
        return None
    if manifest.kind != "selection":
        chosen = next((parent for parent in manifest.parents if parent.startswith("selection-")), None)
        return origin_of(store, chosen, read) if chosen else None
    if manifest.params.get("origin"):
        return origin_of_word(str(manifest.params["origin"]))
    if manifest.params.get("operation") in OPERATIONS:
        return _combined(store, manifest, read or store.load)
    rule = str(manifest.params.get("rule"))
    if rule == "file" or rule not in RULE_WORDS or not manifest.parents:
        return None
    return scored_on(store, manifest.parents[rule == "other_task"], rule, manifest.created[:10], read)


def scored_on(store: Store, relevance_id: str, rule: str, date: str, read: Load | None = None) -> Origin:
    """The origin of a set that `rule` chooses by a stored relevance on the day `date`."""
    read = read or store.load
    origin = Origin(rule, date=date)
    try:
        manifest, value = store.manifest(relevance_id), read(relevance_id)
    except SteeringError:
        return origin  # the scores are not here any more
    if isinstance(value, Relevance):
        target = str(manifest.params.get("target", "action"))
        origin = dataclasses.replace(origin, metric=value.metric, preset=value.preset, target=target, phase=value.phase)
    found = next((one for one in manifest.parents if one.startswith("demonstrations-")), "")
    return dataclasses.replace(
        origin, demonstrations=found, name=name_of(store, found, read), policy=_policy_of(store, manifest)
    )


def name_of(store: Store, demonstrations_id: str, read: Load | None = None) -> str:
    """What people call a set of demonstrations: its task or its name; empty where it is not in the store."""
    if not demonstrations_id:
        return ""
    try:
        value = (read or store.load)(demonstrations_id)
        if isinstance(value, Demonstrations):
            return value.task or value.name
        return str(store.manifest(demonstrations_id).params.get("task", ""))
    except SteeringError:
        return ""


def policy_name(source: str) -> str:
    """A policy as an origin names it, with no path of this machine: `embedded`, a hub id, or the folder's name."""
    return hub.shown(source) if hub.named(source) is not None else Path(source).name


def _policy_of(store: Store, manifest: Manifest) -> str:
    """The policy that a relevance was measured on; empty where that is not in the store any more."""
    source = manifest.params.get("policy")
    for parent in manifest.parents:
        if source is None and parent.startswith("activations-"):
            with suppress(NotFound):
                source = store.manifest(parent).params.get("policy")
    return policy_name(str(source)) if source else ""


def _combined(store: Store, manifest: Manifest, read: Load) -> Origin:
    """Of several sets: what they agree in, and the names of all their demonstrations."""
    parts = [found for one in manifest.parents if (found := origin_of(store, one, read))]
    joined = {
        name: values.pop() if len(values := {getattr(one, name) for one in parts}) == 1 else ""
        for name in ("metric", "preset", "target", "phase", "demonstrations", "policy")
    }
    names = dict.fromkeys(one.name for one in parts if one.name)
    return Origin(manifest.params["operation"], **joined, name=" and ".join(names), date=manifest.created[:10])
