"""The Finetune step: methods side by side, settings, the equal command, live runs and curves, results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from app import components, questions, session, untrusted
from app.questions import training_form
from app.questions.context import Context
from app.tabs.events import ACTION, WATCH, Events, action
from app.tabs.selected import shown_set
from app.tabs.watching import Watcher
from app.views import finetune as views
from app.views.holdings import removal_card
from app.views.pushing import push_card, pushed_card
from app.views.templates import PIECES
from steering.errors import SteeringError
from steering.finetune.presets import PRESETS
from steering.public import is_public
from steering.types import FinetuneSettings

DEFAULTS = FinetuneSettings()

PURPOSE = (
    "Train only the selected heads, and beside them LoRA on all heads or controls, on the demonstrations that are open."
)


@dataclass(frozen=True)
class FinetuneTab:
    """Components of the step. costs: what the form shows beside its fields. live: numbers of what runs. change, maps:
    what a finished run did to the heads, in words and drawn. exporting: id of the job whose file is waited for;
    pushing: of that whose policy goes to the hub; push: asks where to.
    """

    form: gr.HTML
    costs: gr.HTML
    jobs: gr.HTML
    live: gr.HTML
    plot: gr.HTML
    results: gr.HTML
    change: gr.HTML
    maps: gr.HTML
    exporting: gr.State
    push: gr.HTML
    pushing: gr.State


def layout(plotly: str) -> FinetuneTab:
    """Lay out the step inside its tab."""
    components.panel(PIECES.purpose(PURPOSE))
    form = components.panel()
    costs = components.panel()
    jobs = components.panel()
    live = components.panel()
    with gr.Column(elem_classes="wb-plot"):
        plot = components.curves()
    results = components.panel()
    push = components.panel()
    change = components.panel()
    with gr.Column(elem_classes="wb-plot", elem_id="head-change-maps"):
        maps = components.figure(plotly)
    return FinetuneTab(form, costs, jobs, live, plot, results, change, maps, gr.State(""), push, gr.State(""))


def show_form(fields: Any) -> str:
    """Markup of the form with the fields that the browser kept."""
    asked = training_form.read(fields if isinstance(fields, dict) else {})
    return views.form(
        training_form.fields(asked), training_form.OFFERS, list(PRESETS), training_form.RANKS, training_form.BATCHES
    )


def show(context: Context, opened: Any, digits: Any, base: Any, measure: Any, fields: Any) -> list[str]:
    """Markup of the costs and of the results."""
    return [
        show_costs(context, opened, digits, base, measure, fields),
        views.results_table(questions.results.finetunes(context), pushes=questions.exports.may_push()),
    ]


def show_costs(context: Context, opened: Any, digits: Any, base: Any, measure: Any, fields: Any) -> str:
    """What every method would train and take with these fields, on heads from where, and the equal command."""
    asked = training_form.read(fields if isinstance(fields, dict) else {})
    demonstrations_id, _ = untrusted.as_opened(opened)
    heads, key = questions.head_sets.heads_of(context, digits), untrusted.as_id(measure)
    origin = questions.head_sets.origin_of(context, questions.head_sets.head_set(digits, base))
    found = questions.training.outlook(context, demonstrations_id, key, heads, asked, origin)
    try:
        command, python = questions.training.preview(context, demonstrations_id, key, heads, asked, origin)
    except SteeringError as error:  # what cannot run has no command; starting says the same
        command = python = f"# {error}"
    imitated = questions.training.imitated(context, demonstrations_id)
    return views.costs(found, command, python, imitated, context.experiments.headline("screen"))


def show_live(context: Context) -> str:
    """Numbers of this visitor's trainings that run."""
    return views.live(questions.training.running(context))


def show_change(context: Context, found: str | None) -> list[Any]:
    """What a finetune did to the heads, in words and drawn; as it is where nothing was found."""
    if found is None:
        return [gr.skip(), gr.skip()]
    one = questions.results.head_change(context, found)
    return [
        views.change_card(one.method, one.demonstrations, one.lines),
        {**one.figure, "name": "Heads before and after"},
    ]


def _deleting(context: Context, action_name: str, adapter_id: str) -> str:
    """The results with the question before one is deleted, or after it was answered."""
    if action_name == "remove":
        questions.holdings.delete(context, adapter_id)
    question = removal_card(questions.holdings.asked(context, adapter_id)) if action_name == "delete" else None
    return views.results_table(questions.results.finetunes(context), question, questions.exports.may_push())


def wire(
    events: Events, context: Context, tab: FinetuneTab, states: session.States, watcher: Watcher, download: gr.HTML
) -> None:
    """Start, count again whenever the form changes, follow what runs, keep a run as one page, score its heads."""

    def look(event: gr.EventData) -> list[Any]:
        chosen = action(event)
        if chosen.name == "report":
            return [asdict(questions.exports.report(context, untrusted.as_id(chosen.value))), *[gr.skip()] * 6]
        if chosen.name in ("export", "push"):
            job_id = questions.exports.policy(context, untrusted.as_id(chosen.value))
            waiting = [job_id, gr.skip()] if chosen.name == "export" else [gr.skip(), job_id]
            return [gr.skip(), watcher.start(), *[gr.skip()] * 3, *waiting]
        if chosen.name in ("delete", "remove", "close"):
            return [*[gr.skip()] * 4, _deleting(context, chosen.name, untrusted.as_id(chosen.value)), *[gr.skip()] * 2]
        if chosen.name != "heads_after":
            return [gr.skip()] * 7
        found = questions.results.heads_after(context, untrusted.as_id(chosen.value))
        return [gr.skip(), gr.skip() if found else watcher.start(), *show_change(context, found), *[gr.skip()] * 3]

    def act(opened: Any, digits: Any, base: Any, measure: Any, kept: Any, event: gr.EventData) -> list[Any]:
        chosen = action(event)
        if chosen.name not in ("change", "start"):
            return [gr.skip()] * 5
        asked, form = training_form.read(chosen.form), gr.skip()
        if isinstance(kept, dict) and asked.preset != kept.get("preset", "default"):
            asked = training_form.from_preset(asked, asked.preset)
            form = show_form(training_form.fields(asked))
        fields = training_form.fields(asked)
        one = shown_set(context, event, opened, digits, base, measure)
        if chosen.name == "start":
            demonstrations_id, _ = untrusted.as_opened(opened)
            heads, origin = (
                questions.head_sets.heads_of(context, one.digits or ""),
                questions.head_sets.origin_of(context, one),
            )
            questions.training.start(context, demonstrations_id, untrusted.as_id(measure), heads, asked, origin)
            return [watcher.start(), asked.settings.rank, fields, gr.skip(), gr.skip()]
        costs = show_costs(context, opened, one.digits, one.kept, measure, fields)
        return [gr.skip(), asked.settings.rank, fields, form, costs]

    def follow() -> str:
        return show_live(context)

    def made(job_id: Any) -> list[Any]:
        file = questions.exports.made_policy(context, job_id) if isinstance(job_id, str) and job_id else None
        return [gr.skip()] * 2 if file is None else [asdict(file), ""]

    def packed(job_id: Any) -> list[Any]:
        export_id = questions.exports.packed_policy(context, job_id) if isinstance(job_id, str) and job_id else ""
        return [push_card(export_id, is_public()), ""] if export_id else [gr.skip()] * 2

    def push(event: gr.EventData) -> str:
        chosen = action(event)
        if chosen.name != "push":
            return ""
        repository, token = (str(chosen.form.get(name, "")).strip()[:200] for name in ("repository", "token"))
        export_id, public = untrusted.as_id(chosen.value), bool(chosen.form.get("public"))
        return pushed_card(questions.exports.push(context, export_id, repository, token, public))

    def scored() -> list[Any]:
        return show_change(context, questions.results.just_scored(context))

    looked = [download, watcher.timer, tab.change, tab.maps, tab.results, tab.exporting, tab.pushing]
    events.on(tab.results.action, look, None, looked, **ACTION)
    events.on(watcher.finished.change, scored, None, [tab.change, tab.maps], **WATCH)
    events.on(watcher.finished.change, made, tab.exporting, [download, tab.exporting], **WATCH)
    events.on(watcher.finished.change, packed, tab.pushing, [tab.push, tab.pushing], **WATCH)
    events.on(tab.push.action, push, None, tab.push, **ACTION)
    events.on(
        tab.form.action,
        act,
        [states.opened, states.heads, states.origin, states.measure, states.training],
        [watcher.timer, states.rank, states.training, tab.form, tab.costs],
        **ACTION,
    )
    events.on(watcher.timer.tick, follow, None, tab.live, **WATCH)
    events.on(watcher.finished.change, follow, None, tab.live, **WATCH)
