"""The choice of k and of the set of best heads: in sample as published, or inside each held-out episode.

In sample (arXiv 2511.22697): at each k the PAPER_SET_SIZE heads of lowest error, concatenated, are scored again; the k
with the lowest error wins. The same episodes choose and judge, so that error flatters.

Nested: for each outer episode, every frame of which is taken out of the queries and of memory, the remaining episodes
choose; k is that whose best heads have the lowest mean inner error. The outer episode then judges the chosen set.

Cost: in sample as many set distances as ks and stacks, 0.3 s for 20 episodes of 60 frames; nested as many as episodes
and stacks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance import knn
from steering.relevance.ridge import ridge_frame_errors
from steering.relevance.threads import for_each
from steering.types import PAPER_SET_SIZE, Activations, Head


@dataclass(frozen=True)
class Choice:
    """One stack's choice. index: of the k in each episode's fold (the same everywhere in sample), int [episode].

    error: of the best set; of episodes that took no part in choosing it where nested. share: float32 [layer, head],
    share of the folds that chose the head. nested: whether it is.
    """

    index: np.ndarray
    error: float
    share: np.ndarray
    nested: bool

    def common(self) -> int:
        """The index chosen most often, the lowest of those where several are."""
        return int(np.argmax(np.bincount(self.index)))


def in_sample(
    activations: Activations,
    values: np.ndarray,
    counted: np.ndarray,
    error: np.ndarray,
    ks: Sequence[int],
    inert: np.ndarray,
) -> list[Choice | None]:
    """The choice of each stack, None where it has only inert heads.

    values: float [frame, dim], the target's scored dimensions. error: float [k, stack, layer, head].
    """
    episodes = len(np.unique(activations.episode))
    sets = {
        (s, i): best_heads(error[i, s], inert[s])
        for s in range(len(inert))
        for i in range(len(ks))
        if not inert[s].all()
    }
    found = dict.fromkeys(sets, 0.0)
    places = list(sets)

    def one(number: int) -> None:
        s, i = places[number]
        features = knn.joined(activations, heads_at(activations, s, sets[s, i]))[:, None]
        errors = knn.errors_of(features, values, activations.episode, activations.frame, ks[i : i + 1])
        found[s, i] = float(errors[0, 0, counted].mean(dtype=np.float64))

    for_each(len(places), one, Progress(), "Scored sets")
    choices: list[Choice | None] = []
    for s in range(len(inert)):
        if inert[s].all():
            choices.append(None)
            continue
        index = int(np.argmin([found[s, i] for i in range(len(ks))]))
        share = np.zeros(inert.shape[1:], np.float32)
        share.ravel()[sets[s, index]] = 1
        choices.append(Choice(np.full(episodes, index), found[s, index], share, nested=False))
    return choices


def judged(
    activations: Activations,
    error: np.ndarray,
    counted: np.ndarray,
    ks: Sequence[int],
    inert: np.ndarray,
    judge: Callable[[int, list[Head], int], float],
    progress: Progress,
    size: int = PAPER_SET_SIZE,
) -> list[Choice | None]:
    """Each stack's choice by the errors that the other episodes make, float [episode, k, head], and its own error.

    judge: (place of the held-out episode, chosen heads, k) -> their squared error summed over its frames that count.
    size: heads of a set.
    """
    error = error.reshape(*error.shape[:2], *inert.shape)
    episodes = len(error)
    choices: list[Choice | None] = []
    for s, stack in enumerate(activations.shape.names):
        if inert[s].all():
            choices.append(None)
            continue
        index, share = np.zeros(episodes, int), np.zeros(inert.shape[1:], np.float32)
        chosen: list[np.ndarray] = []
        for fold in range(episodes):
            sets = [best_heads(error[fold, i, s], inert[s], size) for i in range(len(ks))]
            index[fold] = np.argmin([error[fold, i, s].ravel()[flat].mean() for i, flat in enumerate(sets)])
            chosen.append(sets[index[fold]])
            share.ravel()[chosen[fold]] += 1 / episodes
        errors = np.empty(episodes)

        def one(
            fold: int,
            s: int = s,
            chosen: list[np.ndarray] = chosen,
            errors: np.ndarray = errors,
            index: np.ndarray = index,
        ) -> None:
            errors[fold] = judge(fold, heads_at(activations, s, chosen[fold]), int(ks[index[fold]]))

        part = progress.part(s / len(inert), (s + 1) / len(inert))
        for_each(episodes, one, part, f"Judged the chosen heads of the {stack}, episodes")
        choices.append(Choice(index, float(errors.sum() / counted.sum()), share, nested=True))
    return choices


def linear(
    activations: Activations, values: np.ndarray, counted: np.ndarray, error: np.ndarray, inert: np.ndarray
) -> list[Choice | None]:
    """For the ridge probe, which has no k: the best heads, chosen in sample, and their joint error.

    values: float [frame, dim], or [episode, frame, dim] where each held-out episode has its own. error: float [stack,
    layer, head].
    """
    episodes = len(np.unique(activations.episode))
    choices: list[Choice | None] = []
    for s in range(len(inert)):
        if inert[s].all():
            choices.append(None)
            continue
        best = best_heads(error[s], inert[s])
        features = knn.joined(activations, heads_at(activations, s, best))[:, None]
        errors = ridge_frame_errors(features, values, activations.episode, activations.frame)
        share = np.zeros(inert.shape[1:], np.float32)
        share.ravel()[best] = 1
        total = float(errors[0, counted].mean(dtype=np.float64))
        choices.append(Choice(np.zeros(episodes, int), total, share, nested=False))
    return choices


def given(activations: Activations, inert: np.ndarray) -> Choice | None:
    """One k and no set: what `rescore` has. inert: bool [layer, head]."""
    folds = np.zeros(len(np.unique(activations.episode)), int)
    return None if inert.all() else Choice(folds, float("nan"), np.zeros(inert.shape, np.float32), nested=False)


def best_heads(error: np.ndarray, inert: np.ndarray, count: int = PAPER_SET_SIZE) -> np.ndarray:
    """Flat indices of the `count` movable heads of lowest error, best first; error, inert: [layer, head]."""
    movable = np.flatnonzero(~inert)
    if len(movable) == 0:
        raise InputError("Every head of the stack is marked inert; at least one must not be.")
    return movable[np.argsort(error.ravel()[movable], kind="stable")[:count]]


def heads_at(activations: Activations, stack: int, flat: np.ndarray) -> list[Head]:
    """The heads of a stack at flat indices of the [layer, head] grid."""
    return [activations.shape.at((stack, *divmod(int(index), activations.shape.heads))) for index in flat]
