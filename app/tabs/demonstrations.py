"""The Demonstrations step: open a set, record a new one, find its heads, look through its episodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app import components, session
from app.service import TASKS, UNSEEN_TASK, VARIATIONS, Workbench
from app.tabs.events import ACTION, action, worded
from app.tabs.heads import HeadsTab
from app.tabs.watching import Watcher
from app.views.demonstrations import MAX_EPISODES, episode_grid, record_form, set_cards
from app.views.markup import purpose

PURPOSE = "Open recordings of a task, or record new ones. The other steps follow what is open here."


@dataclass(frozen=True)
class DemonstrationsTab:
    """Components of the step."""

    sets: gr.HTML
    jobs: gr.HTML
    form: gr.HTML
    episodes: gr.HTML


def layout() -> DemonstrationsTab:
    """Lay out the step inside its tab."""
    components.panel(purpose(PURPOSE))
    jobs = components.panel()
    sets = components.panel()
    form = components.panel(record_form((*TASKS, UNSEEN_TASK), VARIATIONS))
    episodes = components.panel()
    return DemonstrationsTab(sets, jobs, form, episodes)


def show_sets(bench: Workbench, opened: Any) -> str:
    """The cards of all sets."""
    demonstrations_id, _ = session.as_opened(opened)
    cards = [replace(card, images=bench.card_images(card.id)) for card in bench.sets()]
    return set_cards(cards, demonstrations_id)


def show_episodes(bench: Workbench, opened: Any) -> str:
    """The episodes of the open set."""
    demonstrations_id, index = session.as_opened(opened)
    if not demonstrations_id:
        return ""
    rate_hz = bench.episode(demonstrations_id, 0).rate_hz
    return episode_grid(bench.card(demonstrations_id), bench.thumbnails(demonstrations_id), rate_hz, index)


def wire(bench: Workbench, tab: DemonstrationsTab, states: session.States, watcher: Watcher, others: HeadsTab) -> None:
    """Recording and finding heads. Opening a set is wired in app.main, for all steps follow it."""

    @worded
    def record(owner: str, event: gr.EventData) -> Any:
        form = action(event).form
        tasks = (*TASKS, UNSEEN_TASK)
        task = str(form.get("task"))
        bench.record(
            owner,
            task if task in tasks else TASKS[0],
            session.whole(form.get("count"), 2, MAX_EPISODES, 20),
            session.whole(form.get("seed"), 0, 9_999, 0),
            session.names(form.get("variations"), VARIATIONS),
        )
        return watcher.start()

    @worded
    def find(owner: str, opened: Any, event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name != "find":
            return gr.skip()
        bench.find_heads(owner, session.as_id(chosen.value) or session.as_opened(opened)[0])
        return watcher.start()

    @worded
    def attention(owner: str, opened: Any) -> Any:
        bench.compute_attention(owner, *session.as_opened(opened))
        return watcher.start()

    tab.form.action(record, states.owner, watcher.timer, **ACTION)
    for panel in (tab.sets, others.unscored):
        panel.action(find, [states.owner, states.opened], watcher.timer, **ACTION)
    others.player.attention(attention, [states.owner, states.opened], watcher.timer, **ACTION)
