"""The Compare step: every method in the same scenes, side by side; on recordings; and the evidence of the grid."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from app import components, questions, session, untrusted
from app.answers.comparison import MAX_SCENE_SET, MAX_SCENES, Choice, Compared
from app.answers.strength import MAX_STRENGTH_SCENES, SHARES
from app.questions.context import Context
from app.questions.demonstrations import TASKS, UNSEEN_TASK, VARIATIONS
from app.tabs.events import ACTION, Events, action, in_words, payload
from app.tabs.watching import Watcher
from app.views.compare_evidence import evidence_cards, figure_of
from app.views.compare_open_loop import open_loop_card
from app.views.compare_table import below, tables
from app.views.comparison import (
    NOTHING,
    UNTRAINED,
    WORDS,
    chooser,
    compare_form,
    leading,
    rollout_player,
    success,
)
from app.views.holdings import removal_card
from app.views.strength import strength_card
from app.views.templates import PIECES
from app.words import LABELS
from steering.integrity import Damaged

PURPOSE = (
    "Run the untouched policy, Robotic Steering and LoRA in the same scenes, and see whether a difference is shown."
)


@dataclass(frozen=True)
class CompareTab:
    """Components of the step. wanted: id of the comparison that the browser asked for, empty for the first."""

    wanted: gr.BrowserState
    lead: gr.HTML
    form: gr.HTML
    jobs: gr.HTML
    chooser: gr.HTML
    notice: gr.HTML
    player: gr.HTML
    success: gr.HTML
    tables: gr.HTML
    strength: gr.HTML
    open_loop: gr.HTML
    evidence: gr.HTML
    figure: gr.HTML

    @property
    def shown(self) -> list[Any]:
        """Outputs of `show`."""
        compared = [self.chooser, self.notice, self.lead, self.player, self.success, self.tables]
        return [self.form, *compared, self.strength, self.open_loop]


def layout(plotly: str) -> CompareTab:
    """Lay out the step inside its tab."""
    wanted = gr.BrowserState("", storage_key="steering-comparison", secret=session.SECRET)
    lead = components.panel(leading(PURPOSE))
    form = components.panel()
    jobs = components.panel()
    shown = components.panel()
    notice = components.panel()
    with gr.Row(elem_id="outcome"):
        with gr.Column(elem_classes="wb-card"):
            player = components.rollout_player()
        success = components.panel()
    tables = components.panel()
    strength = components.panel()
    open_loop = components.panel()
    evidence = components.panel()
    with gr.Column(elem_classes="wb-plot", elem_id="compare-figure"):
        figure = components.figure(plotly)
    above = (wanted, lead, form, jobs, shown, notice, player, success, tables)
    return CompareTab(*above, strength, open_loop, evidence, figure)


def show(context: Context, opened: Any, wanted: Any) -> list[Any]:
    """Values of `CompareTab.shown`."""
    demonstrations_id, episode = untrusted.as_opened(opened)
    card = questions.demonstrations.card(context, demonstrations_id) if demonstrations_id else None
    task = card.task if card else TASKS[0]
    trained = questions.comparison.trained(context, demonstrations_id)
    recordings = card.title.replace("_", " ") if card else ""
    origins = [*questions.comparison.origin_lines(context, trained), *questions.comparison.old_lines(context, trained)]
    choices = questions.comparison.choices(context)
    offered = (*TASKS, UNSEEN_TASK)
    form = compare_form(offered, VARIATIONS, task, trained, recordings, origins, unfolded=not choices)
    predictions = questions.comparison.predictions(context, demonstrations_id) if demonstrations_id else None
    recorded = below(open_loop_card(predictions, episode)) if predictions else ""
    in_scenes = trained if card and card.task else {}
    weakened = below(strength_card(in_scenes, questions.strength.newest(context, in_scenes)))
    rest = [weakened, recorded]
    comparison_id = questions.comparison.chosen(choices, task, untrusted.as_id(wanted))
    if comparison_id is None:
        return [form, "", NOTHING if trained else UNTRAINED, leading(PURPOSE), None, "", "", *rest]
    try:
        shown = questions.comparison.comparison(context, comparison_id)
    except Damaged as error:
        damaged = PIECES.empty("This comparison cannot be shown", in_words(error))
        return [form, chooser(choices, comparison_id, "", ""), damaged, leading(PURPOSE), None, "", "", *rest]
    asked = comparison_id if comparison_id == wanted else ""
    return [form, *compared(shown, choices, asked), *rest]


def show_evidence(context: Context) -> Any:
    """Value of `CompareTab.evidence`: the same for every task and comparison."""
    return below(evidence_cards(context.experiments.shown()))


def compared(shown: Compared, choices: list[Choice], asked: str = "", yours: bool = True) -> list[Any]:
    """What a comparison fills of `CompareTab.shown`: chooser, notice, lead, player, success and tables. asked: its id
    where the address is to name it; yours: comparisons can be made here.
    """
    value = shown.comparison
    player = rollout_player(
        shown.id, shown.rollouts, value.disagreement, shown.videos, shown.traces, shown.squares, value.task
    )
    bars = success(value, shown.sentences, shown.origins, shown.effects)
    picker = chooser(choices, shown.id, asked, shown.made, yours)
    return [picker, "", leading(PURPOSE, shown.sentence), player, bars, tables(shown)]


def wire(
    events: Events, context: Context, tab: CompareTab, states: session.States, watcher: Watcher, download: gr.HTML
) -> None:
    """Start a comparison, choose which is shown, keep one as one page, and draw the evidence."""

    def report(event: gr.EventData) -> dict[str, str]:
        return asdict(questions.exports.report(context, untrusted.as_id(payload(event, "id").get("id"))))

    def start(opened: Any, event: gr.EventData) -> Any:
        chosen = action(event)
        form = chosen.form
        demonstrations_id, _ = untrusted.as_opened(opened)
        methods = untrusted.names(form.get("methods"), tuple(LABELS))
        if chosen.name == "open_loop":
            questions.comparison.start_open_loop(context, demonstrations_id, methods)
            return [watcher.start(), gr.skip()]
        if chosen.name != "start":
            return [gr.skip(), gr.skip()]
        tasks = (*TASKS, UNSEEN_TASK)
        questions.comparison.start(
            context,
            demonstrations_id,
            next((task for task in tasks if task == form.get("task")), TASKS[0]),
            methods,
            untrusted.whole(form.get("trials"), 1, MAX_SCENES, 10),
            untrusted.whole(form.get("seed"), 0, MAX_SCENE_SET, 0),
            untrusted.names(form.get("variations"), VARIATIONS),
            untrusted.names(form.get("words"), WORDS),
            bool(form.get("early")),
        )
        return [watcher.start(), ""]  # what comes of it is shown, not what was chosen before

    def weaken(event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name != "strength":
            return gr.skip()
        shares = next((one for one in SHARES if one == chosen.form.get("shares")), next(iter(SHARES)))
        scenes = untrusted.whole(chosen.form.get("scenes"), 2, MAX_STRENGTH_SCENES, 10)
        questions.strength.start(context, untrusted.as_id(chosen.form.get("adapter")), shares, scenes, 0)
        return watcher.start()

    def choose(opened: Any, event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name == "delete":
            question = removal_card(questions.holdings.asked(context, untrusted.as_id(chosen.value)))
            return [gr.skip(), gr.skip(), question, *[gr.skip()] * 4]
        wanted = untrusted.as_id(chosen.form.get("comparison"))
        return [wanted, *show(context, opened, wanted)[1:7]]

    def answered(opened: Any, wanted: Any, event: gr.EventData) -> Any:
        """The question before a comparison is deleted."""
        chosen = action(event)
        if chosen.name == "remove":
            questions.holdings.delete(context, untrusted.as_id(chosen.value))
            wanted = ""
        return [wanted, *show(context, opened, wanted)[1:7]]

    def draw(opened: Any, event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name == "report":
            return [gr.skip(), asdict(questions.exports.report(context, untrusted.as_id(chosen.value)))]
        demonstrations_id, _ = untrusted.as_opened(opened)
        predictions = questions.comparison.predictions(context, demonstrations_id) if demonstrations_id else None
        episode = untrusted.whole(chosen.form.get("open_loop_episode"), 0, 100_000, 0)
        return [below(open_loop_card(predictions, episode)) if predictions else "", gr.skip()]

    def evidence(event: gr.EventData) -> Any:
        name = action(event).value
        drawn = context.experiments.figure(name)
        return None if drawn is None else {**drawn, **figure_of(name)}

    events.on(tab.form.action, start, states.opened, [watcher.timer, tab.wanted], **ACTION)
    events.on(tab.strength.action, weaken, None, watcher.timer, **ACTION)
    events.on(tab.chooser.action, choose, states.opened, [tab.wanted, *tab.shown[1:7]], **ACTION)
    events.on(tab.notice.action, answered, [states.opened, tab.wanted], [tab.wanted, *tab.shown[1:7]], **ACTION)
    events.on(tab.player.report, report, None, download, **ACTION)
    events.on(tab.open_loop.action, draw, states.opened, [tab.open_loop, download], **ACTION)
    events.on(tab.evidence.action, evidence, None, tab.figure, **ACTION)
