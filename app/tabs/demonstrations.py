"""The Demonstrations step: open, bring or record a set, find its heads, look through its episodes and its health."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app import components, session, visitors
from app.receiving import limits_in_words
from app.service import TASKS, UNSEEN_TASK, VARIATIONS, Workbench
from app.tabs import driving
from app.tabs.events import ACTION, action, in_words, payload, worded
from app.tabs.heads import HeadsTab
from app.tabs.watching import Watcher
from app.views.demonstrations import MAX_EPISODES, episode_grid, record_form, set_cards
from app.views.health import health
from app.views.holdings import holding, removal_card
from app.views.mapping import upload_panel
from app.views.markup import purpose
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
    components.panel(purpose(PURPOSE))
    jobs = components.panel()
    sets = components.panel()
    report = components.panel()
    uploader = components.uploader({"limits": limits_in_words(), "hub": hub.opens_to_visitors()})
    upload = components.panel()
    form = components.panel(record_form((*TASKS, UNSEEN_TASK), VARIATIONS))
    drive = components.driving_panel()
    episodes = components.panel()
    return DemonstrationsTab(sets, jobs, report, uploader, upload, gr.State(""), form, drive, episodes)


def show_sets(bench: Workbench, opened: Any) -> str:
    """The cards of all sets, and what of it is one's own."""
    demonstrations_id, _ = session.as_opened(opened)
    cards = [replace(card, images=bench.card_images(card.id)) for card in bench.sets()]
    return set_cards(cards, demonstrations_id) + holding(bench.holdings.shown())


def show_episodes(bench: Workbench, opened: Any) -> str:
    """The episodes of the open set."""
    demonstrations_id, index = session.as_opened(opened)
    if not demonstrations_id:
        return ""
    rate_hz = bench.episode(demonstrations_id, 0).rate_hz
    problems = bench.uploads.episode_problems(demonstrations_id)
    return episode_grid(bench.card(demonstrations_id), bench.thumbnails(demonstrations_id), rate_hz, index, problems)


def show_upload(bench: Workbench, shown: Any) -> list[Any]:
    """Values of `upload` and `shown`; nothing where that state is shown already."""
    owner = visitors.owner()
    key = bench.uploads.key(owner)
    return [gr.skip(), gr.skip()] if key == shown else [upload_panel(bench.uploads.shown(owner)), key]


def wire(
    bench: Workbench,
    tab: DemonstrationsTab,
    states: session.States,
    watcher: Watcher,
    others: HeadsTab,
    download: gr.HTML,
) -> None:
    """Recording, bringing, finding heads. Opening a set is wired in app.main, for all steps follow it."""

    @worded
    def record(event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name != "record":
            return gr.skip()
        form = chosen.form
        tasks = (*TASKS, UNSEEN_TASK)
        task = str(form.get("task"))
        bench.record(
            visitors.owner(),
            task if task in tasks else TASKS[0],
            session.whole(form.get("count"), 2, MAX_EPISODES, 20),
            session.whole(form.get("seed"), 0, 9_999, 0),
            session.names(form.get("variations"), VARIATIONS),
        )
        return watcher.start()

    @worded
    def find(opened: Any, event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name != "find":
            return gr.skip()
        bench.find_heads(visitors.owner(), session.as_id(chosen.value) or session.as_opened(opened)[0])
        return watcher.start()

    @worded
    def attention(opened: Any) -> Any:
        bench.compute_attention(visitors.owner(), *session.as_opened(opened))
        return watcher.start()

    @worded
    def look(event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name == "delete":
            return removal_card(bench.holdings.asked(session.as_id(chosen.value)))
        if chosen.name not in ("health", "close", "remove"):
            return gr.skip()
        card = bench.uploads.health(session.as_id(chosen.value)) if chosen.name == "health" else None
        return f'<div class="wb-card wb-section">{health(card, closable=True)}</div>' if card else ""

    tab.form.action(record, None, watcher.timer, **ACTION)
    for panel in (tab.sets, tab.upload, others.unscored):
        panel.action(find, states.opened, watcher.timer, **ACTION)
    others.player.attention(attention, states.opened, watcher.timer, **ACTION)
    for panel in (tab.sets, tab.health):
        panel.action(look, None, tab.health, **ACTION)
    _wire_upload(bench, tab, states, watcher, download)
    driving.wire(bench, tab.form, tab.driving, tab.sets, states, show_sets)


def _wire_upload(
    bench: Workbench, tab: DemonstrationsTab, states: session.States, watcher: Watcher, download: gr.HTML
) -> None:
    """What the drop zone asks, and what the buttons of the mapping do."""
    uploads = bench.uploads

    def answered(sent: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {"limits": limits_in_words(), "hub": hub.opens_to_visitors(), "serial": sent.get("serial"), **fields}

    def begin(shown: Any, event: gr.EventData) -> list[Any]:
        sent, owner = payload(event), visitors.owner()
        try:
            answer = answered(sent, upload=uploads.begin(owner, sent.get("files")))
        except SteeringError as error:
            answer = answered(sent, error=in_words(error))
        return [answer, *show_upload(bench, shown)]

    def arrived(shown: Any, event: gr.EventData) -> list[Any]:
        sent, owner = payload(event), visitors.owner()
        try:
            if "name" in sent:
                uploads.from_hub(owner, str(sent["name"])[:200])
            else:
                uploads.finish(owner, str(sent.get("upload"))[:40])
        except SteeringError as error:
            return [answered(sent, error=in_words(error)), gr.skip(), *show_upload(bench, shown)]
        return [answered(sent), watcher.start(), *show_upload(bench, shown)]

    @worded
    def abandon(event: gr.EventData) -> None:
        uploads.abandon(visitors.owner(), str(payload(event).get("upload"))[:40])

    @worded
    def act(shown: Any, event: gr.EventData) -> list[Any]:
        chosen, owner = action(event), visitors.owner()
        if chosen.name == "check":
            uploads.check(owner, chosen.form)
        elif chosen.name == "import":
            uploads.take(owner, chosen.form)
        elif chosen.name == "discard":
            uploads.discard(owner)
        else:
            return [gr.skip(), gr.skip(), gr.skip()]
        return [watcher.start(), *show_upload(bench, shown)]

    @worded
    def keep(event: gr.EventData) -> Any:
        card = uploads.shown(visitors.owner()) if action(event).name == "keep" else None
        if card is None or not card.selection:
            return gr.skip()
        return {"url": bench.previews.export("selection.json", card.selection.encode()), "name": "selection.json"}

    inputs = [tab.shown]
    tab.uploader.begin(begin, inputs, [tab.uploader, tab.upload, tab.shown], **ACTION)
    outputs = [tab.uploader, watcher.timer, tab.upload, tab.shown]
    tab.uploader.sent(arrived, inputs, outputs, **ACTION)
    tab.uploader.hub(arrived, inputs, outputs, **ACTION)
    tab.uploader.abandon(abandon, None, None, **ACTION)
    tab.upload.action(act, inputs, [watcher.timer, tab.upload, tab.shown], **ACTION)
    tab.upload.action(keep, None, download, **ACTION)
