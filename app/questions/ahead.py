"""Files that a browser is about to fetch, made while it is still on its way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from app.answers.jobs import JobLine
from app.damage import unless_damaged
from app.questions import comparison, demonstrations, heads, measures, results
from app.questions.context import Context


def warm(context: Context) -> None:
    """Begin to make the first screen's files, and read what it shows, while the browser is still on its way."""
    if found := demonstrations.open_set(context):
        context.media.ahead(found, partial(_sheets, context, found))
        if attention := unless_damaged(heads.attention, context, found, 0):
            context.media.ahead(attention[0], partial(_weights, context, attention[0]))
    unless_damaged(results.finetunes, context)  # read now, and kept: every browser shows them
    for choice in (unless_damaged(comparison.choices, context) or ())[:1]:
        unless_damaged(comparison.comparison, context, choice.id)
    context.experiments.shown()


def prepare(context: Context, demonstrations_id: str) -> None:
    """Once the first screen stands: start the worker, and begin the small pictures that "Why this head" shows."""
    context.jobs.warm()
    if demonstrations_id and measures.captured(context, demonstrations_id):
        shown = f"small pictures of {demonstrations_id}"
        context.media.ahead(shown, lambda: [heads.thumbnails(context, demonstrations_id)["url"]])


def follow(context: Context, work: Sequence[JobLine]) -> None:
    """Begin to make the files that show what has just ended, while the browser is still on its way."""
    for job in work:
        if job.state != "done" or job.result is None:
            continue
        if job.function in ("record", "import_upload"):
            context.media.ahead(job.result, partial(_sheets, context, job.result))
        if job.function == "attention":
            context.media.ahead(job.result, partial(_weights, context, job.result))
        if job.function == "find_heads":
            found = unless_damaged(heads.attention, context, str(job.arguments["demonstrations_id"]), 0)
            if found is not None:
                context.media.ahead(found[0], partial(_weights, context, found[0]))


def _sheets(context: Context, demonstrations_id: str) -> list[str]:
    """Addresses of what opening a set shows first."""
    return list(
        context.media.sprites(
            demonstrations_id, 0, demonstrations.episode(context, demonstrations_id, 0).cameras
        ).values()
    )


def _weights(context: Context, attention_id: str) -> list[str]:
    """Address of the attention of an episode, whose masses are read on the way: a second at π0's size."""
    heads.masses(context, attention_id)
    return [context.media.attention(attention_id)]
