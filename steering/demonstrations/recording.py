"""Record demonstrations of a bench task: the scripted expert in the simulator, at the camera size of real datasets.

About 0.6 s an episode on one core, most of it rendering. The arm is knocked mildly (`DISTURBANCE`), the recorded
action is the expert's command, so demonstrations show how to recover (DART, Laskey et al. 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from steering.errors import InputError
from steering.progress import Progress
from steering.simulation.experts import Disturbance, expert_action
from steering.simulation.scene import CONTROL_HZ
from steering.simulation.tasks import TASKS, bench_scene, succeeded
from steering.simulation.world import World
from steering.types import CAMERAS, PHASES, Demonstrations, Episode

IMAGE_PX = 192
DISTURBANCE = 0.5
MOST_EPISODES = 200
_FRAMES_AFTER_SUCCESS = 8
_DEMONSTRATION_SEEDS = 1_000_000
"""Scenes of demonstrations are drawn from this seed on, those of rollouts below it: they never coincide."""


def record(
    task: str, count: int = 20, seed: int = 0, variations: Sequence[str] = (), progress: Progress | None = None
) -> Demonstrations:
    """Record `count` successful episodes of a bench task (1 to 200). The same seed gives the same bytes.

    Raises NotFound for an unknown task or variation, InputError for a count out of range.
    """
    if not 1 <= count <= MOST_EPISODES:
        raise InputError(f"Expected 1 to {MOST_EPISODES} episodes, got {count}. Choose a number in that range.")
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
        episode = _record_episode(task, _DEMONSTRATION_SEEDS + seed * 10_000 + attempt, variations, len(episodes))
        attempt += 1
        if episode.success:
            episodes.append(episode)
    progress.report(1.0, f"{count} episodes recorded")
    name = f"{task}, {count} episodes" + (f", {' + '.join(variations)}" if variations else "")
    return Demonstrations(name, task, tuple(variations), tuple(episodes))


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
            if after > _FRAMES_AFTER_SUCCESS:
                break
    finally:
        world.close()
    return success


def _record_episode(task: str, seed: int, variations: Sequence[str], index: int) -> Episode:
    scene = bench_scene(task, seed, variations)
    frames: dict[str, list[np.ndarray]] = {camera: [] for camera in CAMERAS}
    places: dict[str, list[np.ndarray]] = {thing.name: [] for thing in scene.things}
    states, actions, phases = [], [], []

    def watch(world: World, action: np.ndarray, phase: str) -> None:
        for camera in CAMERAS:
            frames[camera].append(world.render(camera, IMAGE_PX))
        for name, place in places.items():
            place.append(world.thing_m(name))
        states.append(world.state())
        actions.append(action)
        phases.append(PHASES.index(phase))

    success = run_expert(task, seed, variations, watch)
    return Episode(
        name=f"episode_{index:03d}",
        instruction=scene.instruction,
        rate_hz=CONTROL_HZ,
        cameras={camera: np.stack(images) for camera, images in frames.items()},
        state=np.stack(states),
        action=np.stack(actions),
        phase=np.array(phases, dtype=np.int8),
        success=success,
        seed=seed,
        ground_truth={name: np.stack(place).astype(np.float32) for name, place in places.items()},
    )
