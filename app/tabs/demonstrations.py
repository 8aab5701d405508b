"""The Demonstrations step: open, bring or record a set, find its heads, look through its episodes and its health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app import components, questions, session, untrusted
from app.answers.demonstrations import EXPERT, MAX_EPISODES, POLICY
from app.questions.context import Context
from app.questions.demonstrations import TASKS, UNSEEN_TASK, VARIATIONS
from app.tabs import driving
from app.tabs.events import ACTION, Events, action, in_words, payload
from app.tabs.heads import HeadsTab
from app.tabs.watching import Watcher
from app.uploads import limits_in_words
from app.views.demonstrations import episode_grid, record_form, set_cards
from app.views.health import health_card
from app.views.holdings import holding, removal_card
from app.views.mapping import upload_panel
from app.views.templates import PIECES
from steering import hub
from steering.errors import SteeringError

PURPOSE = "Open recordings of a task, bring your own, or record new ones. The other steps follow what is open here."


@dataclass(frozen=True)
class DemonstrationsTab:
    """Components of the step. upload: what was sent and its mapping; shown: which state of it `upload` shows, so that
    a form that is being filled is not drawn anew; health: the report of a set; driving: the live drive.
    """

    sets: gr.HTML
    jobs: gr.HTML
    health: gr.HTML
    uploader: gr.HTML
    upload: gr.HTML
    shown: gr.State
    form: gr.HTML
    driving: gr.HTML
    episodes: gr.HTML


def layout() -> DemonstrationsTab:
    """Lay out the step inside its tab."""
    components.panel(PIECES.purpose(PURPOSE))
    jobs = components.panel()
    sets = components.panel()
    report = components.panel()
    uploader = components.uploader({"limits": limits_in_words(), "hub": hub.opens_to_visitors()})
    upload = components.panel()
    form = components.panel(record_form((*TASKS, UNSEEN_TASK), VARIATIONS))
    drive = components.driving_panel()
    episodes = components.panel()
    return DemonstrationsTab(sets, jobs, report, uploader, upload, gr.State(""), form, drive, episodes)


def show_sets(context: Context, opened: Any) -> str:
    """The cards of all sets, and what of it is one's own."""
    demonstrations_id, _ = untrusted.as_opened(opened)
    cards = [
        replace(card, images=questions.demonstrations.card_images(context, card.id))
        for card in questions.demonstrations.sets(context)
    ]
    return set_cards(cards, demonstrations_id) + holding(questions.holdings.shown(context))


def show_form(context: Context) -> str:
    """The form that records, with the finetunes that may act in it."""
    return record_form((*TASKS, UNSEEN_TASK), VARIATIONS, questions.demonstrations.recorders(context))


def start_recording(context: Context, form: Mapping[str, Any]) -> None:
    """Queue what the form asks for, each field within its bounds: they come from the client."""
    tasks = (*TASKS, UNSEEN_TASK)
    questions.demonstrations.record(
        context,
        next((task for task in tasks if task == form.get("task")), TASKS[0]),
        untrusted.whole(form.get("count"), 2, MAX_EPISODES, 20),
        untrusted.whole(form.get("seed"), 0, 9_999, 0),
        untrusted.names(form.get("variations"), VARIATIONS),
        (untrusted.as_id(form.get("actor")) or POLICY) if form.get("by") == POLICY else EXPERT,
    )


def show_episodes(context: Context, opened: Any) -> str:
    """The episodes of the open set."""
    demonstrations_id, index = untrusted.as_opened(opened)
    if not demonstrations_id:
        return ""
    rate_hz = questions.demonstrations.episode(context, demonstrations_id, 0).rate_hz
    problems = questions.uploads.episode_problems(context, demonstrations_id)
    return episode_grid(
        questions.demonstrations.card(context, demonstrations_id),
        questions.demonstrations.thumbnails(context, demonstrations_id),
        rate_hz,
        index,
        problems,
    )


def show_upload(context: Context, shown: Any) -> list[Any]:
    """Values of `upload` and `shown`; nothing where that state is shown already."""
    key = questions.uploads.key(context)
    return [gr.skip(), gr.skip()] if key == shown else [upload_panel(questions.uploads.shown(context)), key]


def wire(
    events: Events,
    context: Context,
    tab: DemonstrationsTab,
    states: session.States,
    watcher: Watcher,
    others: HeadsTab,
    download: gr.HTML,
) -> None:
    """Recording, bringing, finding heads. Opening a set is wired in app.page, for all steps follow it."""

    def record(event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name != "record":
            return gr.skip()
        start_recording(context, chosen.form)
        return watcher.start()

    def find(opened: Any, event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name != "find":
            return gr.skip()
        questions.measures.find_heads(context, untrusted.as_id(chosen.value) or untrusted.as_opened(opened)[0])
        return watcher.start()

    def attention(opened: Any) -> Any:
        questions.heads.compute_attention(context, *untrusted.as_opened(opened))
        return watcher.start()

    def look(event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name == "delete":
            return removal_card(questions.holdings.asked(context, untrusted.as_id(chosen.value)))
        if chosen.name not in ("health", "close", "remove"):
            return gr.skip()
        card = questions.uploads.health(context, untrusted.as_id(chosen.value)) if chosen.name == "health" else None
        return health_card(card) if card else ""

    events.on(tab.form.action, record, None, watcher.timer, **ACTION)
    for panel in (tab.sets, tab.upload, others.unscored):
        events.on(panel.action, find, states.opened, watcher.timer, **ACTION)
    events.on(others.player.attention, attention, states.opened, watcher.timer, **ACTION)
    for panel in (tab.sets, tab.health):
        events.on(panel.action, look, None, tab.health, **ACTION)
    _wire_upload(events, context, tab, states, watcher, download)
    driving.wire(events, context, tab.form, tab.driving, tab.sets, states, show_sets)


def _wire_upload(
    events: Events,
    context: Context,
    tab: DemonstrationsTab,
    states: session.States,
    watcher: Watcher,
    download: gr.HTML,
) -> None:
    """What the drop zone asks, and what the buttons of the mapping do."""

    def answered(sent: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {"limits": limits_in_words(), "hub": hub.opens_to_visitors(), "serial": sent.get("serial"), **fields}

    def begin(shown: Any, event: gr.EventData) -> list[Any]:
        sent = payload(event, "files", "serial")
        try:
            answer = answered(sent, upload=questions.uploads.begin(context, sent.get("files")))
        except SteeringError as error:
            answer = answered(sent, error=in_words(error))
        return [answer, *show_upload(context, shown)]

    def arrived(shown: Any, event: gr.EventData) -> list[Any]:
        sent = payload(event, "name", "upload", "serial")
        try:
            if "name" in sent:
                questions.uploads.from_hub(context, str(sent["name"])[:200])
            else:
                questions.uploads.finish(context, str(sent.get("upload"))[:40])
        except SteeringError as error:
            return [answered(sent, error=in_words(error)), gr.skip(), *show_upload(context, shown)]
        return [answered(sent), watcher.start(), *show_upload(context, shown)]

    def abandon(event: gr.EventData) -> None:
        questions.uploads.abandon(context, str(payload(event, "upload").get("upload"))[:40])

    def act(shown: Any, event: gr.EventData) -> list[Any]:
        chosen = action(event)
        if chosen.name == "check":
            questions.uploads.check(context, chosen.form)
        elif chosen.name == "import":
            questions.uploads.take(context, chosen.form)
        elif chosen.name == "discard":
            questions.uploads.discard(context)
        else:
            return [gr.skip(), gr.skip(), gr.skip()]
        return [watcher.start(), *show_upload(context, shown)]

    def keep(event: gr.EventData) -> Any:
        card = questions.uploads.shown(context) if action(event).name == "keep" else None
        if card is None or not card.selection:
            return gr.skip()
        return {"url": context.media.export("selection.json", card.selection.encode()), "name": "selection.json"}

    inputs = [tab.shown]
    events.on(tab.uploader.begin, begin, inputs, [tab.uploader, tab.upload, tab.shown], **ACTION)
    outputs = [tab.uploader, watcher.timer, tab.upload, tab.shown]
    events.on(tab.uploader.sent, arrived, inputs, outputs, **ACTION)
    events.on(tab.uploader.hub, arrived, inputs, outputs, **ACTION)
    events.on(tab.uploader.abandon, abandon, None, None, **ACTION)
    events.on(tab.upload.action, act, inputs, [watcher.timer, tab.upload, tab.shown], **ACTION)
    events.on(tab.upload.action, keep, None, download, **ACTION)
