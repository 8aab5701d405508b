"""Choose heads: the best by relevance, or a set by hand. Instant.

Rules never choose an inert head (one that cannot move an action) unless told to; a set by hand may not either.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from steering.errors import InputError, unknown_name
from steering.types import PAPER_SET_SIZE, STACKS, Head, HeadShape, Relevance, Selection

PAPER_STACKS = ("vlm",)


def top_k(
    relevance: Relevance,
    count: int = PAPER_SET_SIZE,
    stacks: Sequence[str] = PAPER_STACKS,
    *,
    include_inert: bool = False,
) -> Selection:
    """The `count` heads of highest score in `stacks`; ties go to the lower stack, layer and head.

    `best_k` is given for a single stack, and `cv_mse` where the set is the very one that it was measured on.
    """
    ranked = ranking(relevance, stacks, include_inert=include_inert)
    check_count(count, len(ranked), stacks)
    single = stacks[0] if len(stacks) == 1 else None
    measured = single is not None and not include_inert and count == min(PAPER_SET_SIZE, len(ranked))
    return Selection(
        heads=tuple(sorted(ranked[:count], key=head_order)),
        rule=f"top {count} of {' and '.join(stacks)} by {relevance.metric} ({relevance.preset})",
        best_k=relevance.best_k.get(single) if single is not None else None,
        cv_mse=relevance.cv_mse.get(single) if single is not None and measured else None,
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
        check_head(head, shape)
        if inert is not None and inert[STACKS.index(head.stack), head.layer, head.head]:
            raise InputError(f"{head.label()} cannot move an action (it is inert). Take it out of the selection.")
    return Selection(heads=tuple(sorted(heads, key=head_order)), rule="manual")


def ranking(relevance: Relevance, stacks: Sequence[str] = STACKS, *, include_inert: bool = False) -> list[Head]:
    """The heads of `stacks`, most relevant first; ties in the order stack, layer, head."""
    check_stacks(stacks)
    _, layers, heads = relevance.score.shape
    found = [
        (-float(relevance.score[position]), position)
        for position in np.ndindex(len(STACKS), layers, heads)
        if STACKS[position[0]] in stacks and (include_inert or not relevance.inert[position])
    ]
    return [Head(STACKS[stack], layer, head) for _, (stack, layer, head) in sorted(found)]


def head_order(head: Head) -> tuple[int, int, int]:
    """Sort key for the order stack (as in STACKS), layer, head."""
    return STACKS.index(head.stack), head.layer, head.head


def check_stacks(stacks: Sequence[str]) -> None:
    """Raise unless `stacks` names at least one stack, each known and once."""
    for stack in stacks:
        if stack not in STACKS:
            raise unknown_name("stack", stack, STACKS)
    if not stacks or len(set(stacks)) != len(stacks):
        raise InputError(f"Expected one or both of {', '.join(STACKS)}, each once, got {list(stacks)}.")


def check_head(head: Head, shape: HeadShape) -> None:
    """Raise unless `head` is one of the policy's."""
    if head.stack not in STACKS:
        raise unknown_name("stack", head.stack, STACKS)
    if not (0 <= head.layer < shape.layers and 0 <= head.head < shape.heads):
        raise InputError(
            f"There is no head {head.layer}.{head.head}: layers go from 0 to {shape.layers - 1} and heads from 0 to "
            f"{shape.heads - 1}. Was the selection made for another policy?"
        )


def check_count(count: int, available: int, stacks: Sequence[str]) -> None:
    """Raise unless 1 ≤ count ≤ available."""
    if count < 1:
        raise InputError(f"Expected at least one head to select, got {count}.")
    if count > available:
        raise InputError(
            f"Expected at most {available} heads, all that can be selected in {' and '.join(stacks)}, got {count}."
        )
