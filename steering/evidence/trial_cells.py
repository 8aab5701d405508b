"""How a cell of the trial is made: demonstrations, heads, learning rate, training, scenes; one JSON file a cell.

Everything but the result (`steering.evidence.cell_files`) lies in the store, and a training inside goes on from its
checkpoint, so a trial that was killed goes on where it was. A training sees all of its demonstrations. Learning rates
are chosen once per (training, arm) by demonstrations recorded for this alone. Cost of a cell on two idle cores: a
minute or two of training and 12 s a condition; choosing a rate trains four times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

import numpy as np

from steering import pipeline, policy_cache
from steering.assets import ASSETS
from steering.errors import InputError
from steering.evidence.cell_files import Result, left_of, read_result, read_results_in, write_result
from steering.evidence.draws import lot
from steering.evidence.screen import SCREEN, ScreenSettings
from steering.evidence.screen_results import best_rules
from steering.evidence.screen_rules import Asked, choose
from steering.evidence.trial import (
    ARMS,
    RANDOM,
    RATE_HELDOUT_SEED,
    SCENE_SET,
    TRAININGS,
    WINNER,
    Arm,
    Training,
    TrialCell,
    TrialSettings,
)
from steering.manifest import plain_params, versions
from steering.progress import Progress
from steering.selection.trainable import drawn
from steering.store import Store
from steering.types import Demonstrations, Episode, FinetuneResult, FinetuneSettings, Head, Relevance

TRIAL = ASSETS / "evidence" / "trial"
RATE_FRAMES = 96
"""Frames of the held-out demonstrations by which a learning rate is chosen."""
CONFIRMED = 3
"""Rules of the screen, the best, that are confirmed in scenes."""
RECIPE = ("ffn", "projections", "time_mlp", "head_factors")
"""What an arm takes of its preset besides the expert's rank; steps, batches and rank are the trial's."""


def run_trial(
    cells: Sequence[TrialCell],
    settings: TrialSettings,
    *,
    store: Path,
    out: Path = TRIAL,
    progress: Progress = Progress(),
    say: Callable[[str], None] = print,
) -> list[str]:
    """Make every cell that `out` does not hold, one after another; the ids of those made now."""
    weights = policy_cache.fingerprint(settings.policy)
    left = [cell for cell in cells if read_cell(out, cell, settings, weights) is None]
    say(f"{len(cells) - len(left)} of {len(cells)} cells are there already; {len(left)} to make.")
    for i, cell in enumerate(left):
        result = make_cell(cell, settings, Store(store), progress.part(i / len(left), (i + 1) / len(left)))
        write_result(cell_file(out, cell), result)
        won = ", ".join(
            f"{'+'.join([r['task'], *r['variations']])} {r['success'].count('1')}" for r in result["conditions"]
        )
        say(f"[{i + 1}/{len(left)}] {cell.id}: {won} of {settings.trials}; {result['wall_s']:.0f} s")
    return [cell.id for cell in left]


def left_to_make(cells: Sequence[TrialCell], settings: TrialSettings, out: Path = TRIAL) -> dict[str, Any]:
    """What is there, what is left, and about how many seconds that takes, by the mean of what is there."""
    weights = policy_cache.fingerprint(settings.policy)
    return left_of({cell.id: read_cell(out, cell, settings, weights) for cell in cells})


def read_cell(out: Path, cell: TrialCell, settings: TrialSettings, weights: str) -> Result | None:
    """A cell made with these settings of the policy with these weights; None where there is none."""
    return read_result(cell_file(out, cell), settings, weights)


def cell_file(out: Path, cell: TrialCell) -> Path:
    """Where a cell's result lies."""
    return out / cell.training / cell.arm / f"{cell.seed}.json"


def make_cell(
    cell: TrialCell, settings: TrialSettings, store: Store, progress: Progress = Progress()
) -> dict[str, Any]:
    """Make a cell and return its result, plain data."""
    began_s = time.monotonic()
    training, arm = TRAININGS[cell.training], ARMS[cell.arm]
    trained_as = arm.of or cell.arm
    rate = _rate(replace(cell, arm=trained_as), settings, store, progress.part(0.0, 0.4))
    adapter_id = _trained(training, trained_as, cell.seed, rate, settings, store, progress.part(0.4, 0.7))
    trained: FinetuneResult = store.load(adapter_id)
    return {
        "cell": cell.id,
        "command": f"python -m steering evidence trial --run --cell {cell.id} --out FOLDER",
        "settings": plain_params(asdict(settings)),
        "versions": versions(),
        "weights": policy_cache.fingerprint(settings.policy),
        "learning_rate": rate,
        "heads": [[h.stack, h.layer, h.head] for h in trained.selection.heads] if trained.selection else [],
        "chosen_by": trained.selection.rule if trained.selection else "",
        "parameters": dict(trained.parameters),
        "train_s": round(trained.train_s, 2),
        "conditions": _conditions(training, arm, trained, adapter_id, settings, store, progress.part(0.7, 1.0)),
        "wall_s": round(time.monotonic() - began_s, 1),
    }


def _rate(cell: TrialCell, settings: TrialSettings, store: Store, progress: Progress) -> float:
    """The learning rate of a training: its arm's own, that of the arm that it follows, or the one chosen for it."""
    arm = ARMS[cell.arm]
    if arm.method == "zero_shot":
        return 0.0
    return arm.rate or chosen_rate(replace(cell, arm=arm.rate_of or cell.arm), settings, store, progress)


def chosen_rate(cell: TrialCell, settings: TrialSettings, store: Store, progress: Progress) -> float:
    """The learning rate of the lowest mean error on demonstrations recorded for this alone, without noise; no scene."""
    if len(settings.rates) == 1:
        return settings.rates[0]
    training = TRAININGS[cell.training]
    recorded = pipeline.record(store, task=training.task, count=settings.rate_heldout, seed=RATE_HELDOUT_SEED)
    errors = []
    for i, rate in enumerate(settings.rates):
        part = progress.part(i / len(settings.rates), (i + 1) / len(settings.rates))
        adapters = [_trained(training, cell.arm, seed, rate, settings, store, part) for seed in settings.rate_seeds]
        errors.append(float(np.mean([_error(one, recorded, settings, store) for one in adapters])))
    return settings.rates[int(np.nanargmin(errors))]


def _error(adapter_id: str, demonstrations_id: str, settings: TrialSettings, store: Store) -> float:
    """Error of the action chunks on RATE_FRAMES frames of demonstrations: squared standard deviations."""
    from steering.finetune.evaluation import heldout_error
    from steering.finetune.frames import frame_set

    demonstrations: Demonstrations = store.load(demonstrations_id)
    policy = policy_cache.get(settings.policy, store.load(adapter_id).folder, demonstrations)
    episodes = range(len(demonstrations.episodes))
    return heldout_error(policy, frame_set(policy, demonstrations, episodes, Progress(), draws=0, limit=RATE_FRAMES), 0)


def with_noise(demonstrations: Demonstrations, share: float, chunk: int, seed: int) -> Demonstrations:
    """The demonstrations with noise of one standard deviation of each action added in a `share` of their chunks.

    chunk: frames. Chunks follow each other without overlap; which are noisy depends on `seed` alone.
    """
    if not 0 < share <= 1:
        raise InputError(f"Expected a share of chunks above 0 and at most 1; got {share}.")
    rng = np.random.default_rng((seed, 79))
    spread = np.concatenate([episode.action for episode in demonstrations.episodes]).std(0)

    def changed(episode: Episode) -> Episode:
        noisy = np.repeat(rng.random(-(-episode.frames // chunk)) < share, chunk)[: episode.frames]
        noise = rng.standard_normal(episode.action.shape) * spread
        return replace(episode, action=(episode.action + noisy[:, None] * noise).astype(np.float32))

    return replace(demonstrations, episodes=tuple(map(changed, demonstrations.episodes)))


def arm_settings(arm: str, seed: int, rate: float, settings: TrialSettings) -> FinetuneSettings:
    """What an arm trains: its preset's modules and ratio of ranks, at the trial's rank and steps or its own."""
    from steering.finetune.presets import preset

    how, recipe = ARMS[arm], preset(ARMS[arm].recipe)
    rank, steps = how.rank or settings.rank, how.steps or settings.steps
    return FinetuneSettings(
        steps=steps,
        batch_size=settings.batch_size,
        rank=rank,
        alpha=float(rank),
        learning_rate=rate,
        warmup_steps=min(20, max(1, steps // 5)),
        seed=seed,
        precision=settings.precision,
        expert_rank=None if recipe.expert_rank is None else rank * recipe.expert_rank // recipe.rank,
        **{name: getattr(recipe, name) for name in RECIPE},
    )


def _trained(
    training: Training, arm: str, seed: int, rate: float, settings: TrialSettings, store: Store, progress: Progress
) -> str:
    how = ARMS[arm]
    demonstrations_id = _demonstrations(training, seed, settings, store, progress.part(0, 0.2))
    return pipeline.finetune(
        store,
        demonstrations_id=demonstrations_id,
        method=how.method,
        selection_id=_selection(training, arm, how, demonstrations_id, seed, settings, store, progress.part(0.2, 0.4)),
        settings=arm_settings(arm, seed, rate, settings),
        heldout_episodes=(),
        policy=settings.policy,
        progress=progress.part(0.4, 1),
    )


def _demonstrations(training: Training, seed: int, settings: TrialSettings, store: Store, progress: Progress) -> str:
    clean = pipeline.record(store, task=training.task, count=training.demonstrations, seed=seed, progress=progress)
    if not training.noisy:
        return clean
    chunk = policy_cache.get(settings.policy).chunk_size
    params = {"noisy": training.noisy, "chunk": chunk, "seed": seed}
    if done := store.find_made("demonstrations", (clean,), params):
        return done
    noisy = with_noise(store.load(clean), training.noisy, chunk, seed)
    return store.save("demonstrations", noisy, parents=(clean,), params=params)


def _selection(
    training: Training,
    arm: str,
    how: Arm,
    demonstrations_id: str,
    seed: int,
    settings: TrialSettings,
    store: Store,
    progress: Progress,
) -> str | None:
    if how.rule is None:
        return None
    activations_id = pipeline.capture(
        store, demonstrations_id=demonstrations_id, policy=settings.policy, seed=seed, progress=progress
    )
    relevance_id = pipeline.score(store, activations_id=activations_id, preset="paper")
    count = how.heads or settings.heads
    if how.rule == "paper":
        return pipeline.select(store, relevance_id=relevance_id, count=count, stacks=("vlm",))
    heads: Sequence[Head]
    if how.rule == "paper_both":
        halves = [
            pipeline.select(store, relevance_id=relevance_id, count=count // 2, stacks=(stack,))
            for stack in ("vlm", "expert")
        ]
        heads = [head for half in halves for head in store.load(half).heads]
    elif how.rule == RANDOM:
        relevance: Relevance = store.load(relevance_id)
        movable = ~relevance.inert[relevance.shape.index("vlm")]
        places = drawn(movable, count, lot(training.task, training.demonstrations, seed, arm))
        heads = [Head("vlm", layer, head) for layer, head in places]
    else:
        rule = screen_winner() if how.rule == WINNER else how.rule
        heads = choose(rule, _asked(training, demonstrations_id, seed, settings, store), count, progress).heads
    return pipeline.select(store, relevance_id=relevance_id, rule="manual", heads=[astuple(head) for head in heads])


def _asked(training: Training, demonstrations_id: str, seed: int, settings: TrialSettings, store: Store) -> Asked:
    """What rules of the screen see: the demonstrations that train. None of them looks at held-out ones."""
    return Asked(
        store=store,
        demonstrations_id=demonstrations_id,
        heldout_id=demonstrations_id,
        heldout_frames=1,
        policy=settings.policy,
        settings=ScreenSettings().of_seed(seed),
        task=training.task,
        seed=seed,
    )


def screen_rules() -> tuple[str, ...]:
    """The three best rules of the finished screen, best first; none while it lacks cells."""
    return best_rules(read_results_in(SCREEN))[:CONFIRMED]


def screen_winner() -> str:
    """The best rule of the screen. Raises InputError while it lacks cells."""
    rules = screen_rules()
    if not rules:
        raise InputError("The screen has no best rule yet: `python -m steering evidence screen` makes what it lacks.")
    return rules[0]


def _conditions(
    training: Training,
    arm: Arm,
    trained: FinetuneResult,
    adapter_id: str,
    settings: TrialSettings,
    store: Store,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Success as a string of 0 and 1, one a scene; scenes are the same for every cell."""
    from steering.rollout.runner import run_scenes
    from steering.simulation.families import FAMILIES, STEP_LIMITS, family_scene
    from steering.simulation.tasks import TASKS, bench_scene

    demonstrations: Demonstrations = store.load(store.manifest(adapter_id).parents[0])
    folder = None if arm.method == "zero_shot" else trained.folder
    policy = policy_cache.get(settings.policy, folder, demonstrations, strength=arm.strength)
    seeds, found = pipeline.scene_seeds(SCENE_SET, settings.trials), []
    for i, (task, variations) in enumerate(training.conditions):
        of_family = task in FAMILIES
        scenes = [family_scene(task, s) if of_family else bench_scene(task, s, variations) for s in seeds]
        limit = STEP_LIMITS[task] if of_family else TASKS[task].step_limit
        part = progress.part(i / len(training.conditions), (i + 1) / len(training.conditions))
        outcomes = run_scenes(policy, scenes, seeds, limit, progress=part)
        found.append(
            {
                "task": task,
                "variations": list(variations),
                "success": "".join(str(int(one.success)) for one in outcomes),
            }
        )
    return found
