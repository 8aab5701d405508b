"""What every question about cached activations starts from: the frames that count and the target.

The last artefacts read stay in this process (LOADED activations and their neighbours, about 0.1 GB on the embedded
policy), so that an answer costs no reading while a slider is dragged.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from steering.errors import InputError
from steering.pipeline.making import load
from steering.store import Store
from steering.types import Activations, Demonstrations

if TYPE_CHECKING:
    from steering.relevance.targets import Target

LOADED = 2


def question_of(
    store: Store, activations_id: str, activations: Activations, preset: str, target: str, phase: str
) -> tuple[Target, np.ndarray]:
    """The target, and the frames that count, bool [frame]."""
    from steering.relevance import phases, targets

    demonstrations_id = demonstrations_of(store, activations_id)
    demonstrations = None if demonstrations_id is None else load(store, demonstrations_id, Demonstrations)
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
    rate_hz = load(store, demonstrations_id, Demonstrations).episodes[0].rate_hz
    return take(activations, find_keyframes(activations, rate_hz))


def demonstrations_of(store: Store, activations_id: str) -> str | None:
    """Where the activations came from; None for an imported file."""
    return next(iter(store.manifest(activations_id).parents), None)


@functools.lru_cache(maxsize=2 * LOADED)
def kept(store: Store, artefact_id: str, expected: type) -> Any:
    """`making.load`, which remembers the last artefacts; they are not to be changed."""
    return load(store, artefact_id, expected)
