"""The Compare step: every method in the same scenes, side by side, with success, paired test and cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from app import components, session
from app.service import TASKS, UNSEEN_TASK, VARIATIONS, Workbench
from app.tabs.events import ACTION, action, payload, worded
from app.tabs.watching import Watcher
from app.views.comparison import MAX_SCENE_SET, MAX_SCENES, NOTHING, UNTRAINED, compare_form
from app.views.markup import purpose
from steering.types import METHODS

PURPOSE = (
    "Run the untouched policy, Robotic Steering and LoRA in the same scenes, and see whether a difference is shown."
)


@dataclass(frozen=True)
class CompareTab:
    """Components of the step."""

    form: gr.HTML
    jobs: gr.HTML
    notice: gr.HTML
    player: gr.HTML
    success: gr.HTML
    cost: gr.HTML


def layout() -> CompareTab:
    """Lay out the step inside its tab."""
    components.panel(purpose(PURPOSE))
    form = components.panel()
    jobs = components.panel()
    notice = components.panel()
    with gr.Row(elem_id="outcome"):
        with gr.Column(elem_classes="wb-outcome"):
            with gr.Column(elem_classes="wb-card"):
                player = components.rollout_player()
            cost = components.panel()
        with gr.Column():
            success = components.panel()
    return CompareTab(form, jobs, notice, player, success, cost)


def show(bench: Workbench, opened: Any) -> list[Any]:
    """Values of form, notice, player, success and cost."""
    demonstrations_id, _ = session.as_opened(opened)
    card = bench.card(demonstrations_id) if demonstrations_id else None
    task = card.task if card else TASKS[0]
    trained = bench.adapters(demonstrations_id) if demonstrations_id else {}
    form = compare_form((*TASKS, UNSEEN_TASK), VARIATIONS, task, trained)
    comparison_id = bench.results.newest_comparison(task)
    if comparison_id is None:
        return [form, NOTHING if trained else UNTRAINED, None, "", ""]
    shown = bench.results.comparison(comparison_id)
    return [form, "", shown.player, shown.success, shown.cost]


def wire(bench: Workbench, tab: CompareTab, states: session.States, watcher: Watcher, download: gr.HTML) -> None:
    """Start a comparison, and keep one as one page."""

    @worded
    def report(event: gr.EventData) -> dict[str, str]:
        return asdict(bench.exports.report(session.as_id(payload(event).get("id"))))

    @worded
    def start(owner: str, opened: Any, event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name != "start":
            return gr.skip()
        form = chosen.form
        tasks = (*TASKS, UNSEEN_TASK)
        bench.compare(
            owner,
            session.as_opened(opened)[0],
            next((task for task in tasks if task == form.get("task")), TASKS[0]),
            session.names(form.get("methods"), METHODS),
            session.whole(form.get("trials"), 1, MAX_SCENES, 10),
            session.whole(form.get("seed"), 0, MAX_SCENE_SET, 0),
            session.names(form.get("variations"), VARIATIONS),
        )
        return watcher.start()

    tab.form.action(start, [states.owner, states.opened], watcher.timer, **ACTION)
    tab.player.report(report, None, download, **ACTION)
