"""What all steps share in their wiring: quick private events, worded errors, and the payload of a panel's action."""

from __future__ import annotations

import functools
import inspect
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape, unescape
from typing import Any

import gradio as gr
import orjson
from markupsafe import Markup

from app import monitoring, untrusted
from app.cookies import of_event
from app.questions.context import Context
from app.tabs.order import Order
from app.views.templates import PIECES
from app.visitors import asked_by
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


def payload(event: gr.EventData, *fields: str) -> dict[str, Any]:
    """These fields of what a component sent, which comes from the client; those that are not there are left out, and
    so is what cannot be sent back, such as a number of more than 64 bits.
    """
    found = {}
    for name in fields:
        try:
            value = getattr(event, name)
            orjson.dumps(value)
        except (AttributeError, TypeError, orjson.JSONEncodeError):  # the last two: no fields by name, or none to send
            continue
        found[name] = value
    return found


def action(event: gr.EventData) -> Action:
    """The action in `event`, which comes from the client: anything malformed becomes an empty field."""
    data = payload(event, "action", "value", "form")
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


@dataclass(frozen=True)
class Show:
    """What a part of the page shows: the handler that makes it, what it reads, and the components that it fills."""

    handler: Callable[..., Any]
    inputs: Sequence[Any] = ()
    outputs: Sequence[Any] = ()


class Events:
    """Makes handlers events of the page: each knows who asks and with which policy, and says its errors in words.

    Queued events tell an error by Gradio's toast. The quick ones never fail: Gradio shows no toast for them, and after
    any that failed it drops both what was to follow and what was held back by `trigger_mode`. Their outputs stay as
    they are, and `told`, a panel, says why. It alone shows progress, too: Gradio copies each component that does, at
    every status of every event. policy: what the browser keeps of the policy that the page has open.
    """

    def __init__(self, context: Context, policy: gr.BrowserState, told: gr.HTML) -> None:
        self._context, self._policy, self._told = context, policy, told
        self._order = Order()

    def on(
        self,
        listener: Callable[..., Any],
        handler: Callable[..., Any],
        inputs: Any = None,
        outputs: Any = None,
        draws: bool = False,
        **how: Any,
    ) -> Any:
        """Let `listener`, a component's, call `handler`. draws: nobody has pressed anything, so what a press draws
        meanwhile is newer. how: QUICK, WATCH or ACTION, and options of Gradio's.
        """
        filled = _listed(outputs)
        told = [] if how["queue"] else [self._told]
        answer = self._answering(handler, filled, draws, quick=bool(told))
        given = [self._policy, *_listed(inputs)]
        name = f"page_{handler.__name__.strip('<>')}"  # the other names are those of questions
        return listener(answer, given, [*filled, *told], api_name=name, show_progress_on=self._told, **how)

    def after(self, event: Any, *shown: Show) -> Any:
        """Show these after an event, one after the other; the last event."""
        for one in shown:
            event = self.on(event.then, one.handler, one.inputs, one.outputs, draws=True, **QUICK)
        return event

    def _answering(
        self, handler: Callable[..., Any], filled: list[Any], draws: bool, quick: bool
    ) -> Callable[..., Any]:
        @functools.wraps(handler)
        def answer(sent_by: gr.Request, policy: Any, *given: Any) -> Any:
            began_s, page = time.monotonic(), getattr(sent_by, "session_hash", None)
            with asked_by_event(sent_by):
                try:
                    with self._context.policies.using(untrusted.as_id(policy)):
                        found, said = handler(*given), ""
                except Exception as error:  # one without words would leave the page as if nothing had been pressed
                    words = in_words(error)
                    if not quick:
                        raise gr.Error(escape(words), duration=9, print_exception=False) from None
                    found, said = gr.skip(), _toast(words)
            if draws:
                found = self._order.newest(page, filled, found, began_s)
            else:
                self._order.note(page, filled, found)
            return _with_told(found, said, len(filled)) if quick else found

        # Gradio reads from the signature where request and payload go; functools.wraps shows that of `handler`.
        signature = inspect.signature(handler)
        first = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("sent_by", "policy")]
        answer.__signature__ = signature.replace(parameters=[*first, *signature.parameters.values()])  # type: ignore[attr-defined]
        answer.__annotations__ = {**answer.__annotations__, "sent_by": gr.Request}
        return answer


@contextmanager
def asked_by_event(sent_by: gr.Request | None) -> Iterator[None]:
    """Let whoever sent an event be who asks, and its request the one that is answered, while the context is open."""
    with monitoring.within(sent_by), asked_by(of_event(sent_by)):
        yield


def _listed(components: Any) -> list[Any]:
    if components is None:
        return []
    return list(components) if isinstance(components, list | tuple) else [components]


def _with_told(found: Any, said: str, outputs: int) -> Any:
    if outputs == 0:
        return said
    if outputs == 1:
        return [found, said]
    return [*([found] * outputs if found == gr.skip() else found), said]


def _toast(words: str) -> Markup:
    """Markup that static/shared/panel.js shows as a toast; with the time, for the same may have to be said again."""
    return PIECES.emit("notes", json.dumps([words]), time.time_ns())
