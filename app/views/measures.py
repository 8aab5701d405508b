"""The line above the head map: which measure is shown, as a sentence that opens into its choosers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from app.answers.measures import BEST, Measure
from app.glossary import GLOSSARY
from app.views.templates import Macros
from app.words import TARGET_LABELS
from steering.metrics import BY_NAME
from steering.types import PHASES, Spread, spread_words

HTML = Macros("measures.html")
LABELS = {
    "metric": "Measure",
    "preset": "Preset",
    "target": "Predicts",
    "phase": "Frames",
    "tokens": "Read at",
    "k": "Nearest frames",
}
PRESETS = {"paper": "paper", "default": "strict", "policy": ""}
MEANT = {
    "paper": "over the mean action, as published",
    "default": "by what it tells of what joint state and time leave open",
    "policy": "",
}
"""What a score of 0 equals under a preset."""
STRICT = (
    "1 − ⟨‖r − c r̂_h‖²⟩ / ⟨‖r‖²⟩, with r what the best smoother of joint state and time leaves open of the target, r̂_h "
    "what the measure predicts of r from z_h, and c the share that fits the other episodes best"
)
"""The formula of a measure under the strict preset."""
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

WORD_OF_TOKEN = {"state": "state_token"}
"""Tokens whose entry in the glossary has another key."""
KS = ("10", "20", "30", "40")


def choosers(
    available: Sequence[Measure],
    chosen: Measure,
    targets: Sequence[str] = (),
    beside: str = "",
    spread: Spread | None = None,
    old: str = "",
) -> Markup:
    """The measure as a sentence; opened, a list for each of its properties, the same ones whatever was measured, and
    what it means. A list with one choice is there and disabled.

    targets: what kept head outputs can be asked at once, with any phase and any of KS; empty where none are kept.
    beside: key of the second measure. spread: what the score is measured on. old: that an older
    version made it.
    """
    live = {}
    if targets and chosen.metric == "knn":
        whole = ("whole", *PHASES)
        live = {"preset": ("paper", "default"), "target": targets, "phase": whole, "k": (BEST, *KS)}
    lists = []
    for name, label in LABELS.items():
        values = list(dict.fromkeys([*(getattr(one, name) for one in available), *live.get(name, ())]))
        lists.append((name, label, [(value, _word(name, value)) for value in values], getattr(chosen, name)))
    named = [("", "nothing"), *[(one.key, _name(one, available)) for one in available if one != chosen]]
    lists.append(("beside", "Beside it", named, beside))
    metric = BY_NAME.get(chosen.metric)
    formula = STRICT if metric and chosen.preset == "default" else metric.formula if metric else ""
    return HTML.choosers(
        _line(chosen, dict(named).get(beside, "") if beside else ""),
        lists,
        _words(chosen),
        MEANT.get(chosen.preset, ""),
        metric.meaning if metric else "",
        formula,
        "" if spread is None else spread_words(spread),
        old,
    )


def _words(chosen: Measure) -> list[str]:
    """Keys of the glossary of the measure's words."""
    tokens = dict.fromkeys(WORD_OF_TOKEN.get(one, one) for one in chosen.tokens.split("+"))
    return [key for key in (chosen.metric, chosen.preset, *tokens) if key in GLOSSARY]


def _line(chosen: Measure, beside: str) -> dict[str, Any]:
    """The words of the sentence, by their place in it. beside: name of the second measure; empty for none."""
    return {
        "metric": ", ".join(filter(None, (_word("metric", chosen.metric), _word("preset", chosen.preset)))),
        "of": () if chosen.preset == "policy" else (_word("target", chosen.target), _word("phase", chosen.phase)),
        "at": _word("tokens", chosen.tokens),
        "k": "" if chosen.k == BEST else _word("k", chosen.k),
        "beside": beside,
    }


def name_of(measure: Measure) -> str:
    """The measure in a few words."""
    words = [_word("metric", measure.metric), _word("preset", measure.preset)]
    words += [_word("target", measure.target)] if measure.target != "action" else []
    words += [_word("phase", measure.phase)] if measure.phase != "whole" else []
    return ", ".join(word for word in words if word)


def _name(measure: Measure, available: Sequence[Measure]) -> str:
    same = [one for one in available if name_of(one) == name_of(measure)]
    return name_of(measure) if len(same) == 1 else f"{name_of(measure)}, {_word('tokens', measure.tokens)}"


def _word(name: str, value: str) -> str:
    if name == "metric":
        return BY_NAME[value].label if value in BY_NAME else value
    if name == "preset":
        return PRESETS.get(value, value)
    if name == "phase":
        return "all frames" if value == "whole" else f"{value} frames"
    if name == "tokens":
        return " and ".join(dict.fromkeys(TOKENS.get(one, one.replace("_", " ")) for one in value.split("+")))
    if name == "target":
        return TARGET_LABELS.get(value, value.replace("_", " "))
    if name == "k":
        return "chosen by the score" if value == BEST else f"k = {value}"
    return value.replace("_", " ")
