"""Scores of heads, from cached activations alone, and how far they can be trusted.

`rescore` answers while a slider is dragged: it keeps the last activations and neighbours in this process and stores
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from steering.metrics import KS
from steering.pipeline.making import load, made
from steering.pipeline.questions import (
    conditioner_of,
    demonstrations_of,
    frames_of,
    nearest_of,
    neighbours_of,
    question_of,
)
from steering.progress import Progress
from steering.store import Store
from steering.types import Neighbours, RankAgreement, Relevance, Trust


def score(
    store: Store,
    *,
    activations_id: str,
    preset: str | None = None,
    metric: str = "knn",
    ks: Sequence[int] | None = None,
    keyframes: bool | None = None,
    target: str = "action",
    phase: str = "whole",
    include_inert: bool = False,
    progress: Progress = Progress(),
) -> str:
    """Score every head. The relevance has the demonstrations as second parent, so that it is found from them alone.

    preset: `default`, the strict one, or `paper`; unset, the strict one where there are episodes enough and the robot's
    state. ks: neighbours tried; by default those of the paper that the demonstrations have enough frames for.
    keyframes: whether only keyframes count. By default those of the paper preset, where they are enough for every k;
    else all frames. The manifest says which. target: one of `relevance.targets.TARGETS`. phase: `whole` or one of
    PHASES, the frames whose errors count. include_inert: rules may choose heads that cannot move an action, as the
    authors' release does.
    """
    from steering.relevance import knn
    from steering.relevance.folds import fewest_training_frames
    from steering.relevance.scoring import fitting_preset
    from steering.relevance.scoring import score as score_heads

    preset = preset or fitting_preset(frames_of(store, activations_id, False))
    wanted = tuple(ks or KS)
    demonstrations_id = demonstrations_of(store, activations_id)

    def most_neighbours(of_keyframes: bool) -> int:
        chosen = frames_of(store, activations_id, of_keyframes)
        return fewest_training_frames(chosen.episode, chosen.frame)

    if keyframes is None and preset == "paper" and demonstrations_id is not None:
        keyframes = most_neighbours(True) >= max(wanted)
    if ks is None:
        asked = frames_of(store, activations_id, bool(keyframes))
        wanted = knn.fitting_ks(asked.episode, asked.frame)

    def make() -> Relevance:
        activations = frames_of(store, activations_id, bool(keyframes))
        question, counted = question_of(store, activations_id, activations, preset, target, phase)
        by_knn = metric == "knn"
        return score_heads(
            activations,
            preset,
            wanted,
            metric,
            progress,
            include_inert=include_inert,
            target=question,
            counted=counted,
            phase=phase,
            neighbours=neighbours_of(store, activations_id, bool(keyframes), max(wanted)) if by_knn else None,
            conditioner=conditioner_of(store, activations_id, bool(keyframes), preset, question),
        )

    params = {"preset": preset, "metric": metric, "ks": wanted, "keyframes": bool(keyframes)}
    params |= ({"target": target} if target != "action" else {}) | ({"phase": phase} if phase != "whole" else {})
    params |= {"include_inert": True} if include_inert else {}
    parents = (activations_id,) if demonstrations_id is None else (activations_id, demonstrations_id)
    return made(store, "relevance", parents, params, make)


def trust(
    store: Store,
    *,
    relevance_id: str,
    replicates: int | None = None,
    permutations: int | None = None,
    seed: int = 0,
    progress: Progress = Progress(),
) -> str:
    """Bootstrap intervals, set stability and the permutation null of a k-NN relevance: a Trust, its parent that."""
    from steering.relevance import trust as stage
    from steering.relevance.scoring import prepare

    replicates = stage.REPLICATES if replicates is None else replicates
    permutations = stage.PERMUTATIONS if permutations is None else permutations

    def make() -> Trust:
        relevance = load(store, relevance_id, Relevance)
        manifest = store.manifest(relevance_id)
        activations_id = manifest.parents[0]
        keyframes = bool(manifest.params.get("keyframes"))
        activations = frames_of(store, activations_id, keyframes)
        name, phase = manifest.params.get("target", "action"), manifest.params.get("phase", "whole")
        target, counted = question_of(store, activations_id, activations, relevance.preset, name, phase)
        found = neighbours_of(store, activations_id, keyframes, max(relevance.ks))
        return stage.trust(
            relevance,
            found or prepare(activations, progress=progress.part(0, 0.1)),
            target,
            counted,
            replicates=replicates,
            permutations=permutations,
            seed=seed,
            conditioner=conditioner_of(store, activations_id, keyframes, relevance.preset, target),
            progress=progress.part(0.1, 1),
        )

    params = {"replicates": replicates, "permutations": permutations, "seed": seed}
    return made(store, "trust", (relevance_id,), params, make)


def neighbours(store: Store, *, activations_id: str, keyframes: bool = False, progress: Progress = Progress()) -> str:
    """Find and keep the neighbours of all frames, or of keyframes, beside the activations, for `rescore`."""
    from steering.relevance.scoring import prepare

    def make() -> Neighbours:
        return prepare(frames_of(store, activations_id, keyframes), progress=progress)

    return made(store, "neighbours", (activations_id,), {"keyframes": keyframes}, make)


def rescore(
    store: Store,
    *,
    neighbours_id: str,
    k: int,
    preset: str = "default",
    target: str = "action",
    phase: str = "whole",
) -> Relevance:
    """k-NN scores at one k for another target or phase, in a fraction of a second; nothing is stored."""
    from steering.relevance.scoring import rescore as rescore_heads

    manifest = store.manifest(neighbours_id)
    activations_id = manifest.parents[0]
    keyframes = bool(manifest.params["keyframes"])
    activations = frames_of(store, activations_id, keyframes)
    found = nearest_of(store, neighbours_id, k)
    question, counted = question_of(store, activations_id, activations, preset, target, phase)
    conditioner = conditioner_of(store, activations_id, keyframes, preset, question)
    return rescore_heads(
        activations,
        found,
        k=k,
        preset=preset,
        target=question,
        counted=counted,
        phase=phase,
        conditioner=conditioner,
    )


def agreement(store: Store, relevance_ids: Sequence[str]) -> tuple[RankAgreement, ...]:
    """Rank agreement of every two relevances of the same heads, over the heads that neither holds inert."""
    from steering.relevance.stability import rank_agreement

    relevances = [load(store, one, Relevance) for one in relevance_ids]
    names = [f"{r.metric} ({r.preset})" for r in relevances]
    shown = [n if names.count(n) == 1 else f"{n}, {one}" for n, one in zip(names, relevance_ids, strict=True)]
    return tuple(
        rank_agreement(a.score, b.score, (shown[i], shown[j]), a.inert | b.inert)
        for j, b in enumerate(relevances)
        for i, a in enumerate(relevances[:j])
    )


def import_activations(store: Store, path: Path, task: str | None = None) -> str:
    """Store the activations of one task of the authors' HDF5 file, so that they are scored like our own."""
    from steering.relevance import authors_file

    activations = authors_file.read(path, task)
    return store.save("activations", activations, params={"file": path.name, "task": task})
