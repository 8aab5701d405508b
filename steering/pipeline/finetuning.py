"""Adapters, trained and kept; a stopped or killed training goes on from its checkpoint."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from steering import policy_cache
from steering.errors import InputError, unknown_name
from steering.pipeline.making import load, weights
from steering.pipeline.origins import selection_of
from steering.progress import Progress
from steering.store import Store
from steering.types import METHOD_LABELS, METHODS, METHODS_OF_HEADS, Demonstrations, FinetuneSettings, Head, Selection


def finetune(
    store: Store,
    *,
    demonstrations_id: str,
    method: str,
    selection_id: str | None = None,
    settings: FinetuneSettings | Mapping[str, Any] | None = None,
    heldout_episodes: Sequence[int] | None = None,
    policy: str = "embedded",
    progress: Progress = Progress(),
) -> str:
    """Train by a method of METHODS; those of METHODS_OF_HEADS need a selection. Resumes after a stop or a crash.

    Controls (random, bottom, other-task heads) are `steering` with another selection. `heldout_episodes`: indices,
    the last tenth unless given.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if method in METHODS_OF_HEADS and selection_id is None:
        raise InputError(f"{METHOD_LABELS[method]} goes by selected heads: choose heads first, then start again.")
    chosen = finetune_settings(settings)
    parents = (demonstrations_id, selection_id) if method in METHODS_OF_HEADS and selection_id else (demonstrations_id,)
    params = {**weights(policy), "method": method, "settings": chosen, "seed": chosen.seed}
    if heldout_episodes is not None:
        params["heldout_episodes"] = list(heldout_episodes)
    if done := store.find_made("adapter", parents, params):
        return done
    from steering.finetune import training
    from steering.finetune.checkpoint import CHECKPOINT_FILE
    from steering.finetune.processes import Processes

    selection = selection_of(store, selection_id) if len(parents) == 2 and selection_id else None
    demonstrations = load(store, demonstrations_id, Demonstrations)
    work = store.checkpoints(store.work_key("adapter", parents, params))
    trained = policy_cache.get(policy, None, demonstrations, progress, heldout=heldout_episodes)
    if demonstrations.imitated:
        progress.report(0.0, demonstrations.imitated)
    processes = Processes(trained)
    result = training.finetune(
        trained,
        demonstrations,
        method,
        chosen,
        selection,
        work,
        heldout_episodes=heldout_episodes,
        progress=progress if processes.first else None,
    )
    if processes.first:
        with store.new_folder("adapter") as folder:
            shutil.copytree(work, folder / "adapter", ignore=shutil.ignore_patterns(f"{CHECKPOINT_FILE}*"))
            stored = dataclasses.replace(result, folder=folder / "adapter")
            store.save("adapter", stored, parents=parents, params=params, folder=folder)
        shutil.rmtree(work, ignore_errors=True)
    processes.wait()
    adapter_id = store.find_made("adapter", parents, params)
    assert adapter_id is not None
    return adapter_id


def trainable_parameters(
    method: str,
    *,
    heads: Sequence[Head] = (),
    settings: FinetuneSettings | Mapping[str, Any] | None = None,
    policy: str = "embedded",
) -> dict[str, int]:
    """Group (`q_proj`, `k_proj`, `v_proj`, `o_proj`, `mlp`, `projections`; `all`) -> parameters that will train.

    Of the policy's configuration and the headers of its weights: nothing is loaded, no torch. Milliseconds.
    """
    from steering.finetune.plan import parameter_counts, sizes_of_checkpoint
    from steering.models.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(policy)
    if method == "full":
        return {"all": checkpoint.elements}
    selection = Selection(tuple(heads), "manual")
    return parameter_counts(method, finetune_settings(settings), selection, sizes_of_checkpoint(checkpoint))


def finetune_settings(settings: FinetuneSettings | Mapping[str, Any] | None) -> FinetuneSettings:
    """Settings from what a job or a form gives: a `preset` by name (finetune.presets), and fields that differ from it.

    Raises NotFound, with the choices, for unknown names.
    """
    if isinstance(settings, FinetuneSettings):
        return settings
    from steering.finetune.presets import preset

    given = dict(settings or {})
    base = preset(given.pop("preset", "default"))
    names = [field.name for field in dataclasses.fields(FinetuneSettings)]
    for name in given:
        if name not in names:
            raise unknown_name("finetuning setting", name, names)
    return dataclasses.replace(base, **given)
