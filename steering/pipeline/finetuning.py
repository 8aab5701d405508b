"""Adapters, trained and kept; a stopped training goes on from its checkpoint."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from typing import Any

from steering import policy_cache
from steering.errors import InputError, unknown_name
from steering.pipeline.making import load, weights
from steering.progress import Progress
from steering.store import Store, work_key
from steering.types import METHODS, Demonstrations, FinetuneSettings, Selection


def finetune(
    store: Store,
    *,
    demonstrations_id: str,
    method: str,
    selection_id: str | None = None,
    settings: FinetuneSettings | Mapping[str, Any] | None = None,
    policy: str = "embedded",
    progress: Progress = Progress(),
) -> str:
    """Train an adapter by a method of METHODS; `steering` needs a selection. Resumes after a stop or a crash."""
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if method == "steering" and selection_id is None:
        raise InputError("Robotic Steering trains selected heads: choose heads first, then start again.")
    settings = _settings(settings)
    parents = (demonstrations_id, selection_id) if method == "steering" and selection_id else (demonstrations_id,)
    params = {**weights(policy), "method": method, "settings": settings, "seed": settings.seed}
    if done := store.find_made("adapter", parents, params):
        return done
    from steering.finetune import training
    from steering.finetune.checkpoint import CHECKPOINT_FILE

    selection = load(store, selection_id, Selection) if len(parents) == 2 and selection_id else None
    demonstrations = load(store, demonstrations_id, Demonstrations)
    work = store.checkpoints(work_key("adapter", parents, params))
    result = training.finetune(
        policy_cache.get(policy), demonstrations, method, settings, selection, work, progress=progress
    )
    with store.new_folder("adapter") as folder:
        shutil.copytree(work, folder / "adapter", ignore=shutil.ignore_patterns(CHECKPOINT_FILE, "*.tmp"))
        stored = dataclasses.replace(result, folder=folder / "adapter")
        adapter_id = store.save("adapter", stored, parents=parents, params=params, folder=folder)
    shutil.rmtree(work, ignore_errors=True)
    return adapter_id


def _settings(settings: FinetuneSettings | Mapping[str, Any] | None) -> FinetuneSettings:
    if settings is None or isinstance(settings, FinetuneSettings):
        return settings or FinetuneSettings()
    names = [field.name for field in dataclasses.fields(FinetuneSettings)]
    for name in settings:
        if name not in names:
            raise unknown_name("finetuning setting", name, names)
    return FinetuneSettings(**settings)
