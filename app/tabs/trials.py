"""Trials on a robot, in the Compare step: plan a book, record its trials, read what they show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import components, questions, session, untrusted
from app.questions.context import Context
from app.tabs.events import ACTION, Events, Show, action
from app.views.trials import trials_card
from app.words import LABELS
from steering.trials.book import MOST_MEDIA_BYTES
from steering.types import TRIAL_OUTCOMES
from steering.types.trials import MOST_BLOCKS


@dataclass(frozen=True)
class TrialsTab:
    """The card, and the name of the book that is open in this browser."""

    card: gr.HTML
    book: gr.BrowserState


def layout() -> TrialsTab:
    """Lay out the card below the comparisons."""
    return TrialsTab(components.panel(), gr.BrowserState("", storage_key="steering-trials", secret=session.SECRET))


def show(context: Context, opened: Any, book: Any, sending: str = "") -> str:
    """Markup of the card. sending: the address that a photograph or film is on its way to."""
    demonstrations_id, _ = untrusted.as_opened(opened)
    name = book if isinstance(book, str) else ""
    return trials_card(questions.trials.shown(context, demonstrations_id, name, sending))


def wire(events: Events, context: Context, tab: TrialsTab, states: session.States) -> Show:
    """Plan, record, take back, name; returns what shows the card."""

    def act(opened: Any, book: Any, event: gr.EventData) -> list[Any]:
        chosen, name = action(event), book if isinstance(book, str) else ""
        form, ask, sending = chosen.form, questions.trials, ""
        if chosen.name == "plan":
            demonstrations_id, _ = untrusted.as_opened(opened)
            name = ask.plan(
                context,
                demonstrations_id,
                _text(form, "name"),
                untrusted.names(form.get("methods"), tuple(LABELS)),
                _listed(form, "conditions"),
                untrusted.whole(form.get("blocks"), 2, MOST_BLOCKS, 40),
                untrusted.whole(form.get("matters"), 1, 99, 20) / 100,
                untrusted.whole(form.get("expected"), 0, 100, 50) / 100,
                _listed(form, "stages"),
            )
        elif chosen.name in TRIAL_OUTCOMES:
            slot = untrusted.whole(chosen.value, 0, 10 * MOST_BLOCKS, 0)
            ask.record(context, name, slot, chosen.name, _text(form, "stage"), _text(form, "note"))
        elif chosen.name == "send":
            size, _, file = chosen.value.partition(" ")
            sending = ask.send(context, name, file, untrusted.whole(size, 0, MOST_MEDIA_BYTES + 1, 0))
        elif chosen.name == "sent":
            ask.sent(context, chosen.value)
        elif chosen.name == "unsend":
            ask.unsend(context)
        elif chosen.name == "undo":
            ask.undo(context, name)
        elif chosen.name == "unblind":
            ask.unblind(context, name)
        elif chosen.name in ("open", "leave"):
            name = _text(form, "book") if chosen.name == "open" else ""
        return [show(context, opened, name, sending), name]

    events.on(tab.card.action, act, [states.opened, tab.book], [tab.card, tab.book], **ACTION)
    return Show(lambda opened, book: show(context, opened, book), [states.opened, tab.book], [tab.card])


def _text(form: dict[str, Any], name: str) -> str:
    given = next((value for key, value in form.items() if re.fullmatch(rf"{name}(-\d+)?", key)), "")
    return given[:2000] if isinstance(given, str) else ""


def _listed(form: dict[str, Any], name: str) -> list[str]:
    """The parts between commas, each once."""
    parts = (part.strip()[:60] for part in _text(form, name).split(","))
    return list(dict.fromkeys(part for part in parts if part))
