"""The grid of the paper's cells in the twin: which cells there are, and how one is made.

A cell is a method trained on one task with one seed, written `task/method/seed`; `method@heads=5` and
`method@demonstrations=5` are points of the two curves. A cell's result is plain data: what was trained, what it cost,
and the outcome of every scene under every condition, so that tables pair scenes without running anything again.
Artefacts lie in a store, where cells of one task and seed share demonstrations, activations and relevance.

Cost of a cell of the full grid on two cores: see the `wall_s` of finished ones (`--plan` adds them up).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from steering import pipeline, policy_cache
from steering.errors import InputError, unknown_name
from steering.evidence.stopwatch import timed
from steering.manifest import plain_params, versions
from steering.progress import Progress
from steering.store import Store
from steering.types import PAPER_SET_SIZE, FinetuneResult, FinetuneSettings, Rollouts

TASKS = ("place_marker_in_mug", "press_button", "pick_cube", "place_cube_in_bowl", "push_cup_to_bowl")
UNSEEN_TASK, TRAINED_FOR_UNSEEN = "pick_mug", "pick_cube"
VARIATIONS, VARIED_TASK = ("lighting", "form", "distractors"), "place_marker_in_mug"
"""As in the paper, one task is run under the three variations."""
CURVE_TASK = "place_cube_in_bowl"
CURVE_HEADS = (5, 10, 40)
CURVE_DEMONSTRATIONS = (5, 10, 40)
SEEDS = (0, 1, 2)
TELLING = ("place_marker_in_mug", "push_cup_to_bowl")
"""Tasks that leave room between the methods: controls get every seed there, and the first elsewhere."""
SCENE_SET = 50
"""Seed of the scenes: the same for every cell, and not that of any demonstrations."""


@dataclass(frozen=True)
class Method:
    """How a method of the grid is made. finetune: one of types.METHODS. rule, stacks: of its heads, if it has any.

    control: heads that were not chosen for the task.
    """

    label: str
    finetune: str
    rule: str | None = None
    stacks: tuple[str, ...] = ("vlm",)
    control: bool = False

    def seeds(self, task: str) -> tuple[int, ...]:
        """The seeds that it is trained with on a task of the full grid."""
        once = self.finetune == "zero_shot" or (self.control and task not in TELLING)
        return SEEDS[:1] if once else SEEDS


METHODS: Mapping[str, Method] = {
    "zero_shot": Method("Zero-shot", "zero_shot"),
    "lora": Method("LoRA, all heads", "lora"),
    "lora_rank_matched": Method("LoRA, rank-matched", "lora_rank_matched", "top_k"),
    "steering_vlm": Method("Robotic Steering, VLM heads", "steering", "top_k"),
    "steering_expert": Method("Robotic Steering, expert heads", "steering", "top_k", ("expert",)),
    "steering_both": Method("Robotic Steering, both stacks", "steering", "top_k", ("vlm", "expert")),
    "random": Method("Random VLM heads, same layers", "steering", "random", control=True),
    "bottom": Method("Bottom VLM heads", "steering", "bottom", control=True),
}
CURVE_METHODS = {"heads": ("steering_vlm", "steering_both"), "demonstrations": ("lora", "steering_vlm")}


@dataclass(frozen=True)
class GridSettings:
    """What every cell shares. trials: scenes a condition. ks: of the score, None for the paper's."""

    demonstrations: int = 20
    heads: int = PAPER_SET_SIZE
    trials: int = 100
    steps: int = 500
    batch_size: int = 24
    rank: int = 16
    stride: int = 1
    ks: tuple[int, ...] | None = None
    policy: str = "embedded"


QUICK = GridSettings(demonstrations=3, heads=3, trials=2, steps=2, batch_size=2, rank=2, stride=8, ks=(2,))
"""Proves the plumbing; its figures mean nothing."""


@dataclass(frozen=True, order=True)
class Cell:
    """One cell. heads, demonstrations: other than those of the settings, for the curves."""

    task: str
    method: str
    seed: int
    heads: int | None = None
    demonstrations: int | None = None

    @property
    def variant(self) -> str:
        """The method with what differs from the settings, e.g. `lora@demonstrations=5`."""
        changed = [f"{n}={v}" for n, v in (("heads", self.heads), ("demonstrations", self.demonstrations)) if v]
        return "@".join([self.method, *changed])

    @property
    def id(self) -> str:
        """E.g. `pick_cube/steering_vlm/0`."""
        return f"{self.task}/{self.variant}/{self.seed}"


def parse_cell(text: str) -> Cell:
    """The cell of an id. Raises InputError or NotFound."""
    parts = text.split("/")
    if len(parts) != 3 or not parts[2].isdigit():
        raise InputError(f"Expected a cell as task/method/seed, e.g. pick_cube/steering_vlm/0, got {text!r}.")
    task, variant, seed = parts[0], parts[1].split("@"), int(parts[2])
    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    if variant[0] not in METHODS:
        raise unknown_name("method of the grid", variant[0], METHODS)
    changed: dict[str, int] = {}
    for one in variant[1:]:
        name, _, value = one.partition("=")
        if name not in CURVE_METHODS or not value.isdigit() or int(value) < 1:
            raise InputError(f"Expected heads=N or demonstrations=N after @, got {one!r}.")
        changed[name] = int(value)
    return Cell(task, variant[0], seed, **changed)


def cells() -> tuple[Cell, ...]:
    """Every cell of the full grid: one seed of everything first, then the further seeds of what is trained."""
    first, *others = SEEDS
    found = [Cell(task, method, first) for task in TASKS for method in METHODS]
    found += [Cell(CURVE_TASK, m, first, heads=n) for n in CURVE_HEADS for m in CURVE_METHODS["heads"]]
    found += [
        Cell(CURVE_TASK, m, first, demonstrations=n)
        for n in CURVE_DEMONSTRATIONS
        for m in CURVE_METHODS["demonstrations"]
    ]
    found += [Cell(task, m, s) for s in others for task in TASKS for m, how in METHODS.items() if s in how.seeds(task)]
    return tuple(found)


def conditions(cell: Cell) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(task, variations) that the cell's policy is run under, its own task first."""
    found: list[tuple[str, tuple[str, ...]]] = [(cell.task, ())]
    if cell.heads is None and cell.demonstrations is None:
        if cell.task == VARIED_TASK:
            found += [(cell.task, (variation,)) for variation in VARIATIONS]
        if cell.task == TRAINED_FOR_UNSEEN:
            found.append((UNSEEN_TASK, ()))
    return tuple(found)


def make_cell(
    cell: Cell,
    settings: GridSettings,
    store: Store,
    *,
    processes: int | None = None,
    progress: Progress = Progress(),
) -> dict[str, Any]:
    """Make a cell and return its result, plain data for a JSON file. What the store already holds is not made again.

    processes: of the simulation, by default as cores allow; the result does not depend on it.
    """
    began_s = time.monotonic()
    settings = replace(
        settings,
        heads=cell.heads or settings.heads,
        demonstrations=cell.demonstrations or settings.demonstrations,
    )
    adapter_id, cost = None, {"extraction_s": 0.0, "selection_s": 0.0}
    if METHODS[cell.method].finetune != "zero_shot":
        adapter_id, cost = _train(cell, settings, store, progress.part(0.0, 0.5))
    conditions_of = conditions(cell)
    results = []
    for i, (task, variations) in enumerate(conditions_of):
        rollouts_id = pipeline.rollout(
            store,
            task=task,
            method=METHODS[cell.method].finetune,
            adapter_id=adapter_id,
            trials=settings.trials,
            seed=SCENE_SET,
            variations=variations,
            policy=settings.policy,
            videos=0,
            processes=processes,
            progress=progress.part(0.5 + 0.5 * i / len(conditions_of), 0.5 + 0.5 * (i + 1) / len(conditions_of)),
        )
        results.append(_outcome(store.load(rollouts_id)))
    trained: FinetuneResult | None = store.load(adapter_id) if adapter_id else None
    return {
        "cell": cell.id,
        "command": f"python -m steering evidence grid --cell {cell.id} --out FOLDER",
        "settings": plain_params(asdict(settings)),
        "versions": versions(),
        "weights": store.manifest(rollouts_id).params["weights"],
        "wall_s": round(time.monotonic() - began_s, 1),
        "cost": {**cost, **_training_cost(trained)},
        "heads": [[h.stack, h.layer, h.head] for h in trained.selection.heads] if trained and trained.selection else [],
        "conditions": results,
    }


def _train(cell: Cell, settings: GridSettings, store: Store, progress: Progress) -> tuple[str, dict[str, float]]:
    """The adapter of the cell, and what choosing its heads cost."""
    how = METHODS[cell.method]
    demonstrations_id = pipeline.record(
        store, task=cell.task, count=settings.demonstrations, seed=cell.seed, progress=progress.part(0.0, 0.15)
    )
    selection_id, cost = None, {"extraction_s": 0.0, "selection_s": 0.0}
    if how.rule is not None:
        policy_cache.get(settings.policy)  # loading it is not part of the extraction's time
        activations_id, cost["extraction_s"] = timed(
            store,
            lambda: pipeline.capture(
                store,
                demonstrations_id=demonstrations_id,
                policy=settings.policy,
                stride=settings.stride,
                seed=cell.seed,
                progress=progress.part(0.15, 0.3),
            ),
        )
        relevance_id, score_s = timed(
            store,
            lambda: pipeline.score(
                store, activations_id=activations_id, preset="paper", ks=settings.ks, progress=progress.part(0.3, 0.35)
            ),
        )
        rule = how.rule
        selection_id, select_s = timed(
            store,
            lambda: pipeline.select(
                store,
                relevance_id=relevance_id,
                rule=rule,
                count=settings.heads,
                stacks=how.stacks,
                seed=cell.seed,
            ),
        )
        cost["selection_s"] = round(score_s + select_s, 2)
    adapter_id = pipeline.finetune(
        store,
        demonstrations_id=demonstrations_id,
        method=how.finetune,
        selection_id=selection_id,
        settings=_finetune_settings(cell, settings),
        policy=settings.policy,
        progress=progress.part(0.35, 1.0),
    )
    return adapter_id, cost


def _finetune_settings(cell: Cell, settings: GridSettings) -> FinetuneSettings:
    return FinetuneSettings(
        steps=settings.steps,
        batch_size=settings.batch_size,
        rank=settings.rank,
        alpha=float(settings.rank),
        warmup_steps=min(20, max(1, settings.steps // 5)),
        seed=cell.seed,
    )


def _training_cost(trained: FinetuneResult | None) -> dict[str, Any]:
    if trained is None:
        return {"train_s": 0.0, "parameters": {}, "trainable_parameters": 0, "peak_memory_mb": 0.0, "rank": None}
    last = float(trained.heldout_error[-1]) if len(trained.heldout_error) else None
    return {
        "train_s": round(trained.train_s, 2),
        "parameters": dict(trained.parameters),
        "trainable_parameters": trained.trainable_parameters,
        "peak_memory_mb": round(trained.peak_memory_mb, 1),
        "rank": trained.rank,
        "heldout_error": last,
    }


def _outcome(rollouts: Rollouts) -> dict[str, Any]:
    """One condition: success as a string of 0 and 1, one a scene, in the order of the seeds."""
    assert rollouts.distance_m is not None and rollouts.wrong_object is not None
    return {
        "task": rollouts.task,
        "variations": list(rollouts.variations),
        "first_scene": rollouts.seeds[0],
        "success": "".join(str(int(won)) for won in rollouts.success),
        "steps": np.asarray(rollouts.steps).tolist(),
        "failure": list(rollouts.failure),
        "distance_m": np.round(rollouts.distance_m, 4).tolist(),
        "wrong_object": "".join(str(int(touched)) for touched in rollouts.wrong_object),
        "rollout_s": round(rollouts.wall_s, 1),
    }
