"""An adapter's strength: the trade between its own task and what the policy knew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from steering import policy_cache
from steering.errors import InputError, unknown_name
from steering.pipeline.evaluation import scene_seeds
from steering.pipeline.making import LOADING, adapter_folder, load, made, weights
from steering.progress import Progress
from steering.store import Store
from steering.types import Demonstrations, StrengthSweep, SuccessRate

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
FAMILIES = ("push", "place")
"""Families of the pretraining by which is asked what is kept."""


def sweep_strength(
    store: Store,
    *,
    adapter_id: str,
    strengths: Sequence[float] = STRENGTHS,
    families: Sequence[str] = FAMILIES,
    trials: int = 20,
    seed: int = 0,
    progress: Progress = Progress(),
) -> str:
    """Run an adapter at each of `strengths` in scenes of its own task and of pretraining `families`: a StrengthSweep.

    strengths: shares, 0 to 1, of the adapter's change of every weight. The scenes depend on `seed` alone. As long as
    `trials` scenes for each strength and each of the task and the families.
    """
    from steering.simulation.families import FAMILIES as KNOWN

    manifest = store.manifest(adapter_id)
    method, policy = str(manifest.params["method"]), str(manifest.params.get("policy", "embedded"))
    demonstrations: Demonstrations = load(store, manifest.parents[0], Demonstrations)
    asked = tuple(sorted({float(one) for one in strengths}))
    if not asked or not all(0 <= one <= 1 for one in asked):
        raise InputError(f"Expected strengths from 0 to 1, got {', '.join(map(str, strengths)) or 'none'}.")
    if not demonstrations.task:
        raise InputError("These demonstrations are of no task of the simulator, so no scene can be run. Use open-loop.")
    for name in families:
        if name not in KNOWN:
            raise unknown_name("family of the pretraining", name, KNOWN)
    seeds = scene_seeds(seed, trials)

    def make() -> StrengthSweep:
        from steering.comparison.intervals import success_rate

        names = (demonstrations.task, *families)
        rates: dict[str, list[SuccessRate]] = {name: [] for name in names}
        folder = adapter_folder(store, adapter_id)
        for i, strength in enumerate(asked):
            part = progress.part(i / len(asked), (i + 1) / len(asked), f"Strength {strength:g}")
            loaded = policy_cache.get(policy, folder, demonstrations, part.part(0, LOADING), strength=strength)
            scenes = part.part(LOADING, 1)
            for j, name in enumerate(names):
                part = scenes.part(j / len(names), (j + 1) / len(names), name.replace("_", " "))
                success = _success(loaded, name, seeds, part)
                rates[name].append(success_rate(f"{method} × {strength:g}", success))
        return StrengthSweep(method, demonstrations.task, asked, {name: tuple(found) for name, found in rates.items()})

    params = {**weights(policy), "strengths": list(asked), "families": list(families), "trials": trials, "seed": seed}
    return made(store, "strength", (adapter_id,), params, make)


def _success(policy: Any, name: str, seeds: Sequence[int], progress: Progress) -> np.ndarray:
    """bool [scene]: of a task, or a family of the pretraining."""
    from steering.rollout.runner import run_scenes
    from steering.simulation.families import FAMILIES as KNOWN
    from steering.simulation.families import STEP_LIMITS, family_scene
    from steering.simulation.tasks import TASKS, bench_scene

    of_family = name in KNOWN
    scenes = [family_scene(name, one) if of_family else bench_scene(name, one) for one in seeds]
    limit = STEP_LIMITS[name] if of_family else TASKS[name].step_limit
    return np.array([one.success for one in run_scenes(policy, scenes, seeds, limit, progress=progress)])
