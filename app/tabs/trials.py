"""Trials on a robot, in the Compare step: plan a book, record its trials, read what they show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import components, questions, session, untrusted
from app.questions.context import Context
from app.tabs.events import ACTION, Events, Show, action
from app.views.trials import trials_card
from app.words import LABELS
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


def show(context: Context, opened: Any, book: Any) -> str:
    """Markup of the card."""
    demonstrations_id, _ = untrusted.as_opened(opened)
    return trials_card(questions.trials.shown(context, demonstrations_id, book if isinstance(book, str) else ""))


def wire(events: Events, context: Context, tab: TrialsTab, states: session.States) -> Show:
    """Plan, record, take back, name; returns what shows the card."""

    def act(opened: Any, book: Any, event: gr.EventData) -> list[Any]:
        chosen, name = action(event), book if isinstance(book, str) else ""
        form, ask = chosen.form, questions.trials
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
        elif chosen.name == "undo":
            ask.undo(context, name)
        elif chosen.name == "unblind":
            ask.unblind(context, name)
        elif chosen.name in ("open", "leave"):
            name = _text(form, "book") if chosen.name == "open" else ""
        return [show(context, opened, name), name]

    events.on(tab.card.action, act, [states.opened, tab.book], [tab.card, tab.book], **ACTION)
    return Show(lambda opened, book: show(context, opened, book), [states.opened, tab.book], [tab.card])


def _text(form: dict[str, Any], name: str) -> str:
    given = form.get(name)
    return given[:2000] if isinstance(given, str) else ""


def _listed(form: dict[str, Any], name: str) -> list[str]:
    """The parts between commas, each once."""
    parts = (part.strip()[:60] for part in _text(form, name).split(","))
    return list(dict.fromkeys(part for part in parts if part))
