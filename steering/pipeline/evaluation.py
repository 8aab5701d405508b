"""Rollouts on the same scenes for every method, and their comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steering import policy_cache
from steering.errors import InputError
from steering.pipeline.making import made, weights
from steering.progress import Progress
from steering.store import Store

MAX_TRIALS = 1000
_FIRST_SCENE, _END_SCENE = 100_000, 1_000_000  # demonstrations begin at the end


def rollout(
    store: Store,
    *,
    task: str,
    method: str = "zero_shot",
    adapter_id: str | None = None,
    trials: int = 20,
    seed: int = 0,
    variations: Sequence[str] = (),
    policy: str = "embedded",
    videos: int = 6,
    progress: Progress = Progress(),
) -> str:
    """Run the policy, with the adapter if one is given, on `trials` scenes that depend on `seed` alone.

    The first `videos` scenes are filmed.
    """
    if (method == "zero_shot") != (adapter_id is None):
        raise InputError(f"{method} {'takes no' if adapter_id else 'needs an'} adapter; finetuning makes adapters.")
    if adapter_id is not None:
        policy = store.manifest(adapter_id).params.get("policy", policy)
    parents = (adapter_id,) if adapter_id else ()
    params = {**weights(policy), "task": task, "method": method, "trials": trials, "seed": seed}
    params |= {"variations": list(variations), "videos": videos}
    if done := store.find_made("rollouts", parents, params):
        return done
    from steering.rollout import runner

    adapter = store.load(adapter_id).folder if adapter_id else None
    with store.new_folder("rollouts") as folder:
        rollouts = runner.run_rollouts(
            policy_cache.get(policy, adapter),
            task,
            scene_seeds(seed, trials),
            method=method,
            variations=tuple(variations),
            record_dir=folder if videos else None,
            record_scenes=videos,
            progress=progress,
        )
        return store.save("rollouts", rollouts, parents=parents, params=params, folder=folder)


def compare(store: Store, *, rollouts_ids: Sequence[str], progress: Progress = Progress()) -> str:
    """Success rates with intervals and paired tests of rollouts on the same scenes."""
    from steering.comparison.compare import compare as compare_rollouts

    comparison = compare_rollouts([store.load(rollouts_id) for rollouts_id in rollouts_ids])
    progress.report(1.0, "Compared")
    return made(store, "comparison", tuple(rollouts_ids), {}, lambda: comparison)


def evaluate(
    store: Store,
    *,
    task: str,
    adapters: Mapping[str, str | None],
    trials: int = 20,
    seed: int = 0,
    variations: Sequence[str] = (),
    policy: str = "embedded",
    videos: int = 6,
    progress: Progress = Progress(),
) -> str:
    """Roll out several methods on the same scenes and compare them. `adapters`: method -> adapter id, None for none."""
    rollouts_ids = []
    for i, (method, adapter_id) in enumerate(adapters.items()):
        part = progress.part(i / len(adapters), (i + 1) / len(adapters))
        common: dict[str, Any] = {"trials": trials, "seed": seed, "variations": variations, "videos": videos}
        rollouts_ids.append(
            rollout(store, task=task, method=method, adapter_id=adapter_id, policy=policy, progress=part, **common)
        )
    return compare(store, rollouts_ids=rollouts_ids, progress=progress)


def scene_seeds(seed: int, trials: int) -> tuple[int, ...]:
    """Simulator seeds of the scenes of a rollout: the same for every method, apart from those of demonstrations."""
    if not 1 <= trials <= MAX_TRIALS:
        raise InputError(f"Expected 1 to {MAX_TRIALS} scenes, got {trials}.")
    first = _FIRST_SCENE + MAX_TRIALS * seed
    if not _FIRST_SCENE <= first < _END_SCENE:
        raise InputError(f"Expected a seed of 0 to {(_END_SCENE - _FIRST_SCENE) // MAX_TRIALS - 1}, got {seed}.")
    return tuple(range(first, first + trials))
