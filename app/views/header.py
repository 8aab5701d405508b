"""The header: what is open, as chips that open their step or chooser, the link, and the theme."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from app.answers.jobs import JobLine
from app.answers.screen import READY, Opened
from app.views.markup import button, text
from app.views.policies import CHOOSER
from app.words import duration

LOGO = (
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" fill="#0b1f33"/>'
    + "".join(
        f'<rect x="{6 + 7.2 * column:.1f}" y="{6 + 7.2 * row:.1f}" width="5.6" height="5.6" rx="1.4" fill="{fill}"/>'
        for row, fills in enumerate(
            (("#46327e", "#31688e", "#35b779"), ("#31688e", "#fde725", "#1f9e89"), ("#46327e", "#277f8e", "#6ece58"))
        )
        for column, fill in enumerate(fills)
    )
    + "</svg>"
)


def _icon(path: str, name: str = "") -> str:
    return f'<svg class="{name}" viewBox="0 0 20 20" aria-hidden="true"><path d="{path}"/></svg>'


_SHARE = _icon(
    "M8.5 11.5a3.2 3.2 0 0 0 4.7 0l2.7-2.7a3.3 3.3 0 0 0-4.7-4.7l-1 1"
    "M11.5 8.5a3.2 3.2 0 0 0-4.7 0l-2.7 2.7a3.3 3.3 0 0 0 4.7 4.7l1-1"
)
_EXPORT = _icon("M10 3v9M6.5 9l3.5 3.5L13.5 9M4 15.5h12")
_SUN = _icon(
    "M6.6 10a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0-6.8 0M10 2v2M10 16v2M2 10h2M16 10h2"
    "M4.4 4.4l1.4 1.4M14.2 14.2l1.4 1.4M4.4 15.6l1.4-1.4M14.2 5.8l1.4-1.4",
    "wb-sun",
)
_MOON = _icon("M16.5 12A7 7 0 0 1 8 3.5a7 7 0 1 0 8.5 8.5z", "wb-moon")


"""What the chip of the last run says where only the shipped results are there."""
EXPORTS = {
    "map": "Head map (PNG)",
    "cameras": "Cameras at this frame (PNG)",
    "curves": "State and actions (CSV)",
    "relevance.csv": "Scores (CSV)",
    "relevance.json": "Scores and head set (JSON)",
    "selection.json": "Head set, authors' keys (JSON)",
    "run": "Last run, one page (HTML)",
}


def header(opened: Opened) -> str:
    """The header's markup."""
    last = opened.last_run
    chips = (
        _chip("Policy", opened.policy, chooser=CHOOSER),
        _chip("Demonstrations", opened.demonstrations or "none", "demonstrations"),
        _chip("Heads", _heads(opened), "heads", title=opened.origin),
        _chip("Last run", last or "none yet", "compare" if last == READY or "compar" in last.lower() else "finetune"),
    )
    origin = {"words": opened.origin, "remark": opened.remark, "shared": opened.shared}
    return (
        f'<header class="wb-header" data-query="{text(json.dumps(dict(opened.query)))}">'
        f'<div class="wb-brand">{LOGO}<h1>Robotic Steering<span> workbench</span></h1></div>'
        f'<nav class="wb-chips" aria-label="What is open">{"".join(chips)}</nav>'
        '<div class="wb-tools"><button type="button" class="wb-icon" data-copy-link data-testid="copy-link" '
        f'title="Copy a link that restores this screen">{_SHARE}<span>Copy link</span></button>{_export()}'
        '<button type="button" class="wb-icon" data-shortcuts aria-label="Help: keys and words" '
        'title="Keys and words (?)"><b aria-hidden="true">?</b></button>'
        '<button type="button" class="wb-icon" data-theme-toggle '
        f'aria-label="Switch between light and dark">{_SUN}{_MOON}</button></div>'
        f'<span hidden data-emit="notes" data-emitted="{text(json.dumps(opened.notes))}"></span>'
        f'<span hidden data-emit="origin" data-emitted="{text(json.dumps(origin))}"></span></header>'
    )


def _heads(opened: Opened) -> str:
    if not opened.heads:
        return "none selected"
    return f"{opened.heads} from {opened.elsewhere}" if opened.elsewhere else f"{opened.heads} selected"


def running(jobs: Sequence[JobLine], steps: Mapping[str, str]) -> str:
    """What runs now, seen from every step; empty where nothing does. steps: function -> the step that shows it."""
    busy = [job for job in reversed(jobs) if not job.ended]
    if not busy:
        return ""
    job = busy[0]
    left = f", {duration(job.left_s)} left" if job.left_s is not None else ""
    state = "waits for its turn" if job.state == "queued" else f"{100 * job.fraction:.0f} %{left}"
    more = f" (+{len(busy) - 1})" if len(busy) > 1 else ""
    step = steps.get(job.function, "finetune")
    opens = f'popovertarget="{CHOOSER}"' if step == "policy" else f'data-tab="{text(step)}"'
    return (
        f'<button type="button" class="wb-running" {opens} '
        f'data-testid="running"><i style="width:{100 * job.fraction:.0f}%"></i>'
        f"<span>{text(job.title)}{more}: {state}</span></button>"
    )


def _export() -> str:
    kept = "".join(button(label, "keep", kind) for kind, label in EXPORTS.items())
    return (
        '<details class="wb-menu" data-testid="export"><summary class="wb-icon" aria-label="Export" '
        f'title="Files of what is open">{_EXPORT}<span>Export</span></summary><div>{kept}</div></details>'
    )


def _chip(label: str, value: str, tab: str = "", chooser: str = "", title: str = "") -> str:
    opens = f'popovertarget="{chooser}" aria-haspopup="dialog"' if chooser else f'data-tab="{tab}"'
    told = f' title="{text(title)}"' if title else ""
    return (
        f'<button type="button" class="wb-chip" {opens} data-name="{label}"{told}><small>{label}</small>'
        f"<b>{text(value)}</b></button>"
    )
