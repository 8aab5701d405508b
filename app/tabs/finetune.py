"""The Finetune step: methods side by side, shared settings, live curves, results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from app import components, session
from app.service import Workbench
from app.tabs.events import ACTION, action, worded
from app.tabs.watching import Watcher
from app.views.finetune import BATCHES, MAX_STEPS, RANKS, RATES, TRAINED, method_cards, results_table, settings_form
from app.views.markup import purpose
from steering.types import FinetuneSettings

DEFAULTS = FinetuneSettings()

PURPOSE = "Train only the selected heads, and all heads with LoRA beside them, on the demonstrations that are open."


@dataclass(frozen=True)
class FinetuneTab:
    """Components of the step."""

    methods: gr.HTML
    settings: gr.HTML
    jobs: gr.HTML
    plot: gr.HTML
    results: gr.HTML


def layout(plotly: str) -> FinetuneTab:
    """Lay out the step inside its tab. plotly: address of plotly.js."""
    components.panel(purpose(PURPOSE))
    methods = components.panel()
    settings = components.panel(settings_form(DEFAULTS))
    jobs = components.panel()
    with gr.Column(elem_classes="wb-plot"):
        plot = components.figure(plotly=plotly)
    return FinetuneTab(methods, settings, jobs, plot, components.panel())


def show(bench: Workbench, digits: str, rank: int) -> list[str]:
    """Markup of the method cards and of the results."""
    size = bench.size
    heads = bench.heads(digits)
    parameters = {"steering": size.steering(heads, rank), "lora": size.lora(rank)}
    return [method_cards(parameters, len(heads), rank, size.parameters), results_table(bench.results.finetunes())]


def settings_from(form: dict[str, Any]) -> FinetuneSettings:
    """Settings from the form, each within its bounds: the form comes from the client."""

    def among(name: str, choices: tuple[Any, ...], default: Any) -> Any:
        return next((choice for choice in choices if str(choice) == str(form.get(name))), default)

    return FinetuneSettings(
        steps=session.whole(form.get("steps"), 1, MAX_STEPS, DEFAULTS.steps),
        batch_size=among("batch_size", BATCHES, DEFAULTS.batch_size),
        rank=among("rank", RANKS, DEFAULTS.rank),
        alpha=float(among("rank", RANKS, DEFAULTS.rank)),
        learning_rate=float(among("learning_rate", RATES, DEFAULTS.learning_rate)),
        seed=session.whole(form.get("seed"), 0, 999_999, DEFAULTS.seed),
    )


def wire(bench: Workbench, tab: FinetuneTab, states: session.States, watcher: Watcher, download: gr.HTML) -> None:
    """Start, recount parameters when the rank changes, and keep a run as one page."""

    @worded
    def report(event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name != "report":
            return gr.skip()
        return asdict(bench.exports.report(session.as_id(chosen.value)))

    @worded
    def act(owner: str, opened: Any, heads: str, measure: Any, event: gr.EventData) -> list[Any]:
        chosen = action(event)
        settings = settings_from(chosen.form)
        if chosen.name == "change":
            return [gr.skip(), settings.rank, show(bench, heads, settings.rank)[0]]
        demonstrations_id, _ = session.as_opened(opened)
        if not demonstrations_id:
            raise gr.Error("Open demonstrations first.", print_exception=False)
        methods = session.names(chosen.form.get("methods"), TRAINED)
        bench.finetune(owner, demonstrations_id, bench.heads(heads), methods, settings, session.as_id(measure))
        return [watcher.start(), settings.rank, gr.skip()]

    tab.results.action(report, None, download, **ACTION)
    tab.settings.action(
        act,
        [states.owner, states.opened, states.heads, states.measure],
        [watcher.timer, states.rank, tab.methods],
        **ACTION,
    )
