"""Where a set of heads comes from: by which rule and measure, on which demonstrations, when; and how that is said.

One dataclass, one wording (`origin_words`) and one word for links and forms (`Origin.word`): page, files, reports and
the command line say the same. Instant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from steering.metrics import BY_NAME

UNKNOWN = "unknown"
"""The word of a set of which nothing is known."""

PRESET_WORDS: Mapping[str, str] = {"default": "strict", "policy": ""}
RULE_WORDS: Mapping[str, str] = {
    "top_k": "Best heads",
    "above_null": "Heads better than chance",
    "budget": "Best heads within a budget",
    "greedy": "Grown one by one",
    "manual": "Chosen by hand",
    "random": "Control, random heads in the layers of the best",
    "bottom": "Control, the worst heads",
    "other_task": "Control, best heads of another task",
    "shared": "What several sets share",
    "union": "Several sets together",
    "difference": "One set without the heads of others",
}
CHOSEN_APART = ("random", "bottom")
"""Rules that take no head because it scores well."""

_JOIN = "~"
_LONGEST = 100  # characters of a field
_NAME = re.compile(r"[a-z][a-z_0-9]*|")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|")


@dataclass(frozen=True)
class Origin:
    """Where a set of heads comes from; what is not known is empty.

    rule: of RULE_WORDS. metric: of `steering.metrics`; preset, target, phase: as in `Relevance`. demonstrations: their
    id; name: what people call them. date: when the set was chosen, YYYY-MM-DD (UTC). changed_on: id of the
    demonstrations beside whose scores heads were added or taken out by hand afterwards. policy: `embedded`, a hub id or
    the name of a folder: whose heads they are.
    """

    rule: str
    metric: str = ""
    preset: str = ""
    target: str = "action"
    phase: str = "whole"
    demonstrations: str = ""
    name: str = ""
    date: str = ""
    changed_on: str = ""
    policy: str = ""

    def word(self) -> str:
        """The origin as one word for links and forms; `origin_of_word` reads it."""
        return _JOIN.join(str(value).replace(_JOIN, "-")[:_LONGEST] for value in asdict(self).values())


def origin_word(origin: Origin | None) -> str:
    """`Origin.word`, or UNKNOWN."""
    return origin.word() if origin else UNKNOWN


def origin_of_word(word: str) -> Origin | None:
    """The origin that a word names, which comes from anywhere; None where it names none.

    Words from before the policy was a part of them are read.
    """
    parts = word.split(_JOIN)
    names = [field.name for field in fields(Origin)]
    whole = len(names) - 1 <= len(parts) <= len(names)
    return origin_of_fields(dict(zip(names, parts, strict=False))) if whole else None


def origin_of_fields(given: object) -> Origin | None:
    """The origin with these fields, which come from anywhere; None where they do not fit."""
    names = [field.name for field in fields(Origin)]
    if not isinstance(given, dict) or not isinstance(given.get("rule"), str):
        return None
    found: dict[str, Any] = {name: given[name] for name in names if name in given}
    if any(not isinstance(value, str) or len(value) > _LONGEST for value in found.values()):
        return None
    plain = all(_NAME.fullmatch(found.get(name, "")) for name in ("metric", "preset", "target", "phase"))
    if found["rule"] not in RULE_WORDS or not plain or not _DATE.fullmatch(found.get("date", "")):
        return None
    return Origin(**found)


def origin_words(origin: Origin | None) -> str:
    """Where a set comes from, as people read it:

    Best heads by k-NN relevance (strict) on place cube in bowl, embedded policy, 2026-11-29
    """
    if origin is None:
        return "origin unknown"
    said = RULE_WORDS[origin.rule]
    measure = measure_words(origin)
    if measure:
        said += f" {'beside' if origin.rule == 'manual' else 'by'} {measure}"
    if origin.name or origin.demonstrations:
        said += f" on {demonstrations_words(origin)}"
    said += f", {policy_words(origin)}" if origin.policy else ""
    said += f", {origin.date}" if origin.date else ""
    changed = origin.changed_on and origin.rule != "manual"
    return f"{said}; changed by hand since" if changed else said


def measure_words(origin: Origin) -> str:
    """By what the heads were scored; empty where it is not known."""
    if not origin.metric:
        return ""
    label = BY_NAME[origin.metric].label if origin.metric in BY_NAME else origin.metric.replace("_", " ")
    details = [PRESET_WORDS.get(origin.preset, origin.preset)]
    details += [f"predicts the {origin.target.replace('_', ' ')}"] if origin.target not in ("action", "") else []
    details += [f"{origin.phase} frames"] if origin.phase not in ("whole", "") else []
    told = ", ".join(one for one in details if one)
    return f"{label} ({told})" if told else label


def demonstrations_words(origin: Origin) -> str:
    """What people call the demonstrations that the set was chosen on."""
    return origin.name.replace("_", " ") or origin.demonstrations


def policy_words(origin: Origin) -> str:
    """What people call the policy whose heads the set holds; empty where it is not known."""
    return f"{origin.policy} policy" if origin.policy == "embedded" else origin.policy
