"""Which relevance the page shows: a set of demonstrations may have been scored by several measures.

A measure is named by what was asked, and travels in the link as one word. Only measures that a set really has are
ever offered or accepted, so a link cannot ask for anything else. Reading them costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from steering.types import Relevance

BEST = "best"


@dataclass(frozen=True)
class Measure:
    """metric: of `steering.metrics`; preset: `paper`, `default` or `policy`; target: what heads predict; phase: the
    frames that count; tokens: where head outputs were read, of VLM and expert; k: of the nearest frames, BEST where
    the score chose it.
    """

    metric: str
    preset: str
    target: str
    phase: str
    tokens: str
    k: str = BEST

    @property
    def key(self) -> str:
        """The measure as one word for links and forms."""
        words = [getattr(self, field.name) for field in fields(self)]
        return ".".join(words[:-1] if self.k == BEST else words)


def precedence(measure: Measure) -> int:
    """Which of a set's measures is shown where none was asked for, smallest first: the strict k-NN score of the action
    (gain over joint state and time), another k-NN score, any other.
    """
    strict = (measure.preset, measure.target, measure.phase) == ("default", "action", "whole")
    return 2 if measure.metric != "knn" else int(not strict)


FIELDS = tuple(field.name for field in fields(Measure))


def measure_of(params: Mapping[str, object], relevance: Relevance) -> Measure:
    """The measure of a stored relevance. params: of its manifest."""
    tokens = "+".join(relevance.tokens)
    return Measure(relevance.metric, relevance.preset, str(params.get("target", "action")), relevance.phase, tokens)


def parsed(key: str) -> Measure | None:
    """The measure that a key names, which comes from anywhere; None where it is no key."""
    words = key.split(".")
    if not len(FIELDS) - 1 <= len(words) <= len(FIELDS) or (len(words) == len(FIELDS) and not words[-1].isdecimal()):
        return None
    return Measure(*words)


def chosen(available: Sequence[Measure], key: str) -> Measure | None:
    """The available measure that `key` names, else the first; None where there is none."""
    return next((one for one in available if one.key == key), available[0] if available else None)


def nearest(available: Sequence[Measure], current: Measure, field: str, value: str) -> Measure:
    """The available measure with `value` in `field` that shares most other fields with `current`."""
    fitting = [one for one in available if getattr(one, field) == value]
    if not fitting:
        return current
    return max(fitting, key=lambda one: sum(getattr(one, name) == getattr(current, name) for name in FIELDS))
