"""The ceiling of the screen: heads chosen one after another by the held-out error that a short training reaches.

Never compared as a rule: it trains dozens of times. A fifth of the training demonstrations is held apart and the rest
trained on, so it sees what the rules see. Bounded: at each step one candidate a layer is tried, the head with the
largest predicted fall of the loss (`attribution.trainability`), STEPS steps each. Every tried set is remembered
beside the store, so that a killed choice goes on, and eight heads begin with the four. Cost on the embedded policy: 7
trainings a head, about 20 s of a core each: 10 minutes for four heads, 20 for eight.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from steering.evidence.cell_files import write_result
from steering.selection.trainable import Place
from steering.types import Demonstrations, FinetuneSettings

STEPS = 50
APART = 5
"""One of so many demonstrations, the last ones, is held apart."""
FRAMES = 48


def greedy(
    fall: np.ndarray, movable: np.ndarray, count: int, error: Callable[[tuple[Place, ...]], float]
) -> tuple[Place, ...]:
    """`count` heads, each the candidate whose addition leaves the lowest `error` of all layers' candidates.

    fall: [layer, head], by which a layer's candidate is taken; movable: bool [layer, head].
    """
    chosen: tuple[Place, ...] = ()
    while len(chosen) < count:
        left = movable.copy()
        for place in chosen:
            left[place] = False
        candidates = [
            (int(layer), int(np.where(left[layer], fall[layer], -np.inf).argmax()))
            for layer in np.flatnonzero(left.any(1))
        ]
        chosen = min((tuple(sorted((*chosen, one))) for one in candidates), key=error)
    return chosen


def split(demonstrations: Demonstrations) -> tuple[Demonstrations, Demonstrations]:
    """Training demonstrations without their last fifth, and that fifth (at least one)."""
    episodes = demonstrations.episodes
    apart = max(len(episodes) // APART, 1)
    return replace(demonstrations, episodes=episodes[:-apart]), replace(demonstrations, episodes=episodes[-apart:])


def short(settings: FinetuneSettings) -> FinetuneSettings:
    """The screen's training, cut to STEPS."""
    return replace(settings, steps=min(STEPS, settings.steps), warmup_steps=max(1, min(STEPS, settings.steps) // 5))


def remembered(file: Path, make: Callable[[tuple[Place, ...]], float]) -> Callable[[tuple[Place, ...]], float]:
    """`make`, which gives the error of a set of heads, asked once a set: errors are kept in `file`."""
    known: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    def error(places: tuple[Place, ...]) -> float:
        name = " ".join(f"{layer}.{head}" for layer, head in places)
        if name not in known:
            known[name] = make(places)
            write_result(file, known)
        return known[name]

    return error
