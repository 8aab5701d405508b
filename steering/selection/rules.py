"""Choose heads: the best by relevance, above chance, within a budget, one after the other, or a set by hand.

Rules never choose an inert head (`Relevance.inert`: one that cannot move an action); a set by hand may not either. A
relevance scored with `include_inert` holds none inert, as the authors' release. Heads are chosen from the VLM unless
other `stacks` are named (`chosen_stacks`). All are instant but `greedy`, which costs what its error function costs: ks
× count × heads calls.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from steering.errors import InputError
from steering.progress import Progress
from steering.types import PAPER_SET_SIZE, Head, HeadShape, Relevance, Selection

ALPHA = 0.05

SetErrors = Callable[[int, tuple[Head, ...], tuple[Head, ...]], np.ndarray]
"""(k, chosen, candidates) -> held-out error of the chosen heads together with each candidate, float [candidate]."""


def top_k(
    relevance: Relevance,
    count: int = PAPER_SET_SIZE,
    stacks: Sequence[str] | None = None,
) -> Selection:
    """The `count` heads of highest score in `stacks`; ties go to the lower stack, layer and head.

    `best_k` is given for a single stack, and `cv_mse` where the set is the very one that it was measured on.
    """
    stacks = chosen_stacks(relevance, stacks)
    ranked = ranking(relevance, stacks)
    check_count(count, len(ranked), stacks)
    single = stacks[0] if len(stacks) == 1 else None
    measured = single is not None and count == min(PAPER_SET_SIZE, len(ranked))
    return Selection(
        heads=relevance.shape.ordered(ranked[:count]),
        rule=f"top {count} of {' and '.join(stacks)} by {relevance.metric} ({relevance.preset})",
        best_k=relevance.best_k.get(single) if single is not None else None,
        cv_mse=relevance.cv_mse.get(single) if single is not None and measured else None,
    )


def above_null(
    relevance: Relevance,
    p: np.ndarray,
    alpha: float = ALPHA,
    stacks: Sequence[str] | None = None,
) -> Selection:
    """Every head whose family-wise p-value lies below `alpha`: better than the best head by chance.

    p: float [stack, layer, head], `Trust.p` of this relevance; NaN counts as not significant. Raises InputError where
    no head is above the null, so that nobody trains an empty set.
    """
    if p.shape != relevance.score.shape:
        raise InputError(f"Expected p-values of the same heads, {relevance.score.shape}, got {p.shape}.")
    if not 0 < alpha < 1:
        raise InputError(f"Expected alpha between 0 and 1, got {alpha}.")
    stacks = chosen_stacks(relevance, stacks)
    chosen = [head for head in ranking(relevance, stacks) if p[relevance.shape.place(head)] < alpha]
    if not chosen:
        known = np.isfinite(p)
        lowest = f"the lowest p-value is {p[known].min():.3g}" if known.any() else "no p-value is known"
        raise InputError(
            f"No head of {' and '.join(stacks)} is better than chance at p < {alpha:g}; {lowest}. Record more "
            "demonstrations, run more permutations or raise alpha."
        )
    return Selection(
        heads=relevance.shape.ordered(chosen),
        rule=f"above the null at p < {alpha:g} of {' and '.join(stacks)} by {relevance.metric} ({relevance.preset})",
    )


def budget(
    relevance: Relevance,
    parameters: int,
    count_parameters: Callable[[tuple[Head, ...]], int],
    stacks: Sequence[str] | None = None,
) -> Selection:
    """As many of the best heads, in order, as train at most `parameters`.

    count_parameters: what a set trains; it may not fall when a head is added. Asked about log₂(heads) times.
    """
    stacks = chosen_stacks(relevance, stacks)
    ranked = ranking(relevance, stacks)
    fits, too_many = 0, len(ranked) + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if count_parameters(tuple(ranked[:middle])) <= parameters:
            fits = middle
        else:
            too_many = middle
    if fits == 0:
        needed = f"; the best head alone trains {count_parameters(tuple(ranked[:1])):,}" if ranked else ""
        raise InputError(
            f"No head fits in {parameters:,} trainable parameters{needed}. Raise the budget or cut the rank."
        )
    return Selection(
        heads=relevance.shape.ordered(ranked[:fits]),
        rule=f"best heads of {' and '.join(stacks)} within {parameters:,} parameters by {relevance.metric} "
        f"({relevance.preset})",
    )


def greedy(
    relevance: Relevance,
    errors: SetErrors,
    count: int = PAPER_SET_SIZE,
    stacks: Sequence[str] | None = None,
    ks: Sequence[int] = (),
    progress: Progress | None = None,
) -> Selection:
    """One head after the other, each time that with which the concatenated set has the lowest held-out error.

    The release's `best_add` (arXiv 2511.22697): always `count` heads, even where the last ones no longer help; done at
    each of `ks` (those of the relevance unless given), and the k whose whole set has the lowest error wins. Ties go to
    the head that is better alone at that k. `cv_mse` is in sample: the same episodes chose the heads.
    """
    ks = tuple(ks or relevance.ks)
    stacks = chosen_stacks(relevance, stacks)
    ranked = ranking(relevance, stacks)
    check_count(count, len(ranked), stacks)
    if not ks or any(k not in relevance.ks for k in ks):
        raise InputError(f"Expected k from those of the relevance, {list(relevance.ks)}, got {list(ks)}.")
    progress = progress or Progress()
    found: list[tuple[float, int, tuple[Head, ...]]] = []
    for number, k in enumerate(ks):
        alone = relevance.error[relevance.ks.index(k)]
        left = sorted(ranked, key=lambda head: float(alone[relevance.shape.place(head)]))
        chosen: tuple[Head, ...] = ()
        lowest = np.inf
        while len(chosen) < count:
            done = (number + len(chosen) / count) / len(ks)
            progress.report(done, f"k = {k}: head {len(chosen) + 1} of {count}")
            with_each = errors(k, chosen, tuple(left))
            best = int(np.argmin(with_each))
            chosen, lowest = (*chosen, left.pop(best)), float(with_each[best])
        found.append((lowest, k, chosen))
    lowest, k, chosen = min(found, key=lambda one: one[0])
    return Selection(
        heads=relevance.shape.ordered(chosen),
        rule=f"greedy {count} of {' and '.join(stacks)} by {relevance.metric} ({relevance.preset})",
        best_k=k,
        cv_mse=lowest,
    )


def manual(heads: Collection[Head], shape: HeadShape, inert: np.ndarray | None = None) -> Selection:
    """A set chosen by hand, checked: at least one head, each one of the policy's, named once, none inert.

    inert: bool [stack, layer, head]; None where it is not known.
    """
    if not heads:
        raise InputError("No head is selected. Select at least one head.")
    if len(set(heads)) != len(heads):
        raise InputError(f"A head is named more than once among the {len(heads)} selected. Name each head once.")
    for head in heads:
        if inert is not None and inert[shape.place(head)]:
            raise InputError(f"{head.label()} cannot move an action (it is inert). Take it out of the selection.")
    return Selection(heads=shape.ordered(heads), rule="manual")


def ranking(relevance: Relevance, stacks: Sequence[str] | None = None) -> list[Head]:
    """The heads of `stacks` (all by default) that are not inert, most relevant first; ties by stack, layer, head."""
    shape = relevance.shape
    stacks = shape.names if stacks is None else stacks
    check_stacks(stacks, shape)
    movable = [head for head in shape.where(~relevance.inert) if head.stack in stacks]
    return sorted(movable, key=lambda head: -float(relevance.score[shape.place(head)]))


def chosen_stacks(relevance: Relevance, stacks: Sequence[str] | None) -> tuple[str, ...]:
    """The stacks to choose from: unless named the VLM, as the paper, or of a policy without one its first."""
    if stacks is not None:
        return tuple(stacks)
    names = relevance.shape.names
    return ("vlm",) if "vlm" in names else names[:1]


def check_stacks(stacks: Sequence[str], shape: HeadShape) -> None:
    """Raise unless `stacks` names at least one of the policy's stacks, each once."""
    for stack in stacks:
        shape.index(stack)
    if not stacks or len(set(stacks)) != len(stacks):
        raise InputError(f"Expected one or more of {', '.join(shape.names)}, each once, got {list(stacks)}.")


def check_count(count: int, available: int, stacks: Sequence[str]) -> None:
    """Raise unless 1 ≤ count ≤ available."""
    if count < 1:
        raise InputError(f"Expected at least one head to select, got {count}.")
    if count > available:
        raise InputError(
            f"Expected at most {available} heads, all that can be selected in {' and '.join(stacks)}, got {count}."
        )
