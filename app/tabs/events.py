"""What all steps share in their wiring: quick private events, worded errors, and the payload of a panel's action."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from html import escape, unescape
from typing import Any

import gradio as gr
import orjson

from app import monitoring
from app.views.markup import text
from app.words import without_places
from steering.disk import disk_words
from steering.errors import SteeringError

UNFORESEEN = (
    "The workbench met an error that it did not foresee ({name}). What is stored is safe. The terminal in which it was "
    "started says where it happened, under request {request}; reload the page and try again."
)
QUICK: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}

# Only queued events announce the change of a gr.State. Pages do not wait for another.
WATCH: dict[str, Any] = {**QUICK, "queue": True, "concurrency_limit": None}
ACTION: dict[str, Any] = {**WATCH, "trigger_mode": "multiple"}  # a change and the click that caused it both count


@dataclass(frozen=True)
class Action:
    """A click in a panel: the button's action and value, and the panel's form fields by name."""

    name: str
    value: str
    form: dict[str, Any]


def payload(event: gr.EventData) -> dict[str, Any]:
    """What a component sent, which comes from the client; anything but fields by name becomes no field, and so does
    what cannot be sent back, such as a number of more than 64 bits.
    """
    try:
        orjson.dumps(event._data)
    except orjson.JSONEncodeError:
        return {}
    return event._data if isinstance(event._data, dict) else {}


def action(event: gr.EventData) -> Action:
    """The action in `event`, which comes from the client: anything malformed becomes an empty field."""
    data = payload(event)
    form = data.get("form")
    return Action(str(data.get("action", "")), str(data.get("value", ""))[:200], form if isinstance(form, dict) else {})


def in_words(error: Exception) -> str:
    """What to tell of an error: its own words where it was expected; else where to look, and the log has the rest."""
    if isinstance(error, gr.Error):
        return unescape(error.message)
    if isinstance(error, SteeringError):
        return without_places(str(error))
    if isinstance(error, OSError) and (words := disk_words(error)):
        return without_places(words)
    monitoring.tell_error(error)
    return UNFORESEEN.format(name=type(error).__name__, request=monitoring.request_id() or "none")


def worded(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Show an error as a toast, in words."""

    @functools.wraps(handler)
    def safe(*arguments: Any) -> Any:
        try:
            return handler(*arguments)
        except Exception as error:  # one without words would leave the page as if nothing had been pressed
            raise gr.Error(escape(in_words(error)), duration=9, print_exception=False) from None

    return safe


def tell(page: gr.Blocks, told: gr.HTML) -> None:
    """Let every QUICK event of `page` say its error in `told`, a panel; call when all are wired.

    Gradio shows a toast for queued events only, and after any that failed it drops both what was to follow and what
    was held back by `trigger_mode`. So these never fail: their outputs stay as they are, and `told` says why.
    It alone shows progress, too: Gradio copies each component that does, at every status of every event.
    """
    for event in page.fns.values():
        event.show_progress_on = [told]
        if event.fn is not None and not event.queue:
            event.fn = _telling(event.fn, len(event.outputs))
            event.outputs = [*event.outputs, told]


def _telling(handler: Callable[..., Any], outputs: int) -> Callable[..., Any]:
    @functools.wraps(handler)
    def tell(*arguments: Any) -> Any:
        try:
            found, said = handler(*arguments), ""
        except Exception as error:
            found, said = gr.skip(), _toast(in_words(error))
        if outputs == 0:
            return said
        if outputs == 1:
            return [found, said]
        return [*([found] * outputs if found == gr.skip() else found), said]

    return tell


def _toast(words: str) -> str:
    """Markup that static/panel.js shows as a toast; with the time, for the same may have to be said again."""
    emitted = text(json.dumps([words]))
    return f'<span hidden data-emit="notes" data-emitted="{emitted}" data-at="{time.time_ns()}"></span>'
