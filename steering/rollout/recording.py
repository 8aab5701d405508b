"""What a policy does in scenes of a task, kept as demonstrations are: pictures, states, commands and how it ended.

A scene runs as in `run_rollouts` with the same seed, to its success or its step limit, and failures are kept like
successes. A frame costs two pictures (12 ms) and 220 kB, which stay in memory; the step limit of a task is 140 or 200.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from steering.errors import InputError
from steering.models.policy import Policy
from steering.progress import Progress
from steering.rollout.episode import Start
from steering.rollout.runner import run_starts
from steering.simulation.tasks import TASKS, bench_scene
from steering.simulation.world import ACTION_DIM
from steering.types import Episode


def record(
    policy: Policy,
    task: str,
    seeds: Sequence[int],
    *,
    variations: Sequence[str] = (),
    processes: int | None = None,
    progress: Progress | None = None,
) -> tuple[Episode, ...]:
    """The episodes of `policy` on the bench scenes of `seeds`, in order; phases are left unknown.

    The same seeds give the same bytes, whatever the number of `processes` (`run_starts`). An episode's action is the
    command that was carried out, clipped to [-1, 1]. Raises NotFound for an unknown task or variation, InputError for
    a policy of a robot with other commands or of fewer cameras than the simulator has.
    """
    scenes = [bench_scene(task, seed, variations) for seed in seeds]
    if policy.action_dim != ACTION_DIM:
        raise InputError(
            f"Expected a policy with {ACTION_DIM} action dimensions, those of the simulator's arm; {policy.name} has "
            f"{policy.action_dim}, so it drives another robot. Choose a policy of a single arm with a gripper, moved "
            "by its tool."
        )
    starts = [Start(i, scene, TASKS[task].step_limit, taped=True) for i, scene in enumerate(scenes)]
    outcomes = run_starts(policy, starts, seeds, processes=processes, progress=progress)
    return tuple(
        replace(outcome.recorded, name=f"episode_{i:03d}", seed=seed)
        for i, (outcome, seed) in enumerate(zip(outcomes, seeds, strict=True))
        if outcome.recorded is not None
    )
