"""What every question about cached activations starts from: the frames that count and the target.

What was read stays in this process while questions come (`steering.kept`), so that an answer costs no reading while a
slider is dragged.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from steering.errors import InputError
from steering.metrics import KS
from steering.pipeline.making import kept, load
from steering.store import Store
from steering.types import Activations, Demonstrations, Neighbours, Spread, Stack

if TYPE_CHECKING:
    from steering.relevance.conditioning import Conditioner
    from steering.relevance.targets import Target


def question_of(
    store: Store, activations_id: str, activations: Activations, preset: str, target: str, phase: str
) -> tuple[Target, np.ndarray]:
    """The target, and the frames that count, bool [frame]."""
    from steering.relevance import phases, targets

    demonstrations_id = demonstrations_of(store, activations_id)
    demonstrations = None if demonstrations_id is None else kept(store, demonstrations_id, Demonstrations)
    question = targets.named(target, activations, preset=preset, demonstrations=demonstrations)
    return question, phases.frames_of(phase, phases.phases_of(activations, demonstrations))


def frames_of(store: Store, activations_id: str, keyframes: bool) -> Activations:
    """The activations, of keyframes only where asked."""
    from steering.relevance.keyframes import keyframes as find_keyframes
    from steering.relevance.keyframes import take

    activations: Activations = kept(store, activations_id, Activations)
    if not keyframes:
        return activations
    demonstrations_id = demonstrations_of(store, activations_id)
    if demonstrations_id is None:
        raise InputError("Keyframes need the recording rate, which this file does not say. Score all of its frames.")
    rate_hz = kept(store, demonstrations_id, Demonstrations).episodes[0].rate_hz
    return take(activations, find_keyframes(activations, rate_hz))


def conditioner_of(
    store: Store, activations_id: str, keyframes: bool, preset: str, target: Target
) -> Conditioner | None:
    """What a score of these frames has its baseline of state and time from, kept for the next question.

    None where a score over the mean cannot have it.
    """
    from steering.relevance.baselines import MEAN
    from steering.relevance.conditioning import can_condition
    from steering.relevance.scoring import clock_only, zero_of

    strict = zero_of(preset, target) != MEAN
    if not strict and not can_condition(frames_of(store, activations_id, keyframes)):
        return None
    clock = strict and clock_only(target)

    def make() -> Conditioner:
        from steering.relevance.conditioning import Conditioner

        return Conditioner(frames_of(store, activations_id, keyframes), clock=clock)

    found: Conditioner = store.kept(
        activations_id, f"given {'time' if clock else 'state'}, keyframes {keyframes}", make
    )
    return found


def nearest_of(store: Store, neighbours_id: str, k: int) -> Neighbours:
    """Kept neighbours to be asked at `k`: of every frame those that a k of the paper can ask for, without the spare
    ones that resampling takes out episodes from, which are a third.
    """
    most = max(KS)
    if k > most:
        return kept(store, neighbours_id, Neighbours)

    def make() -> Neighbours:
        cut = load(store, neighbours_id, Neighbours)
        cut = replace(cut, order=cut.order[..., :most].copy())  # one array after the other, so that each goes once cut
        return replace(cut, distance=cut.distance[..., :most].copy())

    found: Neighbours = store.kept(neighbours_id, f"nearest {most}", make)
    return found


def neighbours_of(store: Store, activations_id: str, keyframes: bool, depth: int) -> Neighbours | None:
    """The kept neighbours of these frames, at least `depth` of each; None where there are none."""
    made = store.find_made("neighbours", (activations_id,), {"keyframes": keyframes})
    found: Neighbours | None = kept(store, made, Neighbours) if made else None
    return found if found is not None and found.order.shape[2] >= depth else None


def spread(
    store: Store,
    *,
    demonstrations_id: str,
    preset: str = "default",
    target: str = "action",
    phase: str = "whole",
    keyframes: bool = False,
    steps: int = 1,
) -> Spread:
    """What a score of this question is measured on: frames, keyframes, and the weight of every dimension.

    steps: of a chunk, where the target is one. Read from the demonstrations alone, no head output; milliseconds.
    """
    from steering.relevance import phases, targets
    from steering.relevance.keyframes import of_demonstrations, take

    demonstrations: Demonstrations = kept(store, demonstrations_id, Demonstrations)
    frames = _without_outputs(demonstrations, steps)
    marked = np.concatenate(of_demonstrations(demonstrations))
    asked = take(frames, marked) if keyframes else frames
    question = targets.named(target, asked, preset=preset, demonstrations=demonstrations)
    counted = phases.frames_of(phase, phases.phases_of(asked, demonstrations))
    names, shares, apart = targets.shares(question, counted)
    return Spread(len(marked), int(marked.sum()), int(counted.sum()), keyframes, phase, names, shares, apart)


def _without_outputs(demonstrations: Demonstrations, steps: int) -> Activations:
    """Every frame as it would be captured, of a policy with one head that says nothing."""
    from steering.models.chunks import demonstrated_chunks

    episodes = demonstrations.episodes
    lengths = [one.frames for one in episodes]
    chunks = demonstrated_chunks(demonstrations, steps)
    return Activations(
        outputs=np.zeros((sum(lengths), 1, 1, 1, 1), np.float32),
        episode=np.repeat(np.arange(len(episodes), dtype=np.int32), lengths),
        frame=np.concatenate([np.arange(one, dtype=np.int32) for one in lengths]),
        action=np.concatenate([one.action for one in episodes]).astype(np.float32),
        chunk=np.concatenate(chunks),
        state=np.concatenate([one.state for one in episodes]).astype(np.float32),
        time_in_episode=np.concatenate([np.linspace(0, 1, one, dtype=np.float32) for one in lengths]),
        tokens=("",),
        timestep=1.0,
        seed=0,
        inert=np.zeros((1, 1, 1), bool),
        stacks=(Stack("none", 1, 1, 1),),
        robot=demonstrations.robot,
    )


def demonstrations_of(store: Store, activations_id: str) -> str | None:
    """Where the activations came from; None for an imported file."""
    return next(iter(store.manifest(activations_id).parents), None)
