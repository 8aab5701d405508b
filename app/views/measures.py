"""The line above the head map: which measure is shown, as a sentence that opens into its choosers."""

from __future__ import annotations

from collections.abc import Sequence

from app.answers.measures import BEST, Measure
from app.glossary import GLOSSARY
from app.views.markup import term, text
from app.words import TARGET_LABELS
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
) -> str:
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
        lists.append(_list(name, label, [(value, _word(name, value)) for value in values], getattr(chosen, name)))
    named = [("", "nothing"), *[(one.key, _name(one, available)) for one in available if one != chosen]]
    lists.append(_list("beside", "Beside it", named, beside))
    row = f'<div class="wb-form" data-live>{"".join(lists)}</div>'
    metric = BY_NAME.get(chosen.metric)
    formula = STRICT if metric and chosen.preset == "default" else metric.formula if metric else ""
    meaning = f"<p>{text(metric.meaning)}</p><p><code>{text(formula)}</code></p>" if metric else ""
    second = dict(named).get(beside, "") if beside else ""
    over = f"<p>Scored {MEANT[chosen.preset]}.</p>" if MEANT.get(chosen.preset) else ""
    aged = f'<p role="note" data-testid="old">{text(old)}</p>' if old else ""
    measured_on = "" if spread is None else f'<p data-testid="spread">{text(spread_words(spread))}</p>'
    return (
        '<div class="wb-measure" data-testid="measure"><details data-fold="measure">'
        f'<summary data-testid="measure-line"><span>{_line(chosen, second)}</span></summary>'
        f"{row}{_words(chosen)}{over}{meaning}{measured_on}</details>{aged}</div>"
    )


def _words(chosen: Measure) -> str:
    """The measure's words, each of which opens its meaning."""
    tokens = dict.fromkeys(WORD_OF_TOKEN.get(one, one) for one in chosen.tokens.split("+"))
    known = [term(key) for key in (chosen.metric, chosen.preset, *tokens) if key in GLOSSARY]
    return f'<p data-testid="measure-words">What it means: {", ".join(known)}.</p>' if known else ""


def _line(chosen: Measure, beside: str) -> str:
    """The measure as a sentence, escaped. beside: name of the second one, escaped; empty for none."""
    metric = BY_NAME[chosen.metric].label if chosen.metric in BY_NAME else chosen.metric
    preset = _word("preset", chosen.preset)
    words = f"Colour: <b>{text(metric)}{f', {preset}' if preset else ''}</b>"
    if chosen.preset != "policy":
        words += f", of <b>{_word('target', chosen.target)}</b> in <b>{_word('phase', chosen.phase)}</b>"
    words += f", at <b>{_word('tokens', chosen.tokens)}</b>"
    if chosen.k != BEST:
        words += f", <b>{_word('k', chosen.k)}</b>"
    return f"{words}, beside <b>{beside}</b>" if beside else words


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
        f'<label class="wb-field"><span>{label}</span><select name="{name}" data-testid="measure-{name}"'
        f"{' disabled' if len(values) < 2 else ''}>"
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
