"""The Heads step, open first: cameras with attention, the head map, the chosen head, and the rule that selects."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import components, session
from app.service import Workbench
from app.tabs.events import ACTION, QUICK, action, worded
from app.views import frame_player, head_map
from app.views.markup import button, empty, purpose, segments, slider, tab_button
from steering.types import PAPER_SET_SIZE

STACK_CHOICES = {"vlm": ("vlm",), "expert": ("expert",), "both": ("vlm", "expert")}
NO_SETS = empty(
    "No demonstrations to read heads from",
    "The head map shows which attention heads carry a task. Record demonstrations in the simulator to begin.",
    tab_button("Record demonstrations", "demonstrations"),
)
NOT_SCORED = empty(
    "These heads are not scored yet",
    "Find heads runs the policy over these demonstrations and scores every head by how well its output predicts the "
    "demonstrated action. It takes about a minute.",
    button("Find heads", "find", primary=True),
)

PURPOSE = (
    "See which attention heads carry the task, and choose those to train. Colour is relevance; click a cell "
    "to select the head."
)


@dataclass(frozen=True)
class HeadsTab:
    """Components of the step."""

    notice: gr.HTML
    jobs: gr.HTML
    workspace: gr.Row
    player: gr.HTML
    rule: gr.HTML
    map: gr.HTML
    unscored: gr.HTML
    inspector: gr.HTML

    @property
    def shown(self) -> list[Any]:
        """Outputs of `show`."""
        return [self.notice, self.workspace, self.rule, self.map, self.unscored]


def layout() -> HeadsTab:
    """Lay out the step inside its tab."""
    components.panel(purpose(PURPOSE))
    notice = components.panel()
    jobs = components.panel()
    with gr.Row(elem_id="heads") as workspace:
        with gr.Column(elem_classes="wb-card wb-player-card"):
            player = components.frame_player()
        with gr.Column(elem_classes="wb-card wb-map-card"):
            rule = components.panel(rule_form())
            unscored = components.panel()
            heads_map = components.head_map()
        with gr.Column(elem_classes="wb-card wb-inspector-card"):
            inspector = components.inspector()
    return HeadsTab(notice, jobs, workspace, player, rule, heads_map, unscored, inspector)


def rule_form() -> str:
    """The rule that selects heads by itself."""
    return (
        '<div class="wb-form wb-rule">'
        + segments("stacks", "Select from", [("vlm", "VLM"), ("expert", "Expert"), ("both", "Both")], "vlm")
        + slider("count", "Best heads", 1, 40, PAPER_SET_SIZE)
        + button("Auto-select", "select", testid="auto-select")
        + "</div>"
    )


def show(bench: Workbench, demonstrations_id: str, episode: int, digits: str, rank: int) -> list[Any]:
    """Values of `HeadsTab.shown`."""
    if not demonstrations_id:
        return [NO_SETS, gr.Row(visible=False), "", None, ""]
    relevance = bench.relevance(demonstrations_id)
    if relevance is None:
        return ["", gr.Row(visible=True), "", None, NOT_SCORED]
    found = bench.attention(demonstrations_id, episode) or bench.attention(demonstrations_id, 0)
    value = head_map.head_map(
        key=f"{bench.relevance_id(demonstrations_id)}",
        version=time.time_ns() // 1000,
        relevance=relevance,
        attention=found[1] if found else None,
        selected=bench.heads(digits),
        cost=bench.size.head_cost(),
        rank=rank,
    )
    return ["", gr.Row(visible=True), rule_form(), value, ""]


def show_episode(bench: Workbench, demonstrations_id: str, index: int) -> dict[str, Any] | None:
    """The frame player's value."""
    if not demonstrations_id:
        return None
    card = bench.card(demonstrations_id)
    index = min(index, len(card.frames) - 1)
    episode = bench.episode(demonstrations_id, index)
    found = bench.attention(demonstrations_id, index)
    return frame_player.frame_player(
        key=f"{demonstrations_id}/{index}/{found[0] if found else ''}",
        episode=episode,
        index=index,
        outcomes=card.outcomes,
        sprites=bench.previews.sprites(demonstrations_id, index, tuple(episode.cameras)),
        attention_url=bench.previews.attention(*found) if found else None,
        attention=found[1] if found else None,
    )


def wire(bench: Workbench, tab: HeadsTab, states: session.States, header: gr.HTML, render_header: Any) -> None:
    """Selection by click, by rule, and the choice of episode."""

    @worded
    def toggle(opened: Any, event: gr.EventData) -> tuple[str, str]:
        data = event._data if isinstance(event._data, dict) else {}
        indices = data.get("selected")
        heads = head_map.selection_of(indices if isinstance(indices, list) else [], bench.size.head_shape)
        digits = bench.digits(heads)
        return digits, render_header(opened, digits)

    @worded
    def select(opened: Any, rank: Any, event: gr.EventData) -> list[Any]:
        form = action(event).form
        demonstrations_id, episode = session.as_opened(opened)
        count = session.whole(form.get("count"), 1, 40, PAPER_SET_SIZE)
        stacks = STACK_CHOICES.get(str(form.get("stacks")), ("vlm",))
        digits = bench.digits(bench.auto_select(demonstrations_id, count, stacks))
        value = show(bench, demonstrations_id, episode, digits, rank)[3]
        return [digits, value, render_header(opened, digits)]

    @worded
    def episode(opened: Any, heads: Any, event: gr.EventData) -> list[Any]:
        data = event._data if isinstance(event._data, dict) else {}
        demonstrations_id, _ = session.as_opened(opened)
        index = session.whole(data.get("index"), 0, 100_000, 0)
        opened = [demonstrations_id, index]
        return [opened, show_episode(bench, demonstrations_id, index), render_header(opened, heads)]

    tab.map.toggle(toggle, states.opened, [states.heads, header], trigger_mode="always_last", **QUICK)
    tab.rule.action(select, [states.opened, states.rank], [states.heads, tab.map, header], **ACTION)
    tab.player.episode(
        episode, [states.opened, states.heads], [states.opened, tab.player, header], trigger_mode="always_last", **QUICK
    )
