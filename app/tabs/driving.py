"""Driving by hand in the Demonstrations step: start, save, stop. The steps in between go by `app.driving`'s route."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import gradio as gr

from app import session, untrusted, visitors
from app.questions.context import Context
from app.questions.demonstrations import TASKS, UNSEEN_TASK, VARIATIONS
from app.tabs.events import ACTION, Events, action, in_words
from app.views.driving import driving
from steering.errors import SteeringError


def show_driving(context: Context) -> dict[str, Any] | None:
    """Value of the driving panel: what this browser drives, also after a reload."""
    return driving(context.driving.shown(visitors.owner()))


def wire(
    events: Events,
    context: Context,
    form: gr.HTML,
    panel: gr.HTML,
    sets: gr.HTML,
    states: session.States,
    show_sets: Callable[[Context, Any], str],
) -> None:
    """form: of recordings, whose `drive` starts; panel: where one drives; sets: the list that a saved set joins."""

    def start(event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name != "drive":
            return gr.skip()
        task, tasks = str(chosen.form.get("task")), (*TASKS, UNSEEN_TASK)
        variations = untrusted.names(chosen.form.get("variations"), VARIATIONS)
        seed = untrusted.whole(chosen.form.get("seed"), 0, 9_999, 0)
        context.driving.start(visitors.owner(), task if task in tasks else TASKS[0], seed, variations, visitors.party())
        return show_driving(context)

    def save(opened: Any) -> list[Any]:
        try:
            context.driving.save(visitors.owner())
        except SteeringError as error:  # mostly, the drive goes on
            value = {"error": in_words(error), "serial": secrets.token_hex(4), **(show_driving(context) or {})}
            return [value, show_sets(context, opened)]
        return [{"note": "The set is saved, in the list above."}, show_sets(context, opened)]

    def end(opened: Any) -> list[Any]:
        context.driving.stop(visitors.owner())
        return [None, show_sets(context, opened)]

    events.on(form.action, start, None, panel, **ACTION)
    events.on(panel.save, save, states.opened, [panel, sets], **ACTION)
    events.on(panel.end, end, states.opened, [panel, sets], **ACTION)
