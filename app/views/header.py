"""The header: what is open, as chips that open their step or chooser, the link, and the theme."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from app.answers.jobs import JobLine
from app.answers.screen import READY, Opened
from app.views.policies import CHOOSER
from app.views.templates import Macros
from app.words import duration

HTML = Macros("header.html")

EXPORTS = {
    "map": "Head map (PNG)",
    "cameras": "Cameras at this frame (PNG)",
    "curves": "State and actions (CSV)",
    "relevance.csv": "Scores (CSV)",
    "relevance.json": "Scores and head set (JSON)",
    "selection.json": "Head set, authors' keys (JSON)",
    "run": "Last run, one page (HTML)",
}


def header(opened: Opened, exports: Mapping[str, str] = EXPORTS, chooser: str = CHOOSER) -> Markup:
    """The header's markup. exports: kind of file -> what the menu calls it; chooser: id of the popover that opens
    another policy, empty where there is none.
    """
    last = opened.last_run
    return HTML.header(
        opened,
        json.dumps(dict(opened.query)),
        _heads(opened),
        "compare" if last == READY or "compar" in last.lower() else "finetune",
        json.dumps({"policy": opened.policy, "data": opened.demonstrations}),
        json.dumps({"words": opened.origin, "remark": opened.remark, "shared": opened.shared}),
        json.dumps(opened.notes),
        exports,
        chooser,
    )


def _heads(opened: Opened) -> str:
    if not opened.heads:
        return "none selected"
    return f"{opened.heads} from {opened.elsewhere}" if opened.elsewhere else f"{opened.heads} selected"


def running(jobs: Sequence[JobLine], steps: Mapping[str, str]) -> Markup:
    """What runs now, seen from every step; empty where nothing does. steps: function -> the step that shows it."""
    busy = [job for job in reversed(jobs) if not job.ended]
    if not busy:
        return Markup()
    job = busy[0]
    left = f", {duration(job.left_s)} left" if job.left_s is not None else ""
    percent = f"{100 * job.fraction:.0f}"
    state = "waits for its turn" if job.state == "queued" else f"{percent} %{left}"
    step = steps.get(job.function, "finetune")
    return HTML.running(job.title, percent, state, len(busy) - 1, step, CHOOSER if step == "policy" else "")
