"""The Finetune step: methods side by side, settings, the equal command, live runs and curves, results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from app import components, head_sets, session, training_form, visitors
from app.service import Workbench
from app.tabs.events import ACTION, WATCH, action, worded
from app.tabs.watching import Watcher
from app.training import Outlook
from app.views import finetune as views
from app.views.holdings import removal_card
from app.views.markup import purpose
from steering.errors import SteeringError
from steering.finetune.presets import PRESETS
from steering.types import FinetuneSettings

DEFAULTS = FinetuneSettings()

PURPOSE = (
    "Train only the selected heads, and beside them LoRA on all heads or controls, on the demonstrations that are open."
)


@dataclass(frozen=True)
class FinetuneTab:
    """Components of the step. costs: what the form shows beside its fields. live: numbers of what runs. change, maps:
    what a finished run did to the heads, in words and drawn.
    """

    form: gr.HTML
    costs: gr.HTML
    jobs: gr.HTML
    live: gr.HTML
    plot: gr.HTML
    results: gr.HTML
    change: gr.HTML
    maps: gr.HTML


def layout(plotly: str) -> FinetuneTab:
    """Lay out the step inside its tab."""
    components.panel(purpose(PURPOSE))
    form = components.panel()
    costs = components.panel()
    jobs = components.panel()
    live = components.panel()
    with gr.Column(elem_classes="wb-plot"):
        plot = components.curves()
    results = components.panel()
    change = components.panel()
    with gr.Column(elem_classes="wb-plot", elem_id="head-change-maps"):
        maps = components.figure(plotly)
    return FinetuneTab(form, costs, jobs, live, plot, results, change, maps)


def show_form(fields: Any) -> str:
    """Markup of the form with the fields that the browser kept."""
    asked = training_form.read(fields if isinstance(fields, dict) else {})
    return views.form(
        training_form.fields(asked), training_form.OFFERS, list(PRESETS), training_form.RANKS, training_form.BATCHES
    )


def show(bench: Workbench, opened: Any, digits: Any, base: Any, measure: Any, fields: Any) -> list[str]:
    """Markup of the costs and of the results."""
    return [show_costs(bench, opened, digits, base, measure, fields), views.results_table(bench.results.finetunes())]


def show_costs(bench: Workbench, opened: Any, digits: Any, base: Any, measure: Any, fields: Any) -> str:
    """What every method would train and take with these fields, on heads from where, and the equal command."""
    asked = training_form.read(fields if isinstance(fields, dict) else {})
    demonstrations_id, _ = session.as_opened(opened)
    heads, key = bench.heads(digits), session.as_id(measure)
    origin = head_sets.origin_of(bench, head_sets.head_set(digits, base))
    found = bench.training.outlook(demonstrations_id, key, heads, asked, origin)
    try:
        command, python = bench.training.preview(demonstrations_id, key, heads, asked, origin)
    except SteeringError as error:  # what cannot run has no command; starting says the same
        command = python = f"# {error}"
    return views.costs({name: _cost(one) for name, one in found.items()}, command, python)


def _cost(one: Outlook) -> views.MethodCost:
    taken = one.training
    return views.MethodCost(
        groups=one.parameters,
        heads=one.heads,
        share=one.share,
        seconds=taken.seconds if taken else None,
        memory_mb=taken.memory_mb if taken else None,
        runs=taken.runs if taken else 0,
        rank=one.rank,
        notices=one.notices,
        missing=one.missing,
        off=one.off,
        origin=one.origin,
        remark=one.remark,
    )


def show_live(bench: Workbench) -> str:
    """Numbers of this visitor's trainings that run."""
    return views.live([views.LiveRun(**asdict(run)) for run in bench.training.running(visitors.owner())])


def show_change(bench: Workbench, found: str | None) -> list[Any]:
    """What a finetune did to the heads, in words and drawn; as it is where nothing was found."""
    if found is None:
        return [gr.skip(), gr.skip()]
    one = bench.results.head_change(found)
    return [views.change_card(one.method, one.demonstrations, one.lines), one.figure]


def _deleting(bench: Workbench, action_name: str, adapter_id: str) -> str:
    """The results with the question before one is deleted, or after it was answered."""
    if action_name == "remove":
        bench.holdings.delete(adapter_id)
    question = removal_card(bench.holdings.asked(adapter_id)) if action_name == "delete" else ""
    return views.results_table(bench.results.finetunes(), question)


def wire(bench: Workbench, tab: FinetuneTab, states: session.States, watcher: Watcher, download: gr.HTML) -> None:
    """Start, count again whenever the form changes, follow what runs, keep a run as one page, score its heads."""

    @worded
    def look(event: gr.EventData) -> list[Any]:
        chosen = action(event)
        if chosen.name == "report":
            return [asdict(bench.exports.report(session.as_id(chosen.value))), *[gr.skip()] * 4]
        if chosen.name in ("delete", "remove", "close"):
            return [*[gr.skip()] * 4, _deleting(bench, chosen.name, session.as_id(chosen.value))]
        if chosen.name != "heads_after":
            return [gr.skip()] * 5
        found = bench.heads_after(visitors.owner(), session.as_id(chosen.value))
        return [gr.skip(), gr.skip() if found else watcher.start(), *show_change(bench, found), gr.skip()]

    @worded
    def act(opened: Any, digits: Any, base: Any, measure: Any, kept: Any, event: gr.EventData) -> list[Any]:
        chosen = action(event)
        if chosen.name not in ("change", "start"):
            return [gr.skip()] * 5
        asked, form = training_form.read(chosen.form), gr.skip()
        if isinstance(kept, dict) and asked.preset != kept.get("preset", "default"):
            asked = training_form.from_preset(asked, asked.preset)
            form = show_form(training_form.fields(asked))
        fields = training_form.fields(asked)
        if chosen.name == "start":
            demonstrations_id, _ = session.as_opened(opened)
            origin = head_sets.origin_of(bench, head_sets.head_set(digits, base))
            key = session.as_id(measure)
            bench.training.start(visitors.owner(), demonstrations_id, key, bench.heads(digits), asked, origin)
            return [watcher.start(), asked.settings.rank, fields, gr.skip(), gr.skip()]
        costs = show_costs(bench, opened, digits, base, measure, fields)
        return [gr.skip(), asked.settings.rank, fields, form, costs]

    @worded
    def follow() -> str:
        return show_live(bench)

    @worded
    def scored() -> list[Any]:
        return show_change(bench, bench.just_scored(visitors.owner()))

    tab.results.action(look, None, [download, watcher.timer, tab.change, tab.maps, tab.results], **ACTION)
    watcher.finished.change(scored, None, [tab.change, tab.maps], **WATCH)
    tab.form.action(
        act,
        [states.opened, states.heads, states.origin, states.measure, states.training],
        [watcher.timer, states.rank, states.training, tab.form, tab.costs],
        **ACTION,
    )
    watcher.timer.tick(follow, None, tab.live, **WATCH)
    watcher.finished.change(follow, None, tab.live, **WATCH)
