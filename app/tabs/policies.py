"""The policy chooser in the header, and how every event of the page works with the policy that the page has open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import components, questions, session, untrusted
from app.policies import FOLDERS
from app.questions.context import Context
from app.questions.head_sets import HeadSet
from app.tabs.events import ACTION, Events, Show, action
from app.tabs.watching import Watcher
from app.views.policies import CHOOSER, checked, chooser
from steering import hub
from steering.errors import NotFound

NO_FOLDERS = (
    f"Folders on this server show here when whoever runs it names them in {FOLDERS} (several, separated as in PATH)."
)


@dataclass(frozen=True)
class Chooser:
    """Components of the chooser."""

    list: gr.HTML
    jobs: gr.HTML
    check: gr.HTML


def layout() -> Chooser:
    """The chooser, which static/shared/policies.js makes a popover of the header's chip."""
    with gr.Column(elem_id=CHOOSER):
        found = Chooser(components.panel(), components.panel(), components.panel())
    return found


def show(context: Context) -> list[str]:
    """Markup of the list and of the check."""
    policies = context.policies
    rows = questions.policies.choices(context)
    return [chooser(rows, NO_FOLDERS, hub.opens_to_visitors()), checked(policies.check_of(policies.key))]


def adopted(context: Context, opened: Any, before: HeadSet, kept: Any, measure: Any, key: str) -> list[Any]:
    """Values of policy, head set, its origin and the kept sets after a policy was opened: with the heads that were
    chosen of it, or a newcomer's. before: the heads of the policy in use.
    """
    demonstrations_id, _ = untrusted.as_opened(opened)
    kept = questions.head_sets.keep(kept, questions.head_sets.key_of(context.policies.key, demonstrations_id), before)
    with context.policies.using(key):
        own = questions.head_sets.opened(context, kept, demonstrations_id, untrusted.as_id(measure))
        return [context.policies.key, own.digits, own.kept, kept]


def wire(events: Events, context: Context, tab: Chooser, states: session.States, watcher: Watcher) -> tuple[Any, Show]:
    """Open a policy by a job, and adopt it when that has ended. Returns the event after which the page shows what is
    open at once, and what adopts a policy when jobs end.
    """

    def choose(opened: Any, digits: Any, base: Any, kept: Any, measure: Any, event: gr.EventData) -> list[Any]:
        chosen = action(event)
        if chosen.name != "open":
            return [gr.skip()] * 6
        key = untrusted.as_id(chosen.value) or untrusted.as_id(chosen.form.get("hub"))
        if key == context.policies.start_key:  # in use since the server started: nothing to check
            before = questions.head_sets.head_set(digits, base)
            return [*adopted(context, opened, before, kept, measure, key), "", gr.skip()]
        job_id = questions.policies.open_policy(context, key, untrusted.as_opened(opened)[0])
        return [*[gr.skip()] * 4, job_id, watcher.start()]

    def adopt(choosing: Any, opened: Any, digits: Any, base: Any, kept: Any, measure: Any) -> list[Any]:
        if not untrusted.as_id(choosing):
            return [gr.skip()] * 5
        try:
            status = context.jobs.status(choosing)
        except NotFound:
            return [*[gr.skip()] * 4, ""]
        if not status.ended:
            return [gr.skip()] * 5
        key = context.policies.key_of(str(status.arguments.get("policy"))) if status.state == "done" else ""
        before = questions.head_sets.head_set(digits, base)
        return [*adopted(context, opened, before, kept, measure, key), ""] if key else [*[gr.skip()] * 4, ""]

    around = [states.opened, states.heads, states.origin, states.kept, states.measure]
    adopting = [states.policy, states.heads, states.origin, states.kept, states.choosing]
    opening = events.on(tab.list.action, choose, around, [*adopting, watcher.timer], **ACTION)
    return opening, Show(adopt, [states.choosing, *around], adopting)
