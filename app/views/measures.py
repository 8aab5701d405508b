"""The row of choosers above the head map: which measure is shown, and what it means in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from app.measures import BEST, Measure
from app.views.laboratory_menu import TARGET_LABELS
from app.views.markup import text
from steering.metrics import BY_NAME
from steering.types import PHASES, Spread, spread_words

LABELS = {
    "metric": "Measure",
    "preset": "Preset",
    "target": "Predicts",
    "phase": "Frames",
    "tokens": "Read at",
    "k": "Nearest frames",
}
PRESETS = {"paper": "paper", "default": "strict", "policy": ""}
MEANT = {"paper": "over the mean action, as published", "default": "over joint state and time", "policy": ""}
"""What a score of 0 equals under a preset."""
TOKENS = {
    "last_prefix": "last prompt token",
    "last_word": "last word",
    "mean_instruction": "all words",
    "mean_image": "all image patches",
    "state": "state token",
    "all": "every token",
    "first_action": "first action token",
    "last_action": "last action token",
}

KS = ("10", "20", "30", "40")


def choosers(
    available: Sequence[Measure],
    chosen: Measure,
    targets: Sequence[str] = (),
    beside: str = "",
    spread: Spread | None = None,
    old: str = "",
) -> str:
    """One list for each property in which the measures differ that can be shown; the others are said in words.

    targets: what kept head outputs can be asked at once, with any phase and any of KS; empty where none are kept.
    beside: key of the second measure. spread: what the score is measured on. old: that an older
    version made it.
    """
    live = {}
    if targets and chosen.metric == "knn":
        whole = ("whole", *PHASES)
        live = {"preset": ("paper", "default"), "target": targets, "phase": whole, "k": (BEST, *KS)}
    lists, said = [], []
    for name, label in LABELS.items():
        values = list(dict.fromkeys([*(getattr(one, name) for one in available), *live.get(name, ())]))
        current = getattr(chosen, name)
        if len(values) > 1:
            lists.append(_list(name, label, [(value, _word(name, value)) for value in values], current))
        if name == "preset":
            said += [MEANT[current]] if MEANT.get(current) else []
        elif name != "k" and len(values) == 1 and (word := _word(name, current)):
            said.append(f"{'predicts ' if name == 'target' else ''}{word}")
    others = [one for one in available if one != chosen]
    if others:
        named = [("", "nothing"), *[(one.key, _name(one, available)) for one in others]]
        lists.append(_list("beside", "Beside it", named, beside))
    row = f'<div class="wb-form" data-live>{"".join(lists)}</div>' if lists else ""
    metric = BY_NAME.get(chosen.metric)
    meaning = f"<p>{text(metric.meaning)}</p><p><code>{text(metric.formula)}</code></p>" if metric else ""
    aged = f'<p role="note" data-testid="old">{text(old)}</p>' if old else ""
    measured_on = "" if spread is None else f'<p data-testid="spread">{text(spread_words(spread))}</p>'
    return (
        f'<div class="wb-measure" data-testid="measure">{row}<details><summary>{", ".join(said) or "What is measured"}'
        f"</summary>{meaning}</details>{measured_on}{aged}</div>"
    )


def name_of(measure: Measure) -> str:
    """The measure in a few words, escaped."""
    words = [_word("metric", measure.metric), _word("preset", measure.preset)]
    words += [_word("target", measure.target)] if measure.target != "action" else []
    words += [_word("phase", measure.phase)] if measure.phase != "whole" else []
    return ", ".join(word for word in words if word)


def _name(measure: Measure, available: Sequence[Measure]) -> str:
    same = [one for one in available if name_of(one) == name_of(measure)]
    return name_of(measure) if len(same) == 1 else f"{name_of(measure)}, {_word('tokens', measure.tokens)}"


def _list(name: str, label: str, values: Sequence[tuple[str, str]], current: str) -> str:
    options = "".join(
        f'<option value="{text(value)}"{" selected" if value == current else ""}>{shown or "none"}</option>'
        for value, shown in values
    )
    return (
        f'<label class="wb-field"><span>{label}</span><select name="{name}" data-testid="measure-{name}">'
        f"{options}</select></label>"
    )


def _word(name: str, value: str) -> str:
    if name == "metric":
        return text(BY_NAME[value].label if value in BY_NAME else value)
    if name == "preset":
        return text(PRESETS.get(value, value))
    if name == "phase":
        return "all frames" if value == "whole" else text(f"{value} frames")
    if name == "tokens":
        return text(" and ".join(dict.fromkeys(TOKENS.get(one, one.replace("_", " ")) for one in value.split("+"))))
    if name == "target":
        return text(TARGET_LABELS.get(value, value.replace("_", " ")))
    if name == "k":
        return "chosen by the score" if value == BEST else f"k = {text(value)}"
    return text(value.replace("_", " "))
