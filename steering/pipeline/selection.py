"""Sets of heads: by a rule, as a control, by hand, from a file, and from other sets; and what a set is worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from steering.errors import InputError, unknown_name
from steering.manifest import plain_params
from steering.pipeline.finetuning import trainable_parameters
from steering.pipeline.making import load, made
from steering.pipeline.questions import conditioner_of, frames_of, question_of
from steering.pipeline.relevance import trust
from steering.progress import Progress
from steering.store import Store
from steering.types import (
    PAPER_SET_SIZE,
    Activations,
    Demonstrations,
    FinetuneSettings,
    Head,
    Overlap,
    Relevance,
    Selection,
    SetError,
    Trust,
    origin_of_word,
    origin_word,
)

if TYPE_CHECKING:
    from steering.relevance.sets import Judge

RULES: Mapping[str, str] = {
    "top_k": "the best heads",
    "above_null": "every head better than chance",
    "budget": "as many of the best heads as fit in a number of trainable parameters",
    "greedy": "one head after the other, each time the one that helps the set most",
    "manual": "by hand",
    "random": "control: random heads in the layers of the best",
    "bottom": "control: the worst heads",
    "other_task": "control: the best heads of another task",
}


def select(
    store: Store,
    *,
    relevance_id: str,
    rule: str = "top_k",
    count: int = PAPER_SET_SIZE,
    stacks: Sequence[str] | None = None,
    heads: Sequence[Sequence[Any]] | None = None,
    seed: int = 0,
    alpha: float = 0.05,
    trust_id: str | None = None,
    parameters: int | None = None,
    settings: FinetuneSettings | Mapping[str, Any] | None = None,
    policy: str = "embedded",
    other_id: str | None = None,
    name: str = "",
    origin: str = "",
    progress: Progress = Progress(),
) -> str:
    """Choose heads by a rule of RULES.

    `random` draws as many heads per layer as the best `count` have there, by `seed`. `manual` takes `heads`, rows of
    (stack, layer, head). `above_null` takes heads with a family-wise p below `alpha` by the Trust `trust_id`, which is
    made where it is not given. `budget` fits heads into `parameters` that train under `settings` on `policy`.
    `other_task` takes the best of the relevance `other_id`; the rule calls it `name`, by default its task.
    origin: where heads of `manual` come from, where that is not this relevance, as `types.origin_word` writes it.
    """
    from steering.selection import controls, rules

    if rule not in RULES:
        raise unknown_name("selection rule", rule, RULES)
    relevance: Relevance = load(store, relevance_id, Relevance)
    shape, stacks = relevance.shape, rules.chosen_stacks(relevance, stacks)
    parents, params = [relevance_id], {"rule": rule, "count": count, "stacks": stacks}
    if rule == "manual":
        chosen = tuple(_head(row) for row in heads or ())
        params = {"rule": rule, "heads": sorted(dataclasses.astuple(head) for head in chosen)}
        params |= {"origin": origin} if origin else {}
        if found := _chosen_before(store, parents, params):
            return found
        selection = rules.manual(chosen, shape, relevance.inert)
        selection = dataclasses.replace(selection, origin=origin_of_word(origin))
    elif rule == "above_null":
        trust_id = trust_id or trust(store, relevance_id=relevance_id, seed=seed, progress=progress.part(0, 0.9))
        if relevance_id not in store.manifest(trust_id).parents:
            raise InputError(f"{trust_id} is of another relevance than {relevance_id}. Leave it out to have it made.")
        parents, params = [relevance_id, trust_id], {"rule": rule, "alpha": alpha, "stacks": stacks}
        selection = rules.above_null(relevance, load(store, trust_id, Trust).p, alpha, stacks)
    elif rule == "budget":
        if parameters is None:
            raise InputError("A budget needs a number of trainable parameters. Say how many may train.")
        options: dict[str, Any] = {"settings": settings, "policy": policy}

        def counted(candidates: tuple[Head, ...]) -> int:
            return sum(trainable_parameters("steering", heads=candidates, **options).values())

        params = {"rule": rule, "parameters": parameters, "stacks": stacks, "policy": policy, "settings": settings}
        selection = rules.budget(relevance, parameters, counted, stacks)
    elif rule == "greedy":
        found = store.find_made("selection", parents, params)
        if found:
            return found
        selection = rules.greedy(relevance, _growing(store, relevance_id), count, stacks, progress=progress)
    elif rule == "other_task":
        if other_id is None:
            raise InputError("This control takes the heads of another task. Say by which relevance.")
        parents, name = [relevance_id, other_id], name or _task_of(store, other_id)
        params["name"] = name
        selection = controls.other_task(relevance, load(store, other_id, Relevance), name, count, stacks)
    elif rule == "bottom":
        selection = controls.bottom(relevance, count, stacks)
    else:
        selection = rules.top_k(relevance, count, stacks)
        if rule == "random":
            params["seed"] = seed
            selection = controls.random_heads(selection, shape, seed, relevance.inert)
    progress.report(1.0, f"Selected {len(selection.heads)} heads")
    return made(store, "selection", parents, params, lambda: selection)


def combine(store: Store, *, selection_ids: Sequence[str], operation: str) -> str:
    """What several selections share, their union, or the first without the others (`selection.algebra.OPERATIONS`)."""
    from steering.selection import algebra

    chosen = [load(store, one, Selection) for one in selection_ids]
    selection = algebra.combine(chosen, operation)
    return made(store, "selection", tuple(selection_ids), {"operation": operation}, lambda: selection)


def overlap(store: Store, *, selection_ids: Sequence[str], names: Sequence[str] = ()) -> tuple[Overlap, ...]:
    """What every two selections share, beside chance; which heads could be taken is read from their relevance."""
    from steering.selection import algebra

    sets = [load(store, one, Selection) for one in selection_ids]
    scored = [_relevance_of(store, one) for one in selection_ids]
    if not all(scored[0].shape.has_the_heads_of(one.shape) for one in scored):
        raise InputError("These selections are of policies with different heads, so they share nothing to compare.")
    shown = tuple(names) or tuple(selection_ids)
    return tuple(
        algebra.overlap(
            sets[i].heads, sets[j].heads, scored[i].shape, scored[i].inert & scored[j].inert, (shown[i], shown[j])
        )
        for j in range(len(sets))
        for i in range(j)
    )


def held_by(store: Store, *, selection_ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """How many heads are in exactly 0, 1, … of the selections: counted, int [set + 1], and by chance, float."""
    from steering.selection import algebra

    sets = {str(i): load(store, one, Selection).heads for i, one in enumerate(selection_ids)}
    relevance = _relevance_of(store, selection_ids[0])
    return algebra.held_by(sets, relevance.shape, relevance.inert)


def import_selection(store: Store, path: Path, *, relevance_id: str) -> str:
    """Store the selection in a JSON file, of the authors' release or ours, checked against the heads of a relevance."""
    from steering.selection import exchange

    selection = exchange.read(path, load(store, relevance_id, Relevance).shape)
    params = {"rule": "file", "file": path.name, "origin": origin_word(selection.origin)}
    return store.save("selection", selection, parents=(relevance_id,), params=params)


def held_out_error(
    store: Store, *, relevance_id: str, heads: Sequence[Head], ks: Sequence[int] | None = None
) -> SetError:
    """What if these heads were the set: its leave-one-episode-out error on what the relevance was asked. Not stored.

    About 0.2 s on the embedded policy: the activations are kept in this process.
    """
    from steering.relevance.sets import set_errors

    relevance: Relevance = load(store, relevance_id, Relevance)
    activations, judge, zero = _asked(store, relevance_id, relevance)
    tried = tuple(int(k) for k in ks or relevance.ks)
    errors = set_errors(activations, heads, judge, tried)
    best = int(np.argmin(errors))
    return SetError(
        heads=tuple(heads),
        ks=tried,
        errors=tuple(map(float, errors)),
        k=tried[best],
        score=1 - float(errors[best]) / relevance.baselines[zero],
        zero=zero,
    )


def _growing(store: Store, relevance_id: str) -> Any:
    from steering.relevance.sets import GrowingSet

    relevance: Relevance = load(store, relevance_id, Relevance)
    activations, judge, _ = _asked(store, relevance_id, relevance)
    return GrowingSet(activations, judge)


def _asked(store: Store, relevance_id: str, relevance: Relevance) -> tuple[Activations, Judge, str]:
    """What a k-NN relevance was asked: activations, the error of a set, the baseline."""
    from steering.relevance.scoring import zero_of
    from steering.relevance.sets import judge_of

    if relevance.metric != "knn":
        raise InputError(
            f"The error of a head set is that of k-NN; {relevance_id} holds the metric {relevance.metric!r}. Score the "
            "heads by k-NN and ask that relevance."
        )
    manifest = store.manifest(relevance_id)
    activations_id, params = manifest.parents[0], manifest.params
    keyframes, preset = bool(params.get("keyframes")), relevance.preset
    activations = frames_of(store, activations_id, keyframes)
    name, phase = params.get("target", "action"), params.get("phase", "whole")
    target, counted = question_of(store, activations_id, activations, preset, name, phase)
    conditioner = conditioner_of(store, activations_id, keyframes, preset, target)
    return activations, judge_of(activations, target, counted, preset, conditioner), zero_of(preset, target)


def _chosen_before(store: Store, parents: Sequence[str], params: Mapping[str, Any]) -> str | None:
    """The same heads of the same origin, chosen on another day: work that was done with them is not done again."""
    origin = origin_of_word(str(params.get("origin", "")))
    if origin is None:
        return None
    plain = plain_params({**params, "origin": dataclasses.replace(origin, date="").word()})
    for manifest in store.find("selection"):
        before = origin_of_word(str(manifest.params.get("origin", "")))
        if before is not None and tuple(manifest.parents) == tuple(parents):
            undated = dataclasses.replace(before, date="").word()
            if {**manifest.params, "origin": undated} == plain:
                store.claim(manifest.id)
                return manifest.id
    return None


def _task_of(store: Store, relevance_id: str) -> str:
    """The task of the demonstrations that a relevance came from, where it says; else the id."""
    values = (store.load(parent) for parent in store.manifest(relevance_id).parents[-1:])
    return next((one.task or one.name for one in values if isinstance(one, Demonstrations)), relevance_id)


def _relevance_of(store: Store, selection_id: str) -> Relevance:
    """The relevance that a selection, or those it was combined from, came from."""
    for parent in store.manifest(selection_id).parents:
        value = store.load(parent)
        if isinstance(value, Relevance):
            return value
        if isinstance(value, Selection):
            return _relevance_of(store, parent)
    raise InputError(f"{selection_id} names no relevance, so it is not known which heads it could have taken.")


def _head(row: Sequence[Any]) -> Head:
    stack, layer, head = row
    return Head(str(stack), int(layer), int(head))
