"""Closed-loop success: on the pretraining families, on the bench, and with the policy's eyes or words tampered with.

About 40 s for 100 scenes on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from steering.models.policy import Policy
from steering.rollout.calls import ObservationFilter
from steering.rollout.runner import run_scenes
from steering.simulation.families import STEP_LIMITS, family_scene
from steering.simulation.objects import COLOURS
from steering.simulation.scene import Scene
from steering.simulation.tasks import TASKS, bench_scene
from steering.types import Observation

FRESH_SEEDS = 5_000_000
"""Scenes of evaluations are drawn from here on; no training scene has such a seed."""


def family_success(
    policy: Policy, family: str, trials: int, see: ObservationFilter | None = None, other_colour: bool = False
) -> int:
    """Successes in `trials` fresh scenes of a family."""
    seeds = [FRESH_SEEDS + i for i in range(trials)]
    scenes = [family_scene(family, seed) for seed in seeds]
    if other_colour:
        scenes = [_rename(scene) for scene in scenes]
    outcomes = run_scenes(policy, scenes, seeds, STEP_LIMITS[family], see=see)
    return sum(o.success for o in outcomes)


def bench_success(policy: Policy, task: str, trials: int, variations: Sequence[str] = ()) -> int:
    """Successes in `trials` fresh scenes of a bench task."""
    seeds = list(range(trials))
    scenes = [bench_scene(task, seed, variations) for seed in seeds]
    return sum(o.success for o in run_scenes(policy, scenes, seeds, TASKS[task].step_limit))


def exterior_black(observation: Observation) -> Observation:
    """The exterior camera shows nothing."""
    return replace(
        observation, cameras={**observation.cameras, "exterior": np.zeros_like(observation.cameras["exterior"])}
    )


def both_black(observation: Observation) -> Observation:
    """No camera shows anything."""
    return replace(observation, cameras={name: np.zeros_like(c) for name, c in observation.cameras.items()})


def _rename(scene: Scene) -> Scene:
    """The instruction names a thing of the scene that is not the goal's, or a colour that is not there.

    Success is still counted for the original goal, so a policy that reads must fail.
    """
    thing = scene.thing(scene.goal.thing)
    others = [t for t in scene.things if t.name not in (thing.name, scene.goal.target) and t.kind == thing.kind]
    absent = sorted(set(COLOURS) - {t.colour for t in scene.things})
    colour = others[0].colour if others else absent[0]
    if thing.phrase in scene.instruction:
        return replace(scene, instruction=scene.instruction.replace(thing.phrase, f"{colour} {thing.kind}", 1))
    return replace(scene, instruction=scene.instruction.replace(thing.kind, f"{colour} {thing.kind}", 1))
