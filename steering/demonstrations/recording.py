"""Record demonstrations of a bench task: the scripted expert in the simulator, at the camera size of real datasets.

About 0.6 s an episode on one core, most of it rendering. The arm is knocked mildly (`DISTURBANCE`), the recorded
action is the expert's command, so demonstrations show how to recover (DART, Laskey et al. 2017). What a person drives
(`steering.driving.scene`) is recorded on the same `Tape`, in scenes of its own, what a policy does
(`steering.rollout.recording`) in the scenes that the expert takes first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from steering.errors import InputError
from steering.progress import Progress
from steering.simulation.experts import Disturbance, expert_action
from steering.simulation.tape import Tape
from steering.simulation.tasks import TASKS, bench_scene, succeeded
from steering.simulation.world import World
from steering.types import Demonstrations, Episode

DISTURBANCE = 0.5
MOST_EPISODES = 200
FRAMES_AFTER_SUCCESS = 8
_DEMONSTRATION_SEEDS = 1_000_000
"""Scenes of demonstrations are drawn from this seed on, those of rollouts below it: they never coincide."""
_SEEDS_OF_A_SET, _FIRST_DRIVEN = 10_000, 5_000
"""A set has this many scenes to itself; the expert takes them from the first on, of which it tries at most 410, a
person from _FIRST_DRIVEN on. So the two never show the same scene, and a seed tells who of them recorded it."""


def driven_seed(seed: int, scene: int) -> int:
    """The simulator's seed of scene 0 to 4999 that a person drives for the set of `seed`, 0 to 9999."""
    return _DEMONSTRATION_SEEDS + seed * _SEEDS_OF_A_SET + _FIRST_DRIVEN + scene % (_SEEDS_OF_A_SET - _FIRST_DRIVEN)


def scene_seed(seed: int, attempt: int) -> int:
    """The simulator's seed of the scene that is taken at `attempt`, from 0 on, for the set of `seed`, 0 to 9999."""
    return _DEMONSTRATION_SEEDS + seed * _SEEDS_OF_A_SET + attempt


def check_count(count: int) -> None:
    """Raises InputError for a number of episodes out of range."""
    if not 1 <= count <= MOST_EPISODES:
        raise InputError(f"Expected 1 to {MOST_EPISODES} episodes, got {count}. Choose a number in that range.")


def recorded_set(task: str, variations: Sequence[str], episodes: Sequence[Episode], policy: str = "") -> Demonstrations:
    """Recorded episodes as a set of a name that says what is in it. policy: who acted, where a policy did."""
    said = f" by {policy}" if policy else ""
    name = f"{task}, {len(episodes)} episodes{said}" + (f", {' + '.join(variations)}" if variations else "")
    return Demonstrations(name, task, tuple(variations), tuple(episodes), policy=policy)


def record(
    task: str, count: int = 20, seed: int = 0, variations: Sequence[str] = (), progress: Progress | None = None
) -> Demonstrations:
    """Record `count` successful episodes of a bench task (1 to 200). The same seed gives the same bytes.

    Raises NotFound for an unknown task or variation, InputError for a count out of range.
    """
    check_count(count)
    progress = progress or Progress()
    episodes: list[Episode] = []
    attempt = 0
    while len(episodes) < count:
        if attempt >= 2 * count + 10:
            raise InputError(
                f"The expert succeeded only {len(episodes)} times in {attempt} scenes of {task!r}. "
                "Ask for fewer episodes or other variations."
            )
        progress.report(len(episodes) / count, f"Recording episode {len(episodes) + 1} of {count}")
        scene = scene_seed(seed, attempt)
        episode = _record_episode(task, scene, variations, len(episodes))
        attempt += 1
        if episode.success:
            episodes.append(episode)
    progress.report(1.0, f"{count} episodes recorded")
    return recorded_set(task, variations, episodes)


def run_expert(
    task: str, seed: int, variations: Sequence[str], watch: Callable[[World, np.ndarray, str], None]
) -> bool:
    """Run the disturbed expert on the scene of `seed` until some frames after success; returns whether it succeeded.

    `watch` is called with the world, the action (float32 [dim]) and its phase before each step: the same calls with
    the same numbers for the same seed.
    """
    world = World(bench_scene(task, seed, variations))
    disturb = Disturbance(np.random.default_rng([seed, 5]), DISTURBANCE)
    success, after = False, 0
    try:
        for _ in range(TASKS[task].step_limit):
            action, phase = expert_action(world)
            watch(world, action, phase)
            world.step(disturb(action) if not success else action)
            success = success or succeeded(world)
            after += success
            if after > FRAMES_AFTER_SUCCESS:
                break
    finally:
        world.close()
    return success


def replay(demonstrations: Demonstrations, recorded: Episode, watch: Callable[[World, np.ndarray], None]) -> None:
    """Run a recorded episode again in its scene; `watch` is called with world and action before each step.

    The expert's commands were disturbed on their way to the arm, so its episodes run by its controller; those of a
    person or a policy run by the recorded commands. Raises InputError for an episode without a scene.
    """
    if not demonstrations.task or recorded.seed is None:
        raise InputError(f"{recorded.name!r} has no scene to run again. Choose demonstrations from the simulator.")
    if recorded.seed % _SEEDS_OF_A_SET < _FIRST_DRIVEN and not demonstrations.policy:
        run_expert(demonstrations.task, recorded.seed, demonstrations.variations, lambda w, action, _: watch(w, action))
        return
    world = World(bench_scene(demonstrations.task, recorded.seed, demonstrations.variations))
    try:
        for action in recorded.action:
            watch(world, action)
            world.step(action)
    finally:
        world.close()


def _record_episode(task: str, seed: int, variations: Sequence[str], index: int) -> Episode:
    tapes: list[Tape] = []

    def watch(world: World, action: np.ndarray, phase: str) -> None:
        if not tapes:
            tapes.append(Tape(world))
        tapes[0].add(action, phase)

    success = run_expert(task, seed, variations, watch)
    return tapes[0].episode(f"episode_{index:03d}", seed, success)
