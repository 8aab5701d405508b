"""The Heads step, open first: cameras with attention, the head map, the head shown, and the rule that selects."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from app import components, questions, session, untrusted
from app.answers import measures
from app.damage import of_scores, unless_damaged
from app.questions.context import Context
from app.questions.exports import KINDS
from app.questions.head_sets import HeadSet
from app.questions.lead_sentence import lead_sentence
from app.tabs.events import ACTION, QUICK, Events, action, payload
from app.tabs.selected import shown_set
from app.views import frame_player, head_map
from app.views.measures import choosers, name_of
from app.views.measures_answers import strip
from app.views.templates import PIECES, Macros
from steering.errors import InputError
from steering.types import PAPER_SET_SIZE, HeadShape

SOME_PAIR = HeadShape.pair(1, 1)
ALL_STACKS = "both"  # of the choice of stacks; what it says to people depends on how many there are

NO_SETS = PIECES.empty(
    "No demonstrations to read heads from",
    "The head map shows which attention heads carry a task. Record demonstrations in the simulator to begin.",
    PIECES.tab_button("Record demonstrations", "demonstrations"),
)
NOT_SCORED = PIECES.empty(
    "These heads are not scored yet",
    "Find heads runs the policy over these demonstrations and scores every head by how well its output predicts the "
    "demonstrated action. It takes about a minute.",
    PIECES.button("Find heads", "find", primary=True),
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
) -> Markup:
    """The rule that selects heads by itself, and the controls that it has to beat. most: heads to choose among. others:
    other demonstrations whose set can be taken -> what to call it. shape: names the stacks to choose from.
    """
    kept = [(f"{KEPT}{other}", name) for other, name in (others or {}).items()]
    rules = [*RULES.items(), *kept]
    return Macros("head_rule.html").rule_form(rules, _stack_choices(shape), most, PAPER_SET_SIZE, BUDGET)


def _stack_choices(shape: HeadShape) -> list[tuple[str, str]]:
    """Each stack alone, and all together, where there are several."""
    short = {"vlm": "VLM", "expert": "Expert"}
    one_by_one = [(one.name, short.get(one.name, one.label)) for one in shape.stacks]
    together = {1: [], 2: [(ALL_STACKS, "Both")]}.get(len(one_by_one), [(ALL_STACKS, "All")])
    return one_by_one + together


def rule_of(
    context: Context, demonstrations_id: str, measure: str, form: dict[str, Any]
) -> tuple[str, int, tuple[str, ...]]:
    """Rule, number of heads and stacks from the rule's form, which comes from the client."""
    rule = next((rule for rule in RULES if rule == form.get("rule")), "top")
    relevance = questions.measures.relevance(context, demonstrations_id, measure)
    names = (SOME_PAIR if relevance is None else relevance.shape).names
    asked = str(form.get("stacks"))
    stacks = tuple(names) if asked == ALL_STACKS else (asked if asked in names else names[0],)
    most = questions.choosing.movable(context, demonstrations_id, measure, stacks)
    return rule, min(untrusted.whole(form.get("count"), 1, most, PAPER_SET_SIZE), most), stacks


def show(
    context: Context,
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
    available = questions.measures.stored(context, demonstrations_id)
    shown = questions.measures.shown(context, demonstrations_id, measure)
    relevance = questions.measures.relevance(context, demonstrations_id, measure)
    if shown is None or relevance is None:
        return ["", gr.Row(visible=True), "", "", None, unscored(context, demonstrations_id)]
    stored = available.get(shown)
    over_time = questions.measures.over_time(context, demonstrations_id, shown)
    trust = unless_damaged(questions.measures.trust_of, context, stored) if stored else None
    second = next((one for one in available if one.key == beside and one != shown), None)
    other = questions.measures.relevance(context, demonstrations_id, beside) if second else None
    targets = (
        questions.measures.targets(context, demonstrations_id)
        if questions.measures.neighbours(context, demonstrations_id)
        else ()
    )
    value = head_map.head_map(
        key=stored or f"{demonstrations_id}/{shown.key}",
        demonstrations=demonstrations_id,
        relevance=relevance,
        selected=questions.head_sets.heads_of(context, digits),
        version=time.time_ns() // 1000 if chosen else 0,
        trust=trust,
        measure=shown.key,
        second=None if other is None or second is None else (second.key, name_of(second), other),
        strip=None if over_time is None else strip(over_time),
        lead=lead_sentence(relevance, trust, shown.target),
        named=name_of(shown),
    )
    movable = int((~relevance.inert).sum())
    if shown.tokens != questions.measures.tokens(context, demonstrations_id):
        targets = ()
    rule = rule_form(movable, questions.head_sets.others(context, kept, demonstrations_id), relevance.shape)
    spread = questions.measures.spread(context, demonstrations_id, shown)
    old = questions.measures.old_words(context, demonstrations_id, shown)
    lists = choosers(tuple(available), shown, targets, beside, spread, old)
    return ["", gr.Row(visible=True), lists, rule, value, ""]


def unscored(context: Context, demonstrations_id: str) -> Markup:
    """What stands in place of the map: that the heads were not scored, or that their scores are damaged."""
    damaged = of_scores(context.store, demonstrations_id)
    if damaged is None:
        return NOT_SCORED
    title = f"The {damaged.name} of these demonstrations are damaged"
    return PIECES.empty(title, damaged.words, PIECES.button("Find heads", "find", primary=True))


def show_episode(context: Context, demonstrations_id: str, index: int) -> dict[str, Any] | None:
    """The frame player's value."""
    if not demonstrations_id:
        return None
    card = questions.demonstrations.card(context, demonstrations_id)
    index = min(index, len(card.frames) - 1)
    episode = questions.demonstrations.episode(context, demonstrations_id, index)
    found = unless_damaged(questions.heads.attention, context, demonstrations_id, index)
    return frame_player.frame_player(
        key=f"{demonstrations_id}/{index}/{found[0] if found else ''}",
        episode=episode,
        index=index,
        outcomes=card.outcomes,
        sprites=context.media.sprites(demonstrations_id, index, tuple(episode.cameras)),
        attention_url=context.media.attention(found[0]) if found else None,
        attention=found[1] if found else None,
        keyframes=questions.demonstrations.keyframes(context, demonstrations_id, index),
        robot=questions.demonstrations.robot(context, demonstrations_id),
    )


def wire(
    events: Events,
    context: Context,
    tab: HeadsTab,
    states: session.States,
    header: gr.HTML,
    render_header: Any,
    download: gr.HTML,
) -> None:
    """Selection by click, by rule and from a file; the choice of episode and measure; exports."""

    def toggle(opened: Any, digits: Any, base: Any, measure: Any, event: gr.EventData) -> list[Any]:
        demonstrations_id, _ = untrusted.as_opened(opened)
        if payload(event, "demonstrations").get("demonstrations") != demonstrations_id:
            return [gr.skip()] * 3  # a click on the map of what was open before
        now = shown_set(context, event, opened, digits, base, measure)
        return [now.digits, now.kept, render_header(opened, now, measure)]

    def select(opened: Any, kept: Any, measure: Any, beside: Any, rank: Any, event: gr.EventData) -> list[Any]:
        form = action(event).form
        demonstrations_id, _ = untrusted.as_opened(opened)
        key = untrusted.as_id(measure)
        asked = str(form.get("rule"))
        if asked.startswith(KEPT):
            return _selected(opened, _of_others(kept, asked.removeprefix(KEPT)), kept, measure, beside)
        rule, count, stacks = rule_of(context, demonstrations_id, key, form)
        if rule == "greedy":  # a job; its set is taken over when it has grown
            return [gr.skip()] * 4
        if rule == "above_null":
            heads = questions.choosing.above_null(context, demonstrations_id, key, stacks)
        elif rule == "budget":
            parameters = untrusted.whole(form.get("parameters"), 1, 10**9, BUDGET)
            heads = questions.choosing.within(
                context, demonstrations_id, key, parameters, untrusted.whole(rank, 1, 256, 16), stacks
            )
        elif rule == "other_task":
            heads = questions.choosing.other_task(context, demonstrations_id, key, count, stacks)
        else:
            heads = questions.choosing.auto_select(context, demonstrations_id, count, stacks, key, rule)
        one = questions.head_sets.chosen(
            questions.head_sets.digits_of(context, heads),
            questions.head_sets.by_rule(context, demonstrations_id, key, rule),
        )
        return _selected(opened, one, kept, measure, beside)

    def _of_others(kept: Any, demonstrations_id: str) -> HeadSet:
        found = questions.head_sets.kept_set(kept, questions.head_sets.key_of(context.policies.key, demonstrations_id))
        if found is None or not questions.head_sets.heads_of(context, found.digits or ""):
            raise InputError("That set is not kept in this browser any more. Open its demonstrations and choose again.")
        return found

    def _selected(opened: Any, one: HeadSet, kept: Any, measure: Any, beside: Any) -> list[Any]:
        demonstrations_id, _ = untrusted.as_opened(opened)
        keys = untrusted.as_id(measure), untrusted.as_id(beside)
        shown = show(context, demonstrations_id, one.digits or "", *keys, chosen=True, kept=kept)
        return [one.digits, one.kept, shown[tab.shown.index(tab.map)], render_header(opened, one, measure)]

    def measured(opened: Any, digits: Any, base: Any, kept: Any, measure: Any, event: gr.EventData) -> list[Any]:
        demonstrations_id, _ = untrusted.as_opened(opened)
        available = tuple(questions.measures.stored(context, demonstrations_id))
        current = questions.measures.shown(context, demonstrations_id, untrusted.as_id(measure))
        if current is None:
            return [gr.skip(), gr.skip(), gr.skip(), *[gr.skip()] * len(tab.shown)]
        form = action(event).form
        beside = untrusted.as_id(form.get("beside"))
        wanted = current
        for field, value in form.items():
            if field in measures.FIELDS and value != getattr(current, field):
                wanted = questions.measures.asked(context, demonstrations_id, available, current, field, str(value))
        shown = show(context, demonstrations_id, digits, wanted.key, beside, kept=kept)
        one = questions.head_sets.head_set(digits, base)
        return [wanted.key, beside, render_header(opened, one, wanted.key), *shown]

    def episode(opened: Any, digits: Any, base: Any, measure: Any, event: gr.EventData) -> list[Any]:
        demonstrations_id, _ = untrusted.as_opened(opened)
        last = len(questions.demonstrations.card(context, demonstrations_id).frames) - 1
        index = untrusted.whole(payload(event, "index").get("index"), 0, last, 0)
        opened, one = [demonstrations_id, index], questions.head_sets.head_set(digits, base)
        return [opened, show_episode(context, demonstrations_id, index), render_header(opened, one, measure)]

    def keep(opened: Any, digits: Any, base: Any, measure: Any, event: gr.EventData) -> Any:
        kind = payload(event, "kind").get("kind") or action(event).value  # of the map, or of the header
        if kind == "run":
            return asdict(questions.exports.report(context, questions.results.newest(context)))
        if kind not in KINDS:
            return gr.skip()
        demonstrations_id, _ = untrusted.as_opened(opened)
        one = shown_set(context, event, opened, digits, base, measure)
        origin = questions.head_sets.origin_of(context, one)
        key, heads = untrusted.as_id(measure), questions.head_sets.heads_of(context, one.digits or "")
        return asdict(questions.exports.heads(context, kind, demonstrations_id, key, heads, origin))

    def take(opened: Any, kept: Any, measure: Any, beside: Any, event: gr.EventData) -> list[Any]:
        content = str(payload(event, "text").get("text"))
        read = questions.head_sets.read_selection(context, content)
        one = questions.head_sets.chosen(questions.head_sets.digits_of(context, read.heads), read.origin)
        *found, _ = _selected(opened, one, kept, measure, beside)
        return [*found, render_header(opened, one, measure, questions.head_sets.report_words(content))]

    now = [states.opened, states.heads, states.origin]
    around = [states.opened, states.kept, states.measure, states.beside]
    selected = [states.heads, states.origin, tab.map, header]
    toggled = [states.heads, states.origin, header]
    events.on(tab.map.toggle, toggle, [*now, states.measure], toggled, trigger_mode="always_last", **QUICK)
    for asked in (tab.map.keep, header.action):
        events.on(asked, keep, [*now, states.measure], download, **ACTION)
    events.on(tab.map.take, take, around, selected, **ACTION)
    events.on(tab.rule.action, select, [*around, states.rank], selected, **ACTION)
    events.on(
        tab.choosers.action,
        measured,
        [*now, states.kept, states.measure],
        [states.measure, states.beside, header, *tab.shown],
        **ACTION,
    )
    events.on(
        tab.player.episode,
        episode,
        [*now, states.measure],
        [states.opened, tab.player, header],
        trigger_mode="always_last",
        **QUICK,
    )
