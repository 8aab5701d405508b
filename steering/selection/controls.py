"""Control sets of equal size: what a selection must beat to mean anything. Instant.

`random_heads` keeps the number of heads in each layer of each stack, so that only the choice within a layer differs;
`bottom` takes the least relevant heads; `other_task` those that another task would train.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from steering.errors import InputError
from steering.selection.rules import check_count, chosen_stacks, ranking, top_k
from steering.types import PAPER_SET_SIZE, Head, HeadShape, Relevance, Selection


def random_heads(selection: Selection, shape: HeadShape, seed: int, inert: np.ndarray | None = None) -> Selection:
    """As many heads in each layer as `selection` has there, drawn at random by `seed`.

    Heads outside `selection` are drawn first; a selected head is drawn only where a layer has too few others.
    inert: bool [stack, layer, head], heads that are never drawn; None: none.
    """
    if not selection.heads:
        raise InputError("Expected a selection of at least one head to draw a control for, got none.")
    generator = np.random.default_rng(seed)
    chosen: list[Head] = []
    wanted = Counter(shape.place(head)[:2] for head in selection.heads)
    for (s, layer), count in sorted(wanted.items()):
        stack = shape.stacks[s]
        offered = [
            Head(stack.name, layer, int(head))
            for head in generator.permutation(stack.heads)
            if inert is None or not inert[s, layer, head]
        ]
        check_count(count, len(offered), (f"layer {layer} of {stack.name}",))
        chosen += sorted(offered, key=lambda head: head in selection.heads)[:count]
    return Selection(shape.ordered(chosen), rule=f"random heads of the same layers, seed {seed}")


def bottom(relevance: Relevance, count: int = PAPER_SET_SIZE, stacks: Sequence[str] | None = None) -> Selection:
    """The `count` heads of lowest score in `stacks`, none of them inert."""
    stacks = chosen_stacks(relevance, stacks)
    ranked = ranking(relevance, stacks)
    check_count(count, len(ranked), stacks)
    return Selection(
        heads=relevance.shape.ordered(ranked[-count:]),
        rule=f"bottom {count} of {' and '.join(stacks)} by {relevance.metric} ({relevance.preset})",
    )


def other_task(
    relevance: Relevance,
    other: Relevance,
    name: str,
    count: int = PAPER_SET_SIZE,
    stacks: Sequence[str] | None = None,
) -> Selection:
    """The `count` best heads of another task, scored on the same policy. name: of that task.

    What both tasks choose stays in, and the rule says how many heads that are: the fewer, the sharper the control.
    """
    if not relevance.shape.has_the_heads_of(other.shape):
        raise InputError(
            f"Expected scores of the same heads ({relevance.shape.words()}), got {other.shape.words()}. Choose one of "
            "the same policy."
        )
    stacks = chosen_stacks(relevance, stacks)
    own, chosen = top_k(relevance, count, stacks).heads, top_k(other, count, stacks).heads
    shared = len(set(own) & set(chosen))
    return Selection(
        heads=chosen,
        rule=f"top {count} of {' and '.join(stacks)} for {name} by {other.metric} ({other.preset}), "
        f"{shared} of them also the task's own",
    )
