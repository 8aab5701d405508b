"""The row of choosers above the head map: which measure is shown, and what it means in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from app.measures import Measure
from app.views.markup import text
from steering.metrics import BY_NAME

LABELS = {"metric": "Measure", "preset": "Preset", "target": "Predicts", "phase": "Frames", "tokens": "Read at"}
PRESETS = {"paper": "paper preset", "default": "beyond state and time", "policy": ""}
TOKENS = {
    "last_prefix": "last prompt token",
    "last_word": "last word",
    "mean_instruction": "all words",
    "mean_image": "all image patches",
    "state": "state token",
    "first_action": "first action token",
    "last_action": "last action token",
}


def choosers(available: Sequence[Measure], chosen: Measure) -> str:
    """One list for each property in which the available measures differ; the others are said in words."""
    lists, said = [], []
    for name, label in LABELS.items():
        values = list(dict.fromkeys(getattr(one, name) for one in available))
        current = getattr(chosen, name)
        if len(values) > 1:
            options = "".join(
                f'<option value="{text(value)}"{" selected" if value == current else ""}>{_word(name, value)}</option>'
                for value in values
            )
            lists.append(
                f'<label class="wb-field"><span>{label}</span><select name="{name}" data-testid="measure-{name}">'
                f"{options}</select></label>"
            )
        elif word := _word(name, current):
            said.append(f"{'predicts ' if name == 'target' else ''}{word}")
    row = f'<div class="wb-form" data-live>{"".join(lists)}</div>' if lists else ""
    metric = BY_NAME.get(chosen.metric)
    meaning = f"<p>{text(metric.meaning)}</p><p><code>{text(metric.formula)}</code></p>" if metric else ""
    return (
        f'<div class="wb-measure" data-testid="measure">{row}<details><summary>{", ".join(said) or "What is measured"}'
        f"</summary>{meaning}</details></div>"
    )


def _word(name: str, value: str) -> str:
    if name == "metric":
        return text(BY_NAME[value].label if value in BY_NAME else value)
    if name == "preset":
        return text(PRESETS.get(value, value))
    if name == "phase":
        return "all frames" if value == "whole" else text(f"{value} frames")
    if name == "tokens":
        return text(" and ".join(TOKENS.get(one, one.replace("_", " ")) for one in value.split("+")))
    return text(value.replace("_", " "))
