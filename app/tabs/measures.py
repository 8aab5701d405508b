"""Below the map of the Heads step: ways to measure, what a set would cost, and questions about the head shown."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from markupsafe import Markup

from app import components, questions, session, untrusted
from app.answers.jobs import Pending
from app.answers.surgery import MAX_SURGERY_SCENES
from app.damage import unless_damaged
from app.questions.context import Context
from app.questions.head_sets import HeadSet
from app.questions.measures import NO_OUTPUTS
from app.questions.training_estimate import estimate
from app.tabs.events import ACTION, QUICK, Events, Show, action, in_words, payload
from app.tabs.heads import HeadsTab, rule_of
from app.tabs.selected import shown_set
from app.tabs.watching import Watcher
from app.views import measures_answers as answers
from app.views.head_frames import head_frames
from app.views.head_map import metric_label, selection_of
from app.views.measures_menu import measure_menu, menus, unknown_cost, what_if
from app.views.surgery import FACTORS, LAST_S, surgery_card, surgery_menu
from app.words import duration
from steering import figures, pipeline
from steering.errors import InputError, SteeringError
from steering.integrity import Damaged
from steering.metrics import BY_NAME
from steering.types import PHASES, Demonstrations, Head, Selection

KINDS = ("why", "gain", "words", "frames", "two")
NO_SECOND = (
    "These demonstrations were scored by one measure only. Gradient × activation asks the policy itself which heads "
    "matter, and takes about a minute; Measure… lists others."
)
OUTPUTS = {"empty": NO_OUTPUTS, "offer": {"metric": "knn", "label": "Measure this set"}}
SECOND = {"empty": NO_SECOND, "offer": {"metric": "gradient_activation", "label": "Measure gradient × activation"}}


@dataclass(frozen=True)
class MeasuresTab:
    """menu: ways to measure, and surgery; jobs: those that run; what_if: cost of the set; surgery: what the newest
    showed; answers: about the head shown.
    """

    menu: gr.HTML
    jobs: gr.HTML
    what_if: gr.HTML
    surgery: gr.HTML
    answers: gr.HTML


def layout(plotly: str) -> MeasuresTab:
    """Lay out below the map. plotly: address of plotly.js."""
    with gr.Column(elem_classes="wb-card wb-lab-card", elem_id="measures"):
        with gr.Row(elem_classes="wb-lab-top"):
            menu = components.panel()
            what = components.what_if()
        jobs = components.panel()
        operated = components.panel()
        found = components.measures(plotly)
    return MeasuresTab(menu, jobs, what, operated, found)


def show_menu(context: Context, opened: Any, measure: Any) -> Markup:
    """Markup of the menu."""
    demonstrations_id, _ = untrusted.as_opened(opened)
    if not demonstrations_id:
        return Markup()
    measured = {one.metric for one in questions.measures.stored(context, demonstrations_id)}
    if questions.measures.captured(context, demonstrations_id) is None:
        measured.discard("knn")
    trusted = unless_damaged(questions.measures.trust, context, demonstrations_id, untrusted.as_id(measure)) is not None
    scene = bool(context.load(demonstrations_id, Demonstrations).task)
    menu = measure_menu(measured, questions.measures.targets(context, demonstrations_id), scene, trusted)
    return menus(menu, surgery_menu() if scene else Markup())


def start_surgery(context: Context, demonstrations_id: str, digits: str, form: Mapping[str, Any]) -> None:
    """Queue a paired run with the selected heads on the demonstrations' own task. form: what the client sent."""
    heads = questions.head_sets.heads_of(context, digits)
    if not heads:
        raise InputError("Select heads on the map first: surgery changes the selected ones.")
    factor = next((float(one) for one in FACTORS if one == form.get("factor")), 0.0)
    from_s = untrusted.whole(form.get("from"), 0, LAST_S, 0)
    scenes = untrusted.whole(form.get("scenes"), 2, MAX_SURGERY_SCENES, 10)
    task = context.load(demonstrations_id, Demonstrations).task
    questions.surgery.start(context, task, heads, factor, from_s, scenes, 0)


def answer(
    context: Context, opened: Any, measure: str, beside: str, heads: str, asked: dict[str, Any]
) -> dict[str, Any]:
    """What static/heads/measures.js draws for the question `asked`, which comes from the client."""
    demonstrations_id, episode = untrusted.as_opened(opened)
    kind = next((kind for kind in KINDS if kind == asked.get("kind")), KINDS[0])
    serial = untrusted.whole(asked.get("serial"), 0, 10**9, 0)
    turn = untrusted.whole(asked.get("turn"), 0, 10**9, 0)  # tells two equal answers apart, so that both arrive
    shown = {"kind": kind, "serial": serial, "turn": turn}
    if not demonstrations_id:
        return {**shown, "empty": "Open demonstrations first."}
    try:
        if kind == "two":
            return {**shown, **_two(context, demonstrations_id, measure, beside, heads)}
        return {**shown, **_of_head(context, demonstrations_id, episode, kind, measure, asked)}
    except Exception as error:  # whatever it is: the panel waits for this answer
        return {**shown, "empty": in_words(error)}


def _of_head(
    context: Context, demonstrations_id: str, episode: int, kind: str, measure: str, asked: dict[str, Any]
) -> dict[str, Any]:
    frames = questions.demonstrations.card(context, demonstrations_id).frames
    episode = min(episode, len(frames) - 1)
    frame = untrusted.whole(asked.get("frame"), 0, frames[episode] - 1, 0)
    chosen = selection_of([asked.get("head")], context.size.head_shape)
    head = chosen[0] if chosen else context.size.head_shape.all_heads()[0]
    if kind == "gain":
        swept = questions.heads.sweep(context, demonstrations_id, head, episode, frame)
        return _waiting(swept) if isinstance(swept, Pending) else {"gain": answers.sweep(swept)}
    if kind == "words":
        seen = questions.heads.words(context, demonstrations_id, episode, frame)
        return _waiting(seen) if isinstance(seen, Pending) else {"words": answers.words(seen)}
    if questions.measures.captured(context, demonstrations_id) is None:
        return OUTPUTS
    if kind == "why":
        explained = questions.heads.why(context, demonstrations_id, head, episode)
        return {"why": answers.why(explained, questions.heads.thumbnails(context, demonstrations_id))}
    return {"frames": _all_frames(context, demonstrations_id, head, measure)}


def _all_frames(context: Context, demonstrations_id: str, head: Head, measure: str) -> dict[str, Any]:
    projected = questions.heads.projection(context, demonstrations_id, head)
    outcomes = questions.demonstrations.card(context, demonstrations_id).outcomes
    shown, scored, gap = questions.measures.shown(context, demonstrations_id, measure), None, None
    with suppress(SteeringError):  # too few episodes for this score: the outputs can be looked at all the same
        if shown is not None:
            scored = questions.heads.by_frame(context, demonstrations_id, head, shown)
            gap = questions.heads.outcome_gap(scored, outcomes)
    return head_frames(projected, scored, outcomes, questions.heads.thumbnails(context, demonstrations_id), gap)


def _waiting(pending: Pending) -> dict[str, Any]:
    if pending.failed:
        return {"empty": pending.message}
    left = "" if pending.left_s is None else f"{duration(pending.left_s)} left"
    return {"pending": pending.message, "left": left, "job": pending.job_id}


def _two(context: Context, demonstrations_id: str, measure: str, beside: str, digits: str) -> dict[str, Any]:
    first, shown = (
        questions.measures.relevance(context, demonstrations_id, measure),
        questions.measures.shown(context, demonstrations_id, measure),
    )
    others = [one.key for one in questions.measures.stored(context, demonstrations_id) if one != shown]
    if first is None or not others:
        return SECOND
    second = questions.measures.relevance(context, demonstrations_id, beside if beside in others else others[0])
    assert second is not None
    drawn = figures.disagreement(first, second, questions.head_sets.heads_of(context, digits))
    drawn.update_layout(xaxis_title=metric_label(first), yaxis_title=metric_label(second))
    lines = answers.agreement_lines(questions.measures.agreements(first, second))
    return {"figure": figures.plain(drawn), "lines": lines}


def show_cost(context: Context, demonstrations_id: str, measure: str, rank: Any, indices: Any) -> Markup:
    """Markup of what the set of flat head `indices`, which come from the client, would cost; or of why not."""
    try:
        chosen = selection_of(indices if isinstance(indices, list) else [], context.size.head_shape)
        rank = untrusted.whole(rank, 1, 256, 16)
        try:
            error = questions.choosing.set_error(context, demonstrations_id, measure, chosen)
        except Damaged:
            raise
        except SteeringError:
            error = None  # a target that a set cannot be asked about has no error of the set
        training = estimate(context.store, context.policy, chosen) if chosen else None
        shape = context.size.head_shape
        of = [int(np.ravel_multi_index(shape.place(head), shape.grid)) for head in chosen]
        return what_if(of, context.size.steering(chosen, rank), context.size.lora(rank), rank, error, training)
    except Exception as error:  # whatever it is: the line before was about another set
        return unknown_cost(in_words(error))


def wire(
    events: Events,
    context: Context,
    tab: MeasuresTab,
    heads_tab: HeadsTab,
    states: session.States,
    watcher: Watcher,
) -> tuple[Show, Show]:
    """Questions, the menu and greedy sets. Returns what shows the menu, and what adopts what a job has measured."""

    def ask(opened: Any, measure: Any, beside: Any, heads: Any, event: gr.EventData) -> dict[str, Any]:
        names = (untrusted.as_id(measure), untrusted.as_id(beside), untrusted.as_id(heads))
        return answer(context, opened, *names, payload(event, "kind", "head", "frame", "serial", "turn"))

    def cost(opened: Any, measure: Any, rank: Any, event: gr.EventData) -> str:
        demonstrations_id, _ = untrusted.as_opened(opened)
        return show_cost(
            context, demonstrations_id, untrusted.as_id(measure), rank, payload(event, "selected").get("selected")
        )

    def stop(event: gr.EventData) -> None:
        questions.jobs.stop(context, untrusted.as_id(payload(event, "job").get("job")))

    def start(opened: Any, measure: Any, digits: Any, base: Any, event: gr.EventData) -> Any:
        given = action(event)
        demonstrations_id, _ = untrusted.as_opened(opened)
        if given.name == "operate" and demonstrations_id:
            one = shown_set(context, event, opened, digits, base, measure)
            start_surgery(context, demonstrations_id, one.digits or "", given.form)
            return watcher.start()
        if given.name != "measure" or not demonstrations_id:
            return gr.skip()
        if given.value == "trust":
            shown = questions.measures.shown(context, demonstrations_id, untrusted.as_id(measure))
            questions.measures.start_trust(context, demonstrations_id, shown)
        elif given.value in BY_NAME:
            targets = questions.measures.targets(context, demonstrations_id)
            target = next((one for one in targets if one == given.form.get("target")), targets[0])
            phase = next((one for one in PHASES if one == given.form.get("phase")), "whole")
            questions.measures.start(context, demonstrations_id, given.value, "default", target, phase)
        return watcher.start()

    def offered(opened: Any, measure: Any, event: gr.EventData) -> Any:
        """An empty panel's own button: head outputs and the question shown, or another metric."""
        demonstrations_id, _ = untrusted.as_opened(opened)
        metric = str(payload(event, "metric").get("metric"))
        if metric not in BY_NAME or not demonstrations_id:
            return gr.skip()
        shown = questions.measures.shown(context, demonstrations_id, untrusted.as_id(measure))
        asked = ("default", "action", "whole")
        if shown is not None and shown.metric == "knn":
            asked = (shown.preset, shown.target, shown.phase)
        questions.measures.start(context, demonstrations_id, metric, *asked)
        return watcher.start()

    def grow(opened: Any, measure: Any, event: gr.EventData) -> Any:
        demonstrations_id, _ = untrusted.as_opened(opened)
        key = untrusted.as_id(measure)
        rule, count, stacks = rule_of(context, demonstrations_id, key, action(event).form)
        if rule != "greedy":
            return gr.skip()
        questions.choosing.greedy(context, demonstrations_id, key, count, stacks)
        return watcher.start()

    def adopt(opened: Any, digits: Any, kept: Any, measure: Any, since_s: float | None) -> list[Any]:
        """What a job has just measured is shown, and the set that it chose is selected; demonstrations whose heads have
        their first scores now begin with the paper's rule.
        """
        demonstrations_id, _ = untrusted.as_opened(opened)
        ended = None if since_s is None else questions.measures.just_measured(context, since_s)
        until_s = gr.skip() if ended is None else ended.ended_s
        if ended is not None and ended.function == "select":
            origin = pipeline.origin_of(context.store, ended.result, context.store.kept)
            one = questions.head_sets.chosen(
                questions.head_sets.digits_of(context, context.load(ended.result, Selection).heads), origin
            )
            if origin is None or origin.demonstrations == demonstrations_id:
                return [gr.skip(), one.digits, one.kept, gr.skip(), until_s]
            key = questions.head_sets.key_of(
                context.policies.key, origin.demonstrations
            )  # others were opened meanwhile
            return [*[gr.skip()] * 3, questions.head_sets.keep(kept, key, one), until_s]
        found = "" if ended is None else questions.measures.of_result(context, demonstrations_id, ended.result)
        first = HeadSet()
        if digits is None:
            first = questions.head_sets.newcomer(context, demonstrations_id, found or untrusted.as_id(measure))
        chosen = [gr.skip(), gr.skip()] if first.digits is None else [first.digits, first.kept]
        return [found or gr.skip(), *chosen, gr.skip(), until_s]

    events.on(
        tab.answers.ask,
        ask,
        [states.opened, states.measure, states.beside, states.heads],
        tab.answers,
        trigger_mode="always_last",
        **QUICK,
    )
    events.on(
        tab.what_if.ask,
        cost,
        [states.opened, states.measure, states.rank],
        tab.what_if,
        trigger_mode="always_last",
        **QUICK,
    )
    events.on(tab.answers.stop, stop, None, None, **ACTION)
    events.on(tab.answers.measure, offered, [states.opened, states.measure], watcher.timer, **ACTION)
    starting = [states.opened, states.measure, states.heads, states.origin]
    events.on(tab.menu.action, start, starting, watcher.timer, **ACTION)
    events.on(heads_tab.rule.action, grow, [states.opened, states.measure], watcher.timer, **ACTION)
    menu = Show(
        lambda opened, measure: [
            show_menu(context, opened, measure),
            surgery_card(questions.surgery.newest(context)),
        ],
        [states.opened, states.measure],
        [tab.menu, tab.surgery],
    )
    adopting = [states.opened, states.heads, states.kept, states.measure, watcher.since_s]
    adopted = [states.measure, states.heads, states.origin, states.kept, watcher.since_s]
    return menu, Show(adopt, adopting, adopted)
