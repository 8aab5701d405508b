"""What all steps share in their wiring: quick private events, worded errors, and the payload of a panel's action."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from steering.errors import SteeringError

QUICK: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}

# Only queued events show a toast when they fail, and announce the change of a gr.State. Pages do not wait for another.
WATCH: dict[str, Any] = {**QUICK, "queue": True, "concurrency_limit": None}
ACTION: dict[str, Any] = {**WATCH, "trigger_mode": "multiple"}  # a change and the click that caused it both count


@dataclass(frozen=True)
class Action:
    """A click in a panel: the button's action and value, and the panel's form fields by name."""

    name: str
    value: str
    form: dict[str, Any]


def payload(event: gr.EventData) -> dict[str, Any]:
    """What a component sent, which comes from the client; anything but fields by name becomes no field."""
    return event._data if isinstance(event._data, dict) else {}


def action(event: gr.EventData) -> Action:
    """The action in `event`, which comes from the client: anything malformed becomes an empty field."""
    data = payload(event)
    form = data.get("form")
    return Action(str(data.get("action", "")), str(data.get("value", ""))[:200], form if isinstance(form, dict) else {})


def worded(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Show an expected error as a toast with its own words."""

    @functools.wraps(handler)
    def safe(*arguments: Any) -> Any:
        try:
            return handler(*arguments)
        except SteeringError as error:
            raise gr.Error(escape(str(error)), duration=9, print_exception=False) from None

    return safe
