"""Set algebra of head sets: what tasks share, what each has of its own, and what chance alone would share. Instant.

Chance: sets of the same sizes drawn at random from the movable heads of each stack; two draws then share a
hypergeometric number of heads, and a head is in so many of several sets by a Poisson-binomial law.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb

import numpy as np

from steering.errors import InputError, unknown_name
from steering.types import Head, HeadShape, Overlap, Selection, in_order

OPERATIONS = ("shared", "union", "difference")


def combine(selections: Sequence[Selection], operation: str) -> Selection:
    """One set of several: `shared` by all, `union` of all, or `difference`: the first's heads that no other has."""
    if operation not in OPERATIONS:
        raise unknown_name("set operation", operation, OPERATIONS)
    if len(selections) < 2:
        raise InputError(f"Expected at least two selections to combine, got {len(selections)}.")
    first, *others = (set(selection.heads) for selection in selections)
    if operation == "shared":
        heads = first.intersection(*others)
    else:
        heads = first.union(*others) if operation == "union" else first.difference(*others)
    if not heads:
        raise InputError(f"The {operation} of these {len(selections)} selections holds no head. Choose other sets.")
    rules = {"shared": "shared by", "union": "union of", "difference": "first without the others of"}
    return Selection(in_order(heads), f"{rules[operation]} {len(selections)} sets")


def own(sets: Mapping[str, Sequence[Head]]) -> dict[str, tuple[Head, ...]]:
    """Name -> the heads that only that set has."""
    return {
        name: in_order(set(heads).difference(*(set(other) for n, other in sets.items() if n != name)))
        for name, heads in sets.items()
    }


def overlap(
    first: Sequence[Head], second: Sequence[Head], shape: HeadShape, inert: np.ndarray, names: tuple[str, str]
) -> Overlap:
    """What two sets share, beside chance. inert: bool [stack, layer, head], heads that neither could have taken.

    Expected numbers, p and the expected Jaccard index are exact.
    """
    one, two = _set(first, names[0]), _set(second, names[1])
    shared = one & two
    chance = _chance(one, two, shape, inert)  # probability of sharing 0, 1, … heads
    number = np.arange(len(chance))
    union = len(one) + len(two) - number
    return Overlap(
        names=names,
        sizes=(len(one), len(two)),
        shared=in_order(shared),
        jaccard=len(shared) / len(one | two),
        expected=float(chance @ number),
        expected_jaccard=float(chance @ (number / union)),
        p=float(min(chance[len(shared) :].sum(), 1)),
    )


def held_by(sets: Mapping[str, Sequence[Head]], shape: HeadShape, inert: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many movable heads are in exactly 0, 1, … of the sets: (counted int [set + 1], expected by chance float).

    Counted over the stacks from which any set takes heads. inert: bool [stack, layer, head].
    """
    inert = inert | ~shape.present
    membership = np.zeros((len(sets), *inert.shape), bool)
    for index, (name, heads) in enumerate(sets.items()):
        for head in _set(heads, name):
            membership[(index, *shape.place(head))] = True
    counted, expected = np.zeros(len(sets) + 1, int), np.zeros(len(sets) + 1)
    for stack in np.flatnonzero(membership.any((0, 2, 3))):
        held = membership[:, stack][:, ~inert[stack]]  # [set, head]
        counted += np.bincount(held.sum(0), minlength=len(sets) + 1)
        law = np.ones(1)
        for share in held.mean(1):
            law = np.convolve(law, [1 - share, share])
        expected += held.shape[1] * law
    return counted, expected


def _chance(one: set[Head], two: set[Head], shape: HeadShape, inert: np.ndarray) -> np.ndarray:
    """Probability that random sets of these sizes in each stack share 0, 1, … heads."""
    law = np.ones(1)
    for index, stack in enumerate(shape.names):
        available = int((shape.present & ~inert)[index].sum())
        a, b = (sum(head.stack == stack for head in heads) for heads in (one, two))
        if max(a, b) > available:
            raise InputError(f"Expected at most {available} heads of {stack}, all that can move, got {max(a, b)}.")
        ways = [comb(a, n) * comb(available - a, b - n) for n in range(min(a, b) + 1)]  # hypergeometric
        law = np.convolve(law, [one / comb(available, b) for one in ways])
    return law


def _set(heads: Sequence[Head], name: str) -> set[Head]:
    if not heads:
        raise InputError(f"The head set {name!r} is empty. Choose a set of at least one head.")
    return set(heads)
