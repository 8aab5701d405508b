"""The laboratory of the Heads step: ways to measure, what a set would cost, why a head, gains, words, two measures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import components, head_sets, measures, session, visitors
from app.damage import unless_damaged
from app.head_sets import HeadSet
from app.laboratory import NO_OUTPUTS, Pending
from app.service import Workbench
from app.tabs.events import ACTION, QUICK, action, in_words, payload, worded
from app.tabs.heads import HeadsTab, rule_of
from app.tabs.watching import Watcher
from app.training_estimate import estimate
from app.views import laboratory_answers as answers
from app.views.head_map import metric_label, selection_of
from app.views.laboratory_menu import measure_menu, unknown_cost, what_if
from app.views.markup import duration
from steering import figures, pipeline
from steering.errors import SteeringError
from steering.integrity import Damaged
from steering.metrics import BY_NAME
from steering.types import PHASES

KINDS = ("why", "gain", "words", "plane", "two")
NO_SECOND = (
    "These demonstrations were scored by one measure only. Gradient × activation asks the policy itself which heads "
    "matter, and takes about a minute; Measure… lists others."
)
OUTPUTS = {"empty": NO_OUTPUTS, "offer": {"metric": "knn", "label": "Measure this set"}}
SECOND = {"empty": NO_SECOND, "offer": {"metric": "gradient_activation", "label": "Measure gradient × activation"}}


@dataclass(frozen=True)
class LaboratoryTab:
    """menu: ways to measure; jobs: those that run; what_if: cost of the set; answers: about the head shown."""

    menu: gr.HTML
    jobs: gr.HTML
    what_if: gr.HTML
    answers: gr.HTML


def layout(plotly: str) -> LaboratoryTab:
    """Lay out below the map. plotly: address of plotly.js."""
    with gr.Column(elem_classes="wb-card wb-lab-card", elem_id="laboratory"):
        with gr.Row(elem_classes="wb-lab-top"):
            menu = components.panel()
            what = components.what_if()
        jobs = components.panel()
        found = components.laboratory(plotly)
    return LaboratoryTab(menu, jobs, what, found)


def show_menu(bench: Workbench, opened: Any, measure: Any) -> str:
    """Markup of the menu."""
    demonstrations_id, _ = session.as_opened(opened)
    if not demonstrations_id:
        return ""
    measured = {one.metric for one in bench.measures(demonstrations_id)}
    if bench.laboratory.captured(demonstrations_id) is None:
        measured.discard("knn")
    trusted = unless_damaged(bench.laboratory.trust, demonstrations_id, session.as_id(measure)) is not None
    scene = bool(bench.load(demonstrations_id).task)
    return measure_menu(measured, bench.laboratory.targets(demonstrations_id), scene, trusted)


def answer(
    bench: Workbench, owner: str, opened: Any, measure: str, beside: str, heads: str, asked: dict[str, Any]
) -> dict[str, Any]:
    """What static/laboratory.js draws for the question `asked`, which comes from the client."""
    demonstrations_id, episode = session.as_opened(opened)
    kind = next((kind for kind in KINDS if kind == asked.get("kind")), KINDS[0])
    serial = session.whole(asked.get("serial"), 0, 10**9, 0)
    turn = session.whole(asked.get("turn"), 0, 10**9, 0)  # tells two equal answers apart, so that both arrive
    shown = {"kind": kind, "serial": serial, "turn": turn}
    if not demonstrations_id:
        return {**shown, "empty": "Open demonstrations first."}
    try:
        if kind == "two":
            return {**shown, **_two(bench, demonstrations_id, measure, beside, heads)}
        return {**shown, **_of_head(bench, owner, demonstrations_id, episode, kind, asked)}
    except Exception as error:  # whatever it is: the panel waits for this answer
        return {**shown, "empty": in_words(error)}


def _of_head(
    bench: Workbench, owner: str, demonstrations_id: str, episode: int, kind: str, asked: dict[str, Any]
) -> dict[str, Any]:
    frames = bench.card(demonstrations_id).frames
    episode = min(episode, len(frames) - 1)
    frame = session.whole(asked.get("frame"), 0, frames[episode] - 1, 0)
    chosen = selection_of([asked.get("head")], bench.size.head_shape)
    head = chosen[0] if chosen else bench.size.head_shape.all_heads()[0]
    laboratory = bench.laboratory
    if kind == "gain":
        swept = laboratory.sweep(owner, demonstrations_id, head, episode, frame)
        return _waiting(swept) if isinstance(swept, Pending) else {"gain": answers.sweep(swept)}
    if kind == "words":
        seen = laboratory.words(owner, demonstrations_id, episode, frame)
        return _waiting(seen) if isinstance(seen, Pending) else {"words": answers.words(seen)}
    if laboratory.captured(demonstrations_id) is None:
        return OUTPUTS
    if kind == "why":
        explained = laboratory.why(demonstrations_id, head, episode)
        return {"why": answers.why(explained, laboratory.thumbnails(demonstrations_id))}
    return {"figure": figures.plain(figures.projection(laboratory.projection(demonstrations_id, head)))}


def _waiting(pending: Pending) -> dict[str, Any]:
    if pending.failed:
        return {"empty": pending.message}
    left = "" if pending.left_s is None else f"{duration(pending.left_s)} left"
    return {"pending": pending.message, "left": left, "job": pending.job_id}


def _two(bench: Workbench, demonstrations_id: str, measure: str, beside: str, digits: str) -> dict[str, Any]:
    first, shown = bench.relevance(demonstrations_id, measure), bench.measure_shown(demonstrations_id, measure)
    others = [one.key for one in bench.measures(demonstrations_id) if one != shown]
    if first is None or not others:
        return SECOND
    second = bench.relevance(demonstrations_id, beside if beside in others else others[0])
    assert second is not None
    drawn = figures.disagreement(first, second, bench.heads(digits))
    drawn.update_layout(xaxis_title=metric_label(first), yaxis_title=metric_label(second))
    lines = answers.agreement_lines(measures.agreements(first, second))
    return {"figure": figures.plain(drawn), "lines": lines}


def show_cost(bench: Workbench, demonstrations_id: str, measure: str, rank: Any, indices: Any) -> str:
    """Markup of what the set of flat head `indices`, which come from the client, would cost; or of why not."""
    try:
        chosen = selection_of(indices if isinstance(indices, list) else [], bench.size.head_shape)
        rank = session.whole(rank, 1, 256, 16)
        try:
            error = bench.laboratory.set_error(demonstrations_id, measure, chosen)
        except Damaged:
            raise
        except SteeringError:
            error = None  # a target that a set cannot be asked about has no error of the set
        training = estimate(bench.store, bench.policy, chosen) if chosen else None
        return what_if(len(chosen), bench.size.steering(chosen, rank), bench.size.lora(rank), rank, error, training)
    except Exception as error:  # whatever it is: the line before was about another set
        return unknown_cost(in_words(error))


def wire(
    bench: Workbench, tab: LaboratoryTab, heads_tab: HeadsTab, states: session.States, watcher: Watcher
) -> tuple[Any, Any]:
    """Questions, the menu and greedy sets. Returns the chains that show the menu, and adopt what a job has measured,
    each as (function, inputs, outputs).
    """

    @worded
    def ask(opened: Any, measure: Any, beside: Any, heads: Any, event: gr.EventData) -> dict[str, Any]:
        names = (session.as_id(measure), session.as_id(beside), session.as_id(heads))
        return answer(bench, visitors.owner(), opened, *names, payload(event))

    @worded
    def cost(opened: Any, measure: Any, rank: Any, event: gr.EventData) -> str:
        demonstrations_id, _ = session.as_opened(opened)
        return show_cost(bench, demonstrations_id, session.as_id(measure), rank, payload(event).get("selected"))

    @worded
    def stop(event: gr.EventData) -> None:
        bench.stop(visitors.owner(), session.as_id(payload(event).get("job")))

    @worded
    def start(opened: Any, measure: Any, event: gr.EventData) -> Any:
        given = action(event)
        demonstrations_id, _ = session.as_opened(opened)
        if given.name != "measure" or not demonstrations_id:
            return gr.skip()
        laboratory = bench.laboratory
        if given.value == "trust":
            shown = bench.measure_shown(demonstrations_id, session.as_id(measure))
            laboratory.measure_trust(visitors.owner(), demonstrations_id, shown)
        elif given.value in BY_NAME:
            targets = laboratory.targets(demonstrations_id)
            target = next((one for one in targets if one == given.form.get("target")), targets[0])
            phase = next((one for one in PHASES if one == given.form.get("phase")), "whole")
            laboratory.measure(visitors.owner(), demonstrations_id, given.value, "default", target, phase)
        return watcher.start()

    @worded
    def offered(opened: Any, measure: Any, event: gr.EventData) -> Any:
        """An empty panel's own button: head outputs and the question shown, or another metric."""
        demonstrations_id, _ = session.as_opened(opened)
        metric = str(payload(event).get("metric"))
        if metric not in BY_NAME or not demonstrations_id:
            return gr.skip()
        shown = bench.measure_shown(demonstrations_id, session.as_id(measure))
        asked = ("default", "action", "whole")
        if shown is not None and shown.metric == "knn":
            asked = (shown.preset, shown.target, shown.phase)
        bench.laboratory.measure(visitors.owner(), demonstrations_id, metric, *asked)
        return watcher.start()

    @worded
    def grow(opened: Any, measure: Any, event: gr.EventData) -> Any:
        demonstrations_id, _ = session.as_opened(opened)
        key = session.as_id(measure)
        rule, count, stacks = rule_of(bench, demonstrations_id, key, action(event).form)
        if rule != "greedy":
            return gr.skip()
        bench.laboratory.greedy(visitors.owner(), demonstrations_id, key, count, stacks)
        return watcher.start()

    @worded
    def adopt(opened: Any, digits: Any, kept: Any, measure: Any) -> list[Any]:
        """What a job has just measured is shown, and the set that it chose is selected; demonstrations whose heads have
        their first scores now begin with the paper's rule.
        """
        demonstrations_id, _ = session.as_opened(opened)
        ended = bench.laboratory.ended(visitors.owner(), time.time())
        if ended is not None and ended.function == "select":
            origin = pipeline.origin_of(bench.store, ended.result, bench.load)
            one = head_sets.chosen(bench.digits(bench.load(ended.result).heads), origin)
            if origin is None or origin.demonstrations == demonstrations_id:
                return [gr.skip(), one.digits, one.kept, gr.skip()]
            key = head_sets.key_of(bench.policies.key, origin.demonstrations)  # others were opened meanwhile
            return [*[gr.skip()] * 3, head_sets.keep(kept, key, one)]
        found = "" if ended is None else bench.laboratory.measure_of_result(demonstrations_id, ended.result)
        first = HeadSet()
        if digits is None:
            first = head_sets.newcomer(bench, demonstrations_id, found or session.as_id(measure))
        chosen = [gr.skip(), gr.skip()] if first.digits is None else [first.digits, first.kept]
        return [found or gr.skip(), *chosen, gr.skip()]

    tab.answers.ask(
        ask,
        [states.opened, states.measure, states.beside, states.heads],
        tab.answers,
        trigger_mode="always_last",
        **QUICK,
    )
    tab.what_if.ask(
        cost, [states.opened, states.measure, states.rank], tab.what_if, trigger_mode="always_last", **QUICK
    )
    tab.answers.stop(stop, None, None, **ACTION)
    tab.answers.measure(offered, [states.opened, states.measure], watcher.timer, **ACTION)
    tab.menu.action(start, [states.opened, states.measure], watcher.timer, **ACTION)
    heads_tab.rule.action(grow, [states.opened, states.measure], watcher.timer, **ACTION)
    menu = (
        worded(lambda opened, measure: show_menu(bench, opened, measure)),
        [states.opened, states.measure],
        [tab.menu],
    )
    adopting = [states.opened, states.heads, states.kept, states.measure]
    return menu, (adopt, adopting, [states.measure, states.heads, states.origin, states.kept])
