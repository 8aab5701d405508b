"""The Heads step, open first: cameras with attention, the head map, the head shown, and the rule that selects."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from app import components, head_sets, measures, session
from app.damage import of_scores, unless_damaged
from app.exports import KINDS
from app.head_sets import HeadSet
from app.lead_sentence import lead_sentence
from app.service import Workbench
from app.tabs.events import ACTION, QUICK, action, payload, worded
from app.views import frame_player, head_map
from app.views.laboratory_answers import strip
from app.views.markup import button, choice, empty, number, tab_button
from app.views.measures import choosers, name_of
from steering.errors import InputError
from steering.types import PAPER_SET_SIZE, HeadShape

SOME_PAIR = HeadShape.pair(1, 1)
ALL_STACKS = "both"  # of the choice of stacks; what it says to people depends on how many there are

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
    "See which attention heads carry the task, and select those to train. Colour is relevance; a click shows a head, "
    "its tick selects it."
)


RULES = {
    "top": "Best",
    "above_null": "Better than chance",
    "budget": "Within a budget",
    "greedy": "Grown one by one",
    "random": "Control: random",  # in the same layers as the best
    "bottom": "Control: worst",
    "other_task": "Control: another task",
}
BUDGET = 20_000
KEPT = "kept "  # before the id of other demonstrations, as a rule: take the set that is kept for these


@dataclass(frozen=True)
class HeadsTab:
    """Components of the step. choosers: which measure is shown; a new one needs a relevance in the store, no more."""

    notice: gr.HTML
    jobs: gr.HTML
    workspace: gr.Row
    player: gr.HTML
    choosers: gr.HTML
    rule: gr.HTML
    map: gr.HTML
    unscored: gr.HTML
    inspector: gr.HTML

    @property
    def shown(self) -> list[Any]:
        """Outputs of `show`."""
        return [self.notice, self.workspace, self.choosers, self.rule, self.map, self.unscored]


def layout() -> HeadsTab:
    """Lay out the step inside its tab."""
    components.lead(PURPOSE)
    notice = components.panel()
    jobs = components.panel()
    with gr.Row(elem_id="heads") as workspace:
        with gr.Column(elem_classes="wb-card wb-player-card"):
            player = components.frame_player()
        with gr.Column(elem_classes="wb-card wb-map-card"):
            choosers = components.panel()
            rule = components.panel(rule_form())
            unscored = components.panel()
            heads_map = components.head_map()
        with gr.Column(elem_classes="wb-card wb-inspector-card"):
            inspector = components.inspector()
    return HeadsTab(notice, jobs, workspace, player, choosers, rule, heads_map, unscored, inspector)


def rule_form(
    most: int = 2 * PAPER_SET_SIZE, others: Mapping[str, str] | None = None, shape: HeadShape = SOME_PAIR
) -> str:
    """The rule that selects heads by itself, and the controls that it has to beat. most: heads to choose among. others:
    other demonstrations whose set can be taken -> what to call it. shape: names the stacks to choose from.
    """
    kept = [(f"{KEPT}{other}", name) for other, name in (others or {}).items()]
    return (
        '<div class="wb-form wb-rule" data-reflect>'
        + choice("rule", "Rule", [*RULES.items(), *kept], "top")
        + f'<span class="wb-by-count">{number("count", "Heads", 1, most, PAPER_SET_SIZE)}</span>'
        + f'<span class="wb-by-budget">{number("parameters", "Parameters", 100, 10**9, BUDGET, "100")}</span>'
        + "<span>of</span>"
        + choice("stacks", "Select from", _stack_choices(shape), shape.names[0])
        + button("Auto-select", "select", testid="auto-select")
        + "</div>"
    )


def _stack_choices(shape: HeadShape) -> list[tuple[str, str]]:
    """Each stack alone, and all together, where there are several."""
    short = {"vlm": "VLM", "expert": "Expert"}
    one_by_one = [(one.name, short.get(one.name, one.label)) for one in shape.stacks]
    together = {1: [], 2: [(ALL_STACKS, "Both")]}.get(len(one_by_one), [(ALL_STACKS, "All")])
    return one_by_one + together


def rule_of(
    bench: Workbench, demonstrations_id: str, measure: str, form: dict[str, Any]
) -> tuple[str, int, tuple[str, ...]]:
    """Rule, number of heads and stacks from the rule's form, which comes from the client."""
    rule = next((rule for rule in RULES if rule == form.get("rule")), "top")
    relevance = bench.relevance(demonstrations_id, measure)
    names = (SOME_PAIR if relevance is None else relevance.shape).names
    asked = str(form.get("stacks"))
    stacks = tuple(names) if asked == ALL_STACKS else (asked if asked in names else names[0],)
    most = bench.movable(demonstrations_id, measure, stacks)
    return rule, min(session.whole(form.get("count"), 1, most, PAPER_SET_SIZE), most), stacks


def show(
    bench: Workbench,
    demonstrations_id: str,
    digits: str,
    measure: str = "",
    beside: str = "",
    chosen: bool = False,
    kept: Any = None,
) -> list[Any]:
    """Values of `HeadsTab.shown`. measure: the key of the relevance to show; beside: of the second one. chosen: the
    head set comes from a rule or a file, so the page takes it over. kept: sets of other demonstrations.
    """
    if not demonstrations_id:
        return [NO_SETS, gr.Row(visible=False), "", "", None, ""]
    available = bench.measures(demonstrations_id)
    shown = bench.measure_shown(demonstrations_id, measure)
    relevance = bench.relevance(demonstrations_id, measure)
    if shown is None or relevance is None:
        return ["", gr.Row(visible=True), "", "", None, unscored(bench, demonstrations_id)]
    stored = available.get(shown)
    over_time = bench.laboratory.over_time(demonstrations_id, shown)
    trust = unless_damaged(bench.trust, stored) if stored else None
    second = next((one for one in available if one.key == beside and one != shown), None)
    other = bench.relevance(demonstrations_id, beside) if second else None
    targets = bench.laboratory.targets(demonstrations_id) if bench.laboratory.neighbours(demonstrations_id) else ()
    value = head_map.head_map(
        key=stored or f"{demonstrations_id}/{shown.key}",
        demonstrations=demonstrations_id,
        relevance=relevance,
        selected=bench.heads(digits),
        version=time.time_ns() // 1000 if chosen else 0,
        trust=trust,
        measure=shown.key,
        second=None if other is None or second is None else (second.key, name_of(second), other),
        strip=None if over_time is None else strip(over_time),
        lead=lead_sentence(relevance, trust, shown.target),
    )
    movable = int((~relevance.inert).sum())
    if shown.tokens != bench.laboratory.tokens(demonstrations_id):
        targets = ()
    rule = rule_form(movable, head_sets.others(bench, kept, demonstrations_id), relevance.shape)
    spread = bench.spread(demonstrations_id, shown)
    old = bench.old_words(demonstrations_id, shown)
    lists = choosers(tuple(available), shown, targets, beside, spread, old)
    return ["", gr.Row(visible=True), lists, rule, value, ""]


def unscored(bench: Workbench, demonstrations_id: str) -> str:
    """What stands in place of the map: that the heads were not scored, or that their scores are damaged."""
    damaged = of_scores(bench.store, demonstrations_id)
    if damaged is None:
        return NOT_SCORED
    title = f"The {damaged.name} of these demonstrations are damaged"
    return empty(title, damaged.words, button("Find heads", "find", primary=True))


def show_episode(bench: Workbench, demonstrations_id: str, index: int) -> dict[str, Any] | None:
    """The frame player's value."""
    if not demonstrations_id:
        return None
    card = bench.card(demonstrations_id)
    index = min(index, len(card.frames) - 1)
    episode = bench.episode(demonstrations_id, index)
    found = unless_damaged(bench.attention, demonstrations_id, index)
    return frame_player.frame_player(
        key=f"{demonstrations_id}/{index}/{found[0] if found else ''}",
        episode=episode,
        index=index,
        outcomes=card.outcomes,
        sprites=bench.previews.sprites(demonstrations_id, index, tuple(episode.cameras)),
        attention_url=bench.previews.attention(found[0]) if found else None,
        attention=found[1] if found else None,
        keyframes=bench.keyframes(demonstrations_id, index),
        robot=bench.robot(demonstrations_id),
    )


def wire(
    bench: Workbench, tab: HeadsTab, states: session.States, header: gr.HTML, render_header: Any, download: gr.HTML
) -> None:
    """Selection by click, by rule and from a file; the choice of episode and measure; exports."""

    @worded
    def toggle(opened: Any, digits: Any, base: Any, measure: Any, event: gr.EventData) -> list[Any]:
        sent = payload(event)
        demonstrations_id, _ = session.as_opened(opened)
        if sent.get("demonstrations") != demonstrations_id:
            return [gr.skip()] * 3  # a click on the map of what was open before
        indices = sent.get("selected")
        heads = head_map.selection_of(indices if isinstance(indices, list) else [], bench.size.head_shape)
        before = head_sets.head_set(digits, base)
        now = head_sets.changed(bench, before, bench.digits(heads), demonstrations_id, session.as_id(measure))
        return [now.digits, now.kept, render_header(opened, now, measure)]

    @worded
    def select(opened: Any, kept: Any, measure: Any, beside: Any, rank: Any, event: gr.EventData) -> list[Any]:
        form = action(event).form
        demonstrations_id, _ = session.as_opened(opened)
        key, laboratory = session.as_id(measure), bench.laboratory
        asked = str(form.get("rule"))
        if asked.startswith(KEPT):
            return _selected(opened, _of_others(kept, asked.removeprefix(KEPT)), kept, measure, beside)
        rule, count, stacks = rule_of(bench, demonstrations_id, key, form)
        if rule == "greedy":  # a job; its set is taken over when it has grown
            return [gr.skip()] * 4
        if rule == "above_null":
            heads = laboratory.above_null(demonstrations_id, key, stacks)
        elif rule == "budget":
            parameters = session.whole(form.get("parameters"), 1, 10**9, BUDGET)
            heads = laboratory.within(demonstrations_id, key, parameters, session.whole(rank, 1, 256, 16), stacks)
        elif rule == "other_task":
            heads = laboratory.other_task(demonstrations_id, key, count, stacks)
        else:
            heads = bench.auto_select(demonstrations_id, count, stacks, key, rule)
        one = head_sets.chosen(bench.digits(heads), head_sets.by_rule(bench, demonstrations_id, key, rule))
        return _selected(opened, one, kept, measure, beside)

    def _of_others(kept: Any, demonstrations_id: str) -> HeadSet:
        found = head_sets.kept_set(kept, head_sets.key_of(bench.policies.key, demonstrations_id))
        if found is None or not bench.heads(found.digits or ""):
            raise InputError("That set is not kept in this browser any more. Open its demonstrations and choose again.")
        return found

    def _selected(opened: Any, one: HeadSet, kept: Any, measure: Any, beside: Any) -> list[Any]:
        demonstrations_id, _ = session.as_opened(opened)
        keys = session.as_id(measure), session.as_id(beside)
        shown = show(bench, demonstrations_id, one.digits or "", *keys, chosen=True, kept=kept)
        return [one.digits, one.kept, shown[tab.shown.index(tab.map)], render_header(opened, one, measure)]

    @worded
    def measured(opened: Any, digits: Any, base: Any, kept: Any, measure: Any, event: gr.EventData) -> list[Any]:
        demonstrations_id, _ = session.as_opened(opened)
        available = tuple(bench.measures(demonstrations_id))
        current = bench.measure_shown(demonstrations_id, session.as_id(measure))
        if current is None:
            return [gr.skip(), gr.skip(), gr.skip(), *[gr.skip()] * len(tab.shown)]
        form = action(event).form
        beside = session.as_id(form.get("beside"))
        wanted = current
        for field, value in form.items():
            if field in measures.FIELDS and value != getattr(current, field):
                wanted = bench.laboratory.asked(demonstrations_id, available, current, field, str(value))
        shown = show(bench, demonstrations_id, digits, wanted.key, beside, kept=kept)
        one = head_sets.head_set(digits, base)
        return [wanted.key, beside, render_header(opened, one, wanted.key), *shown]

    @worded
    def episode(opened: Any, digits: Any, base: Any, measure: Any, event: gr.EventData) -> list[Any]:
        demonstrations_id, _ = session.as_opened(opened)
        last = len(bench.card(demonstrations_id).frames) - 1
        index = session.whole(payload(event).get("index"), 0, last, 0)
        opened, one = [demonstrations_id, index], head_sets.head_set(digits, base)
        return [opened, show_episode(bench, demonstrations_id, index), render_header(opened, one, measure)]

    @worded
    def keep(opened: Any, digits: Any, base: Any, measure: Any, event: gr.EventData) -> Any:
        kind = payload(event).get("kind") or action(event).value  # of the map, or of the header
        if kind == "run":
            return asdict(bench.exports.report(bench.results.newest()))
        if kind not in KINDS:
            return gr.skip()
        demonstrations_id, _ = session.as_opened(opened)
        origin = head_sets.origin_of(bench, head_sets.head_set(digits, base))
        key, heads = session.as_id(measure), bench.heads(digits)
        return asdict(bench.exports.heads(kind, demonstrations_id, key, heads, origin))

    @worded
    def take(opened: Any, kept: Any, measure: Any, beside: Any, event: gr.EventData) -> list[Any]:
        read = bench.read_selection(str(payload(event).get("text")))
        one = head_sets.chosen(bench.digits(read.heads), read.origin)
        return _selected(opened, one, kept, measure, beside)

    now = [states.opened, states.heads, states.origin]
    around = [states.opened, states.kept, states.measure, states.beside]
    selected = [states.heads, states.origin, tab.map, header]
    toggled = [states.heads, states.origin, header]
    tab.map.toggle(toggle, [*now, states.measure], toggled, trigger_mode="always_last", **QUICK)
    for asked in (tab.map.keep, header.action):
        asked(keep, [*now, states.measure], download, **ACTION)
    tab.map.take(take, around, selected, **ACTION)
    tab.rule.action(select, [*around, states.rank], selected, **ACTION)
    tab.choosers.action(
        measured,
        [*now, states.kept, states.measure],
        [states.measure, states.beside, header, *tab.shown],
        **ACTION,
    )
    tab.player.episode(
        episode,
        [*now, states.measure],
        [states.opened, tab.player, header],
        trigger_mode="always_last",
        **QUICK,
    )
