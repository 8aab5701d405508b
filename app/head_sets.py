"""Which heads are chosen for what is open, and where they come from. A set is kept per policy and demonstrations.

Three parts live in the browser (`app.session`): digits of the heads, the base (where a rule, a file or a hand chose
them, and which they were then), and the sets that were left when other demonstrations were opened. All of it comes from
the client and is checked here. Milliseconds.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app import session
from app.measures import Measure
from steering import pipeline
from steering.types import PAPER_SET_SIZE, Origin, origin_of_word, origin_word
from steering.types.origin import UNKNOWN

if TYPE_CHECKING:
    from app.service import Workbench

MOST_KEPT = 40
RULE_OF = {"top": "top_k"}
"""Rules of the page whose name in `pipeline.RULES` is another."""


@dataclass(frozen=True)
class HeadSet:
    """A set of heads. digits: in hexadecimal, None before any choice. word: where `base`, digits too, comes from
    (`types.origin_word`). changed_on: the demonstrations beside whose scores the base was changed by hand.
    """

    digits: str | None = None
    word: str = UNKNOWN
    base: str = ""
    changed_on: str = ""

    @property
    def kept(self) -> list[str]:
        """The base as the browser keeps it."""
        return [self.word, self.base, self.changed_on]


def head_set(digits: object, base: object) -> HeadSet:
    """The set that a browser keeps. digits, base: as it gives them; anything malformed is of unknown origin."""
    chosen = None if digits is None else session.as_id(digits)
    if isinstance(base, list) and len(base) == 3 and all(isinstance(one, str) and len(one) < 1000 for one in base):
        return HeadSet(chosen, *base)
    return HeadSet(chosen, UNKNOWN, chosen or "")


def chosen(digits: str, origin: Origin | None) -> HeadSet:
    """A set as a rule or a file has just chosen it."""
    return HeadSet(digits, origin_word(origin), digits)


def origin_of(bench: Workbench, one: HeadSet) -> Origin | None:
    """Where the set comes from, by the names that the store has for it; None where that is not known."""
    origin = origin_of_word(one.word)
    if origin is None:
        return None
    name = pipeline.name_of(bench.store, origin.demonstrations, bench.load) or origin.name
    changed = one.changed_on if one.digits != one.base and one.changed_on else origin.changed_on
    return dataclasses.replace(origin, name=name, changed_on=changed)


def by_rule(bench: Workbench, demonstrations_id: str, measure: str, rule: str) -> Origin:
    """The origin of a set that `rule`, of the page, chooses now by the measure shown."""
    rule = RULE_OF.get(rule, rule)
    if rule == "other_task":
        return pipeline.scored_on(
            bench.store, bench.laboratory.other_relevance(demonstrations_id, measure), rule, _today(), bench.load
        )
    name = pipeline.name_of(bench.store, demonstrations_id, bench.load)
    origin = Origin(rule, demonstrations=demonstrations_id, name=name, date=_today())
    shown = bench.measure_shown(demonstrations_id, measure)
    return origin if shown is None else dataclasses.replace(origin, **_asked(shown))


def changed(bench: Workbench, before: HeadSet, digits: str, demonstrations_id: str, measure: str) -> HeadSet:
    """The set after heads were clicked. As long as it shares heads with what was chosen, it comes from there."""
    heads, base = set(bench.heads(digits)), set(bench.heads(before.base))
    if not heads or heads & base:
        return dataclasses.replace(before, digits=digits, changed_on=demonstrations_id)
    return chosen(digits, by_rule(bench, demonstrations_id, measure, "manual"))


def newcomer(bench: Workbench, demonstrations_id: str, measure: str) -> HeadSet:
    """What demonstrations begin with: the paper's rule where their heads are scored, else no choice yet."""
    if not demonstrations_id or not bench.relevance_id(demonstrations_id, measure):
        return HeadSet()
    best = bench.auto_select(demonstrations_id, PAPER_SET_SIZE, None, measure)
    return chosen(bench.digits(best), by_rule(bench, demonstrations_id, measure, "top"))


def key_of(policy: str, demonstrations_id: str) -> str:
    """The key under which the set of a policy and demonstrations is kept."""
    return f"{demonstrations_id} {policy}"


def keep(kept: object, key: str, one: HeadSet) -> dict[str, list[str]]:
    """The kept sets with `one` under `key`; the oldest go."""
    found = _read(kept)
    found.pop(key, None)
    if one.digits is not None:
        found[key] = [one.digits, *one.kept]
    return dict(list(found.items())[-MOST_KEPT:])


def kept_set(kept: object, key: str) -> HeadSet | None:
    """The set that is kept under `key`."""
    found = _read(kept).get(key)
    return None if found is None else head_set(found[0], found[1:])


def opened(bench: Workbench, kept: object, demonstrations_id: str, measure: str) -> HeadSet:
    """The set of demonstrations that have just been opened with the policy in use: their own, or a newcomer's."""
    own = kept_set(kept, key_of(bench.policies.key, demonstrations_id))
    if own is None:
        return newcomer(bench, demonstrations_id, measure)
    return dataclasses.replace(own, digits=bench.digits(bench.heads(own.digits or "")))


def others(bench: Workbench, kept: object, demonstrations_id: str) -> dict[str, str]:
    """Other demonstrations whose set is kept for the policy in use -> what to call it."""
    found = {}
    for key, (digits, *_) in reversed(_read(kept).items()):
        other, _, policy = key.partition(" ")
        heads = bench.heads(digits)
        name = pipeline.name_of(bench.store, other, bench.load).replace("_", " ")
        if other != demonstrations_id and policy == bench.policies.key and heads and name:
            found[other] = f"Set of {name} ({len(heads)} head{'s' if len(heads) > 1 else ''})"
    return found


def _read(kept: object) -> dict[str, list[str]]:
    if not isinstance(kept, Mapping):
        return {}
    whole = {key: one for key, one in kept.items() if isinstance(one, list) and len(one) == 4}
    return {key: one for key, one in whole.items() if all(isinstance(text, str) for text in (key, *one))}


def _asked(measure: Measure) -> dict[str, Any]:
    return {name: getattr(measure, name) for name in ("metric", "preset", "target", "phase")}


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())
