"""The head set that a page showed when something was pressed there."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app import questions, untrusted
from app.questions.context import Context
from app.questions.head_sets import HeadSet
from app.tabs.events import payload
from app.views.head_map import selection_of


def shown_set(context: Context, event: gr.EventData, opened: Any, digits: Any, base: Any, measure: Any) -> HeadSet:
    """The set of the event, where it names one of what is open; else that of the page's states.

    The map changes a set at once and tells the server after it has painted, so the states of a press that follows
    closely are those from before: a training would take other heads than the page shows.
    """
    known = questions.head_sets.head_set(digits, base)
    sent = payload(event, "demonstrations", "selected")
    demonstrations_id, _ = untrusted.as_opened(opened)
    if sent.get("demonstrations") != demonstrations_id or not isinstance(sent.get("selected"), list):
        return known
    heads = selection_of(sent["selected"], context.size.head_shape)
    shown = questions.head_sets.digits_of(context, heads)
    if shown == known.digits:
        return known
    return questions.head_sets.changed(context, known, shown, demonstrations_id, untrusted.as_id(measure))
