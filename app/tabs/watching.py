"""Watching the jobs of this browser: one timer for the page, active while something runs or waits.

Jobs belong to their visitor, so a reload finds them again by asking the queue.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import questions, untrusted
from app.answers.jobs import JobLine
from app.questions.context import Context
from app.tabs.events import ACTION, WATCH, Events, Show, action
from app.views.header import running
from app.views.jobs import job_lines
from steering import figures

WATCH_S = 0.8
STEP_OF = {
    "record": "demonstrations",
    "inspect_upload": "demonstrations",
    "import_upload": "demonstrations",
    "find_heads": "demonstrations",
    "attention": "demonstrations",
    "measure": "heads",
    "attribute": "heads",
    "trust": "heads",
    "select": "heads",
    "finetune": "finetune",
    "head_change": "finetune",
    "package_policy": "finetune",
    "evaluate": "compare",
    "operate": "heads",
    "sweep_strength": "compare",
    "open_loop": "compare",
    "open_policy": "policy",
}
SAID_ELSEWHERE = ("inspect_upload", "import_upload")  # why they failed stands beside the upload


@dataclass(frozen=True)
class Watcher:
    """timer: ticks while jobs are unfinished. finished: ids of the jobs seen to end; its change means new results.
    since_s: what ended before is not taken over: it was there when the page opened, or was taken over already.
    """

    timer: gr.Timer
    finished: gr.State
    since_s: gr.State

    def start(self) -> gr.Timer:
        """Output for `timer` after a job was submitted."""
        return gr.Timer(active=True)


def make() -> Watcher:
    """The watcher's components, inside the page."""
    return Watcher(gr.Timer(WATCH_S, active=False), gr.State([]), gr.State(None))


def lines_of(work: Sequence[JobLine], step: str) -> str:
    """Markup of the jobs of a step."""
    shown = (job for job in work if not (job.state == "failed" and job.function in SAID_ELSEWHERE))
    return job_lines([job for job in shown if STEP_OF.get(job.function) == step])


def curves(context: Context) -> dict[str, Any] | None:
    """The live plot of this visitor's newest finetunes; None where there are none."""
    histories = questions.results.histories(context)
    return figures.plain(figures.finetune_curves(histories)) if histories else None


def wire(
    events: Events,
    context: Context,
    watcher: Watcher,
    panels: dict[str, list[gr.HTML]],
    plot: gr.HTML,
    everywhere: gr.HTML,
) -> Show:
    """Watch on every tick and on load; stop a job or start it again on request. panels: step -> its job panels;
    everywhere: says on every step what runs. Returns what shows it on load.
    """

    def watch(finished: Any, since_s: Any) -> list[Any]:
        finished = finished if isinstance(finished, list) else []
        work = questions.jobs.work(context)
        questions.ahead.follow(context, work)
        ended = sorted(job.id for job in work if job.ended)
        busy = any(not job.ended for job in work)
        training = any(job.function == "finetune" for job in work if not job.ended or job.id not in finished)
        markup = [lines_of(work, step) for step, found in panels.items() for _ in found]
        return [
            gr.Timer(active=busy),
            ended if ended != finished else gr.skip(),
            time.time() if since_s is None else gr.skip(),
            curves(context) if training else gr.skip(),
            running(work, STEP_OF),
            *markup,
        ]

    def settle(event: gr.EventData) -> Any:
        chosen = action(event)
        if chosen.name == "stop":
            questions.jobs.stop(context, untrusted.as_id(chosen.value))
        if chosen.name == "again":
            questions.jobs.again(context, untrusted.as_id(chosen.value))
        if chosen.name == "dismiss":
            questions.jobs.dismiss(context, untrusted.as_id(chosen.value))
        return watcher.start()

    flat = [panel for found in panels.values() for panel in found]
    watched = [watcher.finished, watcher.since_s]
    outputs = [watcher.timer, *watched, plot, everywhere, *flat]
    events.on(watcher.timer.tick, watch, watched, outputs, **WATCH)
    for panel in flat:
        events.on(panel.action, settle, None, watcher.timer, **ACTION)
    return Show(watch, watched, outputs)
