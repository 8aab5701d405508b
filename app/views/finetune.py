"""The Finetune step: methods with what they would train and take, settings, the equal command, live runs, results."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from app.answers.training import Outlook, ResultRow, Running
from app.views.templates import PIECES, Macros
from steering.types import CONTROL_LABELS, FFN_CHOICES, METHOD_LABELS, PRECISIONS

HTML = Macros("finetune.html")

LABELS = {**METHOD_LABELS, **CONTROL_LABELS}
GROUP_LABELS = {
    "q_proj": "queries",
    "k_proj": "keys",
    "v_proj": "values",
    "o_proj": "outputs",
    "mlp": "feed-forward",
    "projections": "state, action and time",
    "all": "all",
}
PRESET_LABELS = {
    "default": "Quick",
    "paper": "The authors' recipe",
    "paper_ffn": "The authors' recipe, with every FFN",
    "release": "The authors' release, all that it trains",
    "openpi_lora": "openpi's LoRA",
}
FFN_LABELS = {"none": "of no layer", "selected": "of the selected layers", "all": "of all layers"}
COLUMNS = (
    ("Method", "method", "origin of the heads", "seed", "date"),
    ("Demonstrations",),
    ("Heads",),
    ("Rank",),
    ("Steps", "steps", "kept step"),
    ("Trainable parameters",),
    ("Training", "training, s"),
    ("Loss",),
    ("Held-out error", "held-out error before", "held-out error after"),
)
"""Headings, and the columns of the CSV file where these are others; the last, of buttons, has none."""


def form(
    fields: Mapping[str, Any],
    offers: Sequence[str],
    presets: Collection[str],
    ranks: Sequence[int],
    batches: Sequence[int],
) -> Markup:
    """The whole form. fields: name -> value as text, `methods` and `options` as lists of what is ticked. What depends
    on the numbers is filled in by static/finetune/form.js, so that typing is never undone by an update.
    """
    return HTML.form(
        fields,
        [(name, LABELS[name]) for name in offers],
        [(name, PRESET_LABELS.get(name, name)) for name in presets],
        [(str(n), str(n)) for n in batches],
        [(str(n), str(n)) for n in ranks],
        [(name, FFN_LABELS[name]) for name in FFN_CHOICES],
        [(name, name) for name in PRECISIONS],
    )


def costs(found: Mapping[str, Outlook], command: str, python: str, imitated: str = "", headline: str = "") -> Markup:
    """What the form shows beside its fields, for static/finetune/form.js: name of a slot -> markup, and what is off.
    imitated: what a training on what is open would imitate, a sentence or empty. headline: what is known of
    chosen heads beside random ones, or empty.
    """
    lora = found["lora"].total if "lora" in found else 0
    slots = {f"cost-{name}": _cost(name, cost, lora) for name, cost in found.items()}
    slots["command"] = HTML.commands(command, python)
    slots["headline"] = escape(headline)
    slots["imitated"] = HTML.imitated(imitated) if imitated else Markup()
    told = {"slots": slots, "off": [name for name, cost in found.items() if cost.off]}
    return PIECES.emit("training", json.dumps(told))


def _cost(name: str, cost: Outlook, lora: int) -> Markup:
    if cost.missing:
        where = ("Demonstrations", "demonstrations") if name == "other_task" else ("Open the map", "heads")
        return HTML.missing(cost.missing, *where)
    groups = [(group, 100 * count / (cost.total or 1)) for group, count in cost.parameters.items()]
    told = " · ".join(f"{GROUP_LABELS.get(group, group)} {_short(count)}" for group, count in cost.parameters.items())
    share = "" if cost.share is None or name == "full" else f", {_share(cost.share)} of the policy"
    far_fewer = name == "steering" and lora >= 1.5 * cost.total > 0
    fewer = f"; {lora / cost.total:.0f} times fewer than LoRA" if far_fewer else ""
    return HTML.cost(name, cost, groups, told, share, fewer)


def _short(count: int) -> str:
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _share(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "under 0.1 %"


def live(runs: Sequence[Running]) -> Markup:
    """The trainings that run, in numbers."""
    return HTML.live(runs) if runs else Markup()


def results_table(rows: Sequence[ResultRow], asked: Markup | None = None, pushes: bool = False) -> Markup:
    """Finished finetunes, newest first. asked: the question before one is deleted. pushes: whoever looks may push to
    the hub.
    """
    if not rows:
        return HTML.no_results()
    columns = [(label, names) for label, *names in COLUMNS]
    notices = sorted({row.notice for row in rows if row.notice})
    shown = [(row, METHOD_LABELS.get(row.method, row.method), _mark(row.notice, notices)) for row in rows]
    notes = [f"{_mark(notice, notices)} {notice}" for notice in notices]
    notes += sorted({row.old for row in rows if row.old})
    return HTML.results(columns, shown, pushes, asked or Markup(), _told(rows), notes)


def change_card(method: str, demonstrations: str, lines: Sequence[str]) -> Markup:
    """What a finetune did to the heads, in sentences; the two maps are drawn below."""
    return HTML.change_card(METHOD_LABELS.get(method, method), demonstrations, lines)


TOLD = (
    *("id", "method", "control", "heads", "steps", "rank", "seed", "batch_size", "demonstrations_id", "demonstrations"),
    *("parameters", "asked_s"),
)


def _told(rows: Sequence[ResultRow]) -> Markup:
    """The runs as data, for the lessons."""
    runs = [
        {
            **{name: getattr(row, name) for name in TOLD},
            "untouched": row.heldout[0] if row.heldout else None,
            "heldout": row.heldout[1] if row.heldout else None,
        }
        for row in rows
    ]
    return PIECES.emit("runs", json.dumps(runs))


def _mark(notice: str, notices: Sequence[str]) -> str:
    """A star for the first notice, two for the second, and so on."""
    return "*" * (notices.index(notice) + 1) if notice else ""
