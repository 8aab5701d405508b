"""What lies behind a score: why a head predicts what it does, its outputs in the plane, by time, on other episodes."""

from __future__ import annotations

from collections.abc import Sequence

from steering.errors import InputError, unknown_name
from steering.pipeline.making import kept, load, made
from steering.pipeline.questions import conditioner_of, demonstrations_of, frames_of, nearest_of, question_of
from steering.progress import Progress
from steering.store import Store
from steering.types import (
    PAPER_SET_SIZE,
    Demonstrations,
    Head,
    Projection,
    RankAgreement,
    Relevance,
    RelevanceOverTime,
    Replication,
    ScoreByFrame,
    Why,
)


def why(
    store: Store, *, activations_id: str, head: Head, episode: int, frames: Sequence[int], k: int = 10
) -> list[Why]:
    """The k nearest frames of each of `frames` in a head's output, and what was done there. Not stored.

    For each the captured frame nearest to it is taken, which is that frame where every frame was captured.
    Milliseconds; a tenth of a second for an episode of 300 frames at π0's size.
    """
    from steering.relevance import why as stage

    activations = frames_of(store, activations_id, False)
    return stage.why(activations, head, stage.rows_of(activations, episode, frames), k)


def projection(store: Store, *, activations_id: str, head: Head) -> Projection:
    """A head's outputs in the plane, with the phase of each frame. Milliseconds; not stored."""
    from steering.relevance.phases import phases_of
    from steering.relevance.projection import project

    activations = frames_of(store, activations_id, False)
    demonstrations_id = demonstrations_of(store, activations_id)
    demonstrations = None if demonstrations_id is None else kept(store, demonstrations_id, Demonstrations)
    return project(activations, head, phases_of(activations, demonstrations))


def by_frame(
    store: Store, *, activations_id: str, head: Head, k: int, preset: str = "default", target: str = "action"
) -> ScoreByFrame:
    """What every frame adds to the score of a head. Not stored; 0.2 s for 2 000 frames."""
    from steering.relevance.by_frame import by_frame as stage
    from steering.relevance.phases import phases_of

    activations = frames_of(store, activations_id, False)
    question, _ = question_of(store, activations_id, activations, preset, target, "whole")
    conditioner = conditioner_of(store, activations_id, False, preset, question)
    demonstrations_id = demonstrations_of(store, activations_id)
    demonstrations = None if demonstrations_id is None else kept(store, demonstrations_id, Demonstrations)
    phase = phases_of(activations, demonstrations)
    return stage(activations, head, question, k=k, preset=preset, phase=phase, conditioner=conditioner)


def over_time(
    store: Store, *, neighbours_id: str, k: int, preset: str = "default", target: str = "action", bins: int = 20
) -> RelevanceOverTime:
    """Relevance of every head by time in the episode, from kept neighbours (`neighbours`). Not stored."""
    from steering.relevance.over_time import over_time as stage

    manifest = store.manifest(neighbours_id)
    activations_id = manifest.parents[0]
    keyframes = bool(manifest.params["keyframes"])
    activations = frames_of(store, activations_id, keyframes)
    found = nearest_of(store, neighbours_id, k)
    question, _ = question_of(store, activations_id, activations, preset, target, "whole")
    conditioner = conditioner_of(store, activations_id, keyframes, preset, question)
    return stage(activations, found, question, k=k, preset=preset, bins=bins, conditioner=conditioner)


def agreement_of_stack(
    store: Store, *, first_id: str, second_id: str, stack: str, effect: str | None = None
) -> RankAgreement:
    """Rank agreement of two relevances within one stack, whose heads see the same tokens.

    effect: one of the second's `effects`, compared in place of its score.
    """
    from steering.relevance.stability import rank_agreement

    first, second = (load(store, one, Relevance) for one in (first_id, second_id))
    s = first.shape.index(stack)
    if effect is not None and effect not in second.effects:
        raise unknown_name(f"effect of {second.metric}", effect, second.effects)
    names = (f"{first.metric} ({first.preset})", effect or f"{second.metric} ({second.preset})")
    values = second.score if effect is None else second.effects[effect]
    return rank_agreement(first.score[s], values[s], names, first.inert[s] | second.inert[s])


def replicate(
    store: Store,
    *,
    relevance_id: str,
    other_activations_id: str,
    counts: Sequence[int] = (5, 10, 15, 20),
    set_size: int = PAPER_SET_SIZE,
    replicates: int | None = None,
    seed: int = 0,
    progress: Progress = Progress(),
) -> str:
    """Would other demonstrations choose the same heads? The relevance's own against those of other activations.

    Asked as the relevance was: preset, keyframes, k of each stack; the action over whole episodes.
    """
    from steering.relevance import replication as stage

    relevance: Relevance = load(store, relevance_id, Relevance)
    manifest = store.manifest(relevance_id)
    if relevance.metric != "knn" or manifest.params.get("target") or manifest.params.get("phase"):
        raise InputError("Replication is of the k-NN score of the action over whole episodes. Choose such a relevance.")
    replicates = stage.REPLICATES if replicates is None else replicates

    def make() -> Replication:
        keyframes = bool(manifest.params.get("keyframes"))
        pools = tuple(frames_of(store, one, keyframes) for one in (manifest.parents[0], other_activations_id))
        return stage.replicate(
            (pools[0], pools[1]),
            relevance.best_k,
            counts,
            preset=relevance.preset,
            set_size=set_size,
            replicates=replicates,
            seed=seed,
            progress=progress,
        )

    params = {"counts": list(counts), "set_size": set_size, "replicates": replicates, "seed": seed}
    return made(store, "replication", (relevance_id, other_activations_id), params, make)
