"""The stages in order: demonstrations → activations → relevance → selection → finetune → rollouts → comparison.

    store = Store("runs")
    demonstrations = record(store, task="place_cube_in_bowl")
    relevance = score(store, activations_id=capture(store, demonstrations_id=demonstrations))

Each function reads its inputs from the store, runs one stage, stores the result with its parents and parameters, and
returns its id. Work that was done before with the same inputs, parameters and weights is not done again. Importing
this module is cheap: torch, transformers and MuJoCo load inside the functions that need them.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from steering import policy_cache
from steering.errors import InputError, unknown_name
from steering.progress import Progress
from steering.store import Store, work_key
from steering.types import (
    METHODS,
    PAPER_SET_SIZE,
    Activations,
    Demonstrations,
    FinetuneSettings,
    Head,
    HeadShape,
    Relevance,
    Selection,
)

RULES = ("top_k", "bottom", "random", "manual")
MAX_TRIALS = 1000
_FIRST_SCENE, _END_SCENE = 100_000, 1_000_000  # demonstrations begin at the end


def record(
    store: Store,
    *,
    task: str,
    count: int = 20,
    seed: int = 0,
    variations: Sequence[str] = (),
    progress: Progress = Progress(),
) -> str:
    """Record `count` demonstrations of a simulator task by its scripted expert."""
    from steering.demonstrations import recording

    params = {"task": task, "count": count, "seed": seed, "variations": list(variations)}
    return _made(
        store,
        "demonstrations",
        (),
        params,
        lambda: recording.record(task, count, seed, variations=tuple(variations), progress=progress),
    )


def capture(
    store: Store,
    *,
    demonstrations_id: str,
    policy: str = "embedded",
    vlm_token: str = "last_prefix",
    expert_token: str = "first_action",
    timestep: float = 1.0,
    seed: int = 0,
    stride: int = 1,
    progress: Progress = Progress(),
) -> str:
    """Capture the output of every head at one token per stack, over the frames of the demonstrations."""
    tokens: dict[str, Any] = {"vlm_token": vlm_token, "expert_token": expert_token}
    tokens |= {"timestep": timestep, "seed": seed, "stride": stride}

    def make() -> Activations:
        from steering.activations import capture as stage

        demonstrations = _load(store, demonstrations_id, Demonstrations)
        return stage.capture(policy_cache.get(policy), demonstrations, **tokens, progress=progress)

    return _made(store, "activations", (demonstrations_id,), {**_weights(policy), **tokens}, make)


def score(
    store: Store,
    *,
    activations_id: str,
    preset: str = "paper",
    metric: str = "knn",
    ks: Sequence[int] | None = None,
    keyframes: bool | None = None,
    progress: Progress = Progress(),
) -> str:
    """Score every head. The relevance has the demonstrations as second parent, so that it is found from them alone.

    keyframes: whether only keyframes count. By default those of the paper preset, where they are enough for every k;
    else all frames. The manifest says which.
    """
    from steering.relevance import knn
    from steering.relevance.folds import fewest_training_frames
    from steering.relevance.keyframes import keyframes as find_keyframes
    from steering.relevance.keyframes import take
    from steering.relevance.scoring import score as score_heads

    demonstrations_id = store.manifest(activations_id).parents[0]
    ks = tuple(ks or knn.KS)
    activations = _load(store, activations_id, Activations)
    if keyframes or (keyframes is None and preset == "paper"):
        rate_hz = _load(store, demonstrations_id, Demonstrations).episodes[0].rate_hz
        at_keyframes = take(activations, find_keyframes(activations, rate_hz))
        keyframes = keyframes or fewest_training_frames(at_keyframes.episode, at_keyframes.frame) >= max(ks)
        activations = at_keyframes if keyframes else activations

    def make() -> Relevance:
        from steering.models.sites import inert_mask

        return score_heads(activations, preset, ks, metric, inert_mask(activations.shape), progress)

    params = {"preset": preset, "metric": metric, "ks": ks, "keyframes": bool(keyframes)}
    return _made(store, "relevance", (activations_id, demonstrations_id), params, make)


def select(
    store: Store,
    *,
    relevance_id: str,
    rule: str = "top_k",
    count: int = PAPER_SET_SIZE,
    stacks: Sequence[str] = ("vlm",),
    heads: Sequence[Sequence[Any]] | None = None,
    seed: int = 0,
    progress: Progress = Progress(),
) -> str:
    """Choose heads by a rule of RULES.

    `random` draws as many heads per layer as the best `count` have there, by `seed`. `manual` takes `heads`, rows of
    (stack, layer, head).
    """
    from steering.selection import controls, rules

    if rule not in RULES:
        raise unknown_name("selection rule", rule, RULES)
    relevance = _load(store, relevance_id, Relevance)
    shape = HeadShape(relevance.score.shape[1], relevance.score.shape[2], head_dim=1)
    stacks = tuple(stacks)
    params: dict[str, Any] = {"rule": rule, "count": count, "stacks": stacks}
    if rule == "manual":
        chosen = tuple(_head(row) for row in heads or ())
        params = {"rule": rule, "heads": sorted(dataclasses.astuple(head) for head in chosen)}
        selection = rules.manual(chosen, shape, relevance.inert)
    elif rule == "bottom":
        selection = controls.bottom(relevance, count, stacks)
    else:
        selection = rules.top_k(relevance, count, stacks)
        if rule == "random":
            params["seed"] = seed
            selection = controls.random_heads(selection, shape, seed, relevance.inert)
    progress.report(1.0, f"Selected {len(selection.heads)} heads")
    return _made(store, "selection", (relevance_id,), params, lambda: selection)


def attention(
    store: Store,
    *,
    demonstrations_id: str,
    episode: int = 0,
    policy: str = "embedded",
    seed: int = 0,
    progress: Progress = Progress(),
) -> str:
    """Attention weights of every head over one episode, for display."""
    params = {**_weights(policy), "episode": episode, "seed": seed}

    def make() -> object:
        from steering.activations import attention as stage

        episodes = _load(store, demonstrations_id, Demonstrations).episodes
        if not 0 <= episode < len(episodes):
            raise InputError(f"There is no episode {episode}; the demonstrations have 0 to {len(episodes) - 1}.")
        return stage.attention(policy_cache.get(policy), episodes[episode], seed=seed, progress=progress)

    return _made(store, "attention", (demonstrations_id,), params, make)


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
    params = {**_weights(policy), "method": method, "settings": settings, "seed": settings.seed}
    if made := store.find_made("adapter", parents, params):
        return made
    from steering.finetune import training
    from steering.finetune.checkpoint import CHECKPOINT_FILE

    selection = _load(store, selection_id, Selection) if len(parents) == 2 and selection_id else None
    demonstrations = _load(store, demonstrations_id, Demonstrations)
    work = store.checkpoints(work_key("adapter", parents, params))
    result = training.finetune(
        policy_cache.get(policy), demonstrations, method, settings, selection, work, progress=progress
    )
    with store.new_folder("adapter") as folder:
        shutil.copytree(work, folder / "adapter", ignore=shutil.ignore_patterns(CHECKPOINT_FILE, "*.tmp"))
        stored = dataclasses.replace(result, folder=folder / "adapter")
        made = store.save("adapter", stored, parents=parents, params=params, folder=folder)
    shutil.rmtree(work, ignore_errors=True)
    return made


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
    params = {**_weights(policy), "task": task, "method": method, "trials": trials, "seed": seed}
    params |= {"variations": list(variations), "videos": videos}
    if made := store.find_made("rollouts", parents, params):
        return made
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
    return _made(store, "comparison", tuple(rollouts_ids), {}, lambda: comparison)


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


RUNNABLE: Mapping[str, Callable[..., str]] = {
    function.__name__: function
    for function in (record, capture, score, select, attention, finetune, rollout, compare, evaluate)
}
"""The functions that a job may run, by name."""

RESUMABLE = frozenset({"finetune"})
"""Those of RUNNABLE that go on from a checkpoint when they are started again."""


def _made(
    store: Store, kind: str, parents: Sequence[str], params: Mapping[str, Any], make: Callable[[], object]
) -> str:
    """The id of what was made of the same things before, or of what `make` makes now."""
    return store.find_made(kind, parents, params) or store.save(kind, make(), parents=parents, params=params)


def _load(store: Store, artefact_id: str, expected: type) -> Any:
    value = store.load(artefact_id)
    if not isinstance(value, expected):
        raise InputError(f"Expected {expected.__name__}, but {artefact_id} holds {type(value).__name__}.")
    return value


def _weights(policy: str) -> dict[str, str]:
    return {"policy": policy, "weights": policy_cache.fingerprint(policy)}


def _settings(settings: FinetuneSettings | Mapping[str, Any] | None) -> FinetuneSettings:
    if settings is None or isinstance(settings, FinetuneSettings):
        return settings or FinetuneSettings()
    names = [field.name for field in dataclasses.fields(FinetuneSettings)]
    for name in settings:
        if name not in names:
            raise unknown_name("finetuning setting", name, names)
    return FinetuneSettings(**settings)


def _head(row: Sequence[Any]) -> Head:
    stack, layer, head = row
    return Head(str(stack), int(layer), int(head))
