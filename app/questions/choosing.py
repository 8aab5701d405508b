"""Rules that choose heads, the controls that they have to beat, and the held-out error of a set."""

from __future__ import annotations

import time
from collections.abc import Sequence

from app.questions import measures
from app.questions.context import Context, remembered
from app.questions.measures import NO_OUTPUTS
from steering import pipeline
from steering.errors import InputError
from steering.selection import controls, rules
from steering.types import Demonstrations, Head, Relevance, SetError


def movable(context: Context, demonstrations_id: str, measure: str = "", stacks: Sequence[str] | None = None) -> int:
    """How many heads of `stacks`, of all unless named, can move an action."""
    relevance = measures.scored(context, demonstrations_id, measure)
    return _movable(relevance, relevance.shape.names if stacks is None else stacks)


def auto_select(
    context: Context,
    demonstrations_id: str,
    count: int,
    stacks: Sequence[str] | None,
    measure: str = "",
    rule: str = "top",
) -> tuple[Head, ...]:
    """`count` heads of `stacks` (`rules.chosen_stacks`): the best (`top`), the worst (`bottom`), or as many at
    random in the layers of the best (`random`, a control; another draw at each call).
    """
    relevance = measures.scored(context, demonstrations_id, measure)
    stacks = rules.chosen_stacks(relevance, stacks)
    count = min(count, _movable(relevance, stacks))
    if rule == "bottom":
        return controls.bottom(relevance, count, stacks).heads
    best = rules.top_k(relevance, count, stacks)
    if rule == "random":
        seed = time.time_ns() % (1 << 32)
        return controls.random_heads(best, context.size.head_shape, seed, relevance.inert).heads
    return best.heads


def above_null(context: Context, demonstrations_id: str, measure: str, stacks: Sequence[str]) -> tuple[Head, ...]:
    """Every head better than chance by the Trust of the measure shown."""
    relevance, trust = (
        measures.relevance(context, demonstrations_id, measure),
        measures.trust(context, demonstrations_id, measure),
    )
    if trust is None or relevance is None or not trust.permutations:
        raise InputError("Chance was not measured for these scores yet. Open Measure… and press Intervals and chance.")
    return rules.above_null(relevance, trust.p, stacks=tuple(stacks)).heads


def within(
    context: Context, demonstrations_id: str, measure: str, parameters: int, rank: int, stacks: Sequence[str]
) -> tuple[Head, ...]:
    """As many of the best heads as train at most `parameters` at `rank`."""
    size = context.size
    relevance = measures.scored(context, demonstrations_id, measure)
    return rules.budget(relevance, parameters, lambda heads: size.steering(heads, rank), tuple(stacks)).heads


def other_task(
    context: Context, demonstrations_id: str, measure: str, count: int, stacks: Sequence[str]
) -> tuple[Head, ...]:
    """The control: the best heads of another task, by the same metric."""
    relevance, found = (
        measures.scored(context, demonstrations_id, measure),
        other_relevance(context, demonstrations_id, measure),
    )
    other = context.load(context.store.manifest(found).parents[-1], Demonstrations)
    return controls.other_task(
        relevance, context.load(found, Relevance), other.task or other.name, count, tuple(stacks)
    ).heads


def other_relevance(context: Context, demonstrations_id: str, measure: str) -> str:
    """The newest scores of another task by the metric that is shown. Raises InputError where there are none."""
    relevance = measures.scored(context, demonstrations_id, measure)
    for manifest in context.store.find("demonstrations"):
        other = measures.whole(context, manifest.id, Demonstrations)
        if other is not None and other.task != context.load(demonstrations_id, Demonstrations).task:
            for asked, found in measures.stored(context, manifest.id).items():
                if asked.metric == relevance.metric:
                    return found
    raise InputError(
        "No demonstrations of another task were scored by this measure. Record another task in the Demonstrations "
        "step, press Find heads there, and come back."
    )


def greedy(context: Context, demonstrations_id: str, measure: str, count: int, stacks: Sequence[str]) -> str:
    """Queue the forward selection."""
    relevance_id = _askable(context, demonstrations_id, measure)
    if relevance_id is None:
        raise InputError(NO_OUTPUTS)
    return context.submit("select", relevance_id=relevance_id, rule="greedy", count=count, stacks=list(stacks))


def set_error(context: Context, demonstrations_id: str, measure: str, heads: Sequence[Head]) -> SetError | None:
    """Held-out error of a head set; None without heads or head outputs."""
    relevance_id = _askable(context, demonstrations_id, measure)
    return _set_error(context, relevance_id, tuple(heads)) if relevance_id and heads else None


@remembered(256)
def _set_error(context: Context, relevance_id: str, heads: tuple[Head, ...]) -> SetError:
    return pipeline.held_out_error(context.store, relevance_id=relevance_id, heads=heads)


def _askable(context: Context, demonstrations_id: str, measure: str) -> str | None:
    """A k-NN relevance whose head outputs are kept: that of the measure shown, else the newest."""
    shown = measures.relevance_id(context, demonstrations_id, measure)
    others = [found for asked, found in measures.stored(context, demonstrations_id).items() if asked.metric == "knn"]
    for found in ([shown] if shown in others else []) + others:
        if found and measures.has_outputs(context, found):
            return found
    return None


def _movable(relevance: Relevance, stacks: Sequence[str]) -> int:
    return int((~relevance.inert[[relevance.shape.index(stack) for stack in stacks]]).sum())
