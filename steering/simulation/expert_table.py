"""How often the scripted experts succeed: every bench task under every variation, and every pretraining family.

Physics only, nothing is rendered: 0.05 to 0.1 s an episode on one core, so 100 seeds of all cells take some 5 minutes.
Lighting changes no physics; its cells are run all the same and must equal those without variation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from steering.errors import InputError
from steering.simulation.experts import Disturbance, expert_action
from steering.simulation.families import FAMILIES, STEP_LIMITS, family_scene
from steering.simulation.scene import Scene
from steering.simulation.tasks import TASKS, VARIATIONS, bench_scene, succeeded
from steering.simulation.world import World

VARIATION_SETS: tuple[tuple[str, ...], ...] = ((), *((name,) for name in VARIATIONS), VARIATIONS)
"""None, each by itself, all together."""


@dataclass(frozen=True)
class ExpertCell:
    """One row of the table.

    scene: the task or family. successes of trials; low, high: Wilson interval (two-sided, 95 %). mean_steps: control
    steps until success, over the successes, None without any. failed_seeds: scenes to look at.
    """

    group: str
    scene: str
    variations: tuple[str, ...]
    successes: int
    trials: int
    low: float
    high: float
    mean_steps: float | None
    failed_seeds: tuple[int, ...]


def expert_cells(seeds: Sequence[int], disturbance: float = 0.0) -> Iterator[ExpertCell]:
    """Every cell of the table over the scenes of `seeds`. Deterministic.

    `disturbance`: strength of the knocks on the arm (experts.Disturbance), 0 for none.
    """
    if not seeds:
        raise InputError("Expected at least one seed, got none. Ask for --seeds 1 or more.")
    for name, task in TASKS.items():
        for variations in VARIATION_SETS:
            scenes = {seed: bench_scene(name, seed, variations) for seed in seeds}
            yield _cell("bench", name, variations, scenes, task.step_limit, disturbance)
    for family in FAMILIES:
        scenes = {seed: family_scene(family, seed) for seed in seeds}
        yield _cell("pretraining", family, (), scenes, STEP_LIMITS[family], disturbance)


def steps_to_success(scene: Scene, step_limit: int, disturb: Callable[[np.ndarray], np.ndarray]) -> int | None:
    """Control steps until the expert reaches the goal of `scene`, None if it does not within `step_limit`."""
    world = World(scene)
    for step in range(step_limit):
        action, _ = expert_action(world)
        world.step(disturb(action))
        if succeeded(world):
            return step + 1
    return None


def markdown(cells: Sequence[ExpertCell]) -> str:
    """The table as Markdown: a row for each task, a column for each variation; families below."""
    columns = [" + ".join(v) if v else "none" for v in VARIATION_SETS[:-1]] + ["all three"]
    lines = ["| task | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in TASKS:
        row = [_words(c) for c in cells if c.group == "bench" and c.scene == name]
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    lines += ["", "| pretraining family | success |", "|---|---|"]
    lines += [f"| {c.scene} | {_words(c)} |" for c in cells if c.group == "pretraining"]
    return "\n".join(lines) + "\n"


def _words(cell: ExpertCell) -> str:
    length = "–" if cell.mean_steps is None else f"{cell.mean_steps:.0f} steps"
    rate = f"{100 * cell.successes / cell.trials:.0f} %"
    return f"{rate} [{100 * cell.low:.0f}, {100 * cell.high:.0f}], {length}"


def _cell(
    group: str,
    name: str,
    variations: tuple[str, ...],
    scenes: Mapping[int, Scene],
    step_limit: int,
    disturbance: float,
) -> ExpertCell:
    steps = {}
    for seed, scene in scenes.items():
        disturb = Disturbance(np.random.default_rng([seed, 5]), disturbance)
        steps[seed] = steps_to_success(scene, step_limit, disturb)
    lengths = [n for n in steps.values() if n is not None]
    interval = binomtest(len(lengths), len(scenes)).proportion_ci(method="wilson")
    return ExpertCell(
        group,
        name,
        variations,
        len(lengths),
        len(scenes),
        float(interval.low),
        float(interval.high),
        float(np.mean(lengths)) if lengths else None,
        tuple(seed for seed, n in steps.items() if n is None),
    )
