"""Which heads are chosen for what is open, and where they come from. A set is kept per policy and demonstrations.

Three parts live in the browser (`app.session`): digits of the heads, the base (where a rule, a file or a hand chose
them, and which they were then), and the sets that were left when other demonstrations were opened. All of it comes from
the client and is checked here. Milliseconds.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app import untrusted
from app.answers.measures import Measure
from app.questions import choosing, measures
from app.questions.context import Context
from steering import pipeline
from steering.errors import SteeringError
from steering.selection import exchange, report_file, rules
from steering.types import PAPER_SET_SIZE, Head, Origin, Relevance, Selection, origin_of_word, origin_word
from steering.types.origin import UNKNOWN

MOST_KEPT = 40


RULE_OF = {"top": "top_k"}


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
    chosen = None if digits is None else untrusted.as_id(digits)
    if isinstance(base, list) and len(base) == 3 and all(isinstance(one, str) and len(one) < 1000 for one in base):
        return HeadSet(chosen, *base)
    return HeadSet(chosen, UNKNOWN, chosen or "")


def chosen(digits: str, origin: Origin | None) -> HeadSet:
    """A set as a rule or a file has just chosen it."""
    return HeadSet(digits, origin_word(origin), digits)


def origin_of(context: Context, one: HeadSet) -> Origin | None:
    """Where the set comes from, by the names that the store has for it; None where that is not known."""
    origin = origin_of_word(one.word)
    if origin is None:
        return None
    name = pipeline.name_of(context.store, origin.demonstrations, context.store.kept) or origin.name
    changed = one.changed_on if one.digits != one.base and one.changed_on else origin.changed_on
    return dataclasses.replace(origin, name=name, changed_on=changed)


def by_rule(context: Context, demonstrations_id: str, measure: str, rule: str) -> Origin:
    """The origin of a set that `rule`, of the page, chooses now by the measure shown."""
    rule = RULE_OF.get(rule, rule)
    if rule == "other_task":
        return pipeline.scored_on(
            context.store,
            choosing.other_relevance(context, demonstrations_id, measure),
            rule,
            _today(),
            context.store.kept,
        )
    name = pipeline.name_of(context.store, demonstrations_id, context.store.kept)
    policy = pipeline.policy_name(context.policies.source)
    origin = Origin(rule, demonstrations=demonstrations_id, name=name, date=_today(), policy=policy)
    shown = measures.shown(context, demonstrations_id, measure)
    return origin if shown is None else dataclasses.replace(origin, **_asked(shown))


def changed(context: Context, before: HeadSet, digits: str, demonstrations_id: str, measure: str) -> HeadSet:
    """The set after heads were clicked. As long as it shares heads with what was chosen, it comes from there."""
    heads, base = set(heads_of(context, digits)), set(heads_of(context, before.base))
    if not heads or heads & base:
        return dataclasses.replace(before, digits=digits, changed_on=demonstrations_id)
    return chosen(digits, by_rule(context, demonstrations_id, measure, "manual"))


def newcomer(context: Context, demonstrations_id: str, measure: str) -> HeadSet:
    """What demonstrations begin with: the paper's rule where their heads are scored, else no choice yet."""
    if not demonstrations_id or not measures.relevance_id(context, demonstrations_id, measure):
        return HeadSet()
    best = choosing.auto_select(context, demonstrations_id, PAPER_SET_SIZE, None, measure)
    return chosen(digits_of(context, best), by_rule(context, demonstrations_id, measure, "top"))


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


def opened(context: Context, kept: object, demonstrations_id: str, measure: str) -> HeadSet:
    """The set of demonstrations that have just been opened with the policy in use: their own, or a newcomer's."""
    own = kept_set(kept, key_of(context.policies.key, demonstrations_id))
    if own is None:
        return newcomer(context, demonstrations_id, measure)
    return dataclasses.replace(own, digits=digits_of(context, heads_of(context, own.digits or "")))


def others(context: Context, kept: object, demonstrations_id: str) -> dict[str, str]:
    """Other demonstrations whose set is kept for the policy in use -> what to call it."""
    found = {}
    for key, (digits, *_) in reversed(_read(kept).items()):
        other, _, policy = key.partition(" ")
        heads = heads_of(context, digits)
        name = pipeline.name_of(context.store, other, context.store.kept).replace("_", " ")
        if other != demonstrations_id and policy == context.policies.key and heads and name:
            found[other] = f"Set of {name} ({len(heads)} head{'s' if len(heads) > 1 else ''})"
    return found


def selection(
    context: Context, demonstrations_id: str, heads: Sequence[Head], measure: str = "", origin: Origin | None = None
) -> Selection:
    """The head set as a selection; with rule, k and error where it is the best by relevance of its size."""
    relevance = measures.relevance(context, demonstrations_id, measure)
    if relevance is not None and heads:
        stacks = tuple(name for name in relevance.shape.names if any(head.stack == name for head in heads))
        best = rules.top_k(relevance, len(heads), stacks) if not _has_inert(relevance, heads) else None
        if best and best.heads == tuple(heads):
            return replace(best, origin=origin)
    return replace(rules.manual(heads, context.size.head_shape), origin=origin)


def read_selection(context: Context, content: str) -> Selection:
    """The head set in a selection file of the Robotic Steering release, or ours."""
    return exchange.from_json(content, context.size.head_shape)


def report_words(content: str) -> tuple[str, ...]:
    """What a report file says that its runs came to, sentences; none for a selection file."""
    if '"format"' not in content[:200]:
        return ()
    read = report_file.checked(content)
    what = f"Report of {read.get('date')}, {read.get('policy')}, {read.get('data')}: its head set is selected."
    return (what, *report_file.results(read))


def heads_of(context: Context, digits: object) -> tuple[Head, ...]:
    """The heads that hexadecimal digits name; none where they are empty, no text, or of another policy."""
    if not isinstance(digits, str) or not digits:
        return ()
    try:
        return exchange.from_hex(digits, context.size.head_shape)
    except SteeringError:
        return ()


def digits_of(context: Context, heads: Sequence[Head]) -> str:
    """The head set as hexadecimal digits; empty for no heads."""
    return exchange.to_hex(heads, context.size.head_shape) if heads else ""


def _read(kept: object) -> dict[str, list[str]]:
    if not isinstance(kept, Mapping):
        return {}
    whole = {key: one for key, one in kept.items() if isinstance(one, list) and len(one) == 4}
    return {key: one for key, one in whole.items() if all(isinstance(text, str) for text in (key, *one))}


def _asked(measure: Measure) -> dict[str, str]:
    return {name: getattr(measure, name) for name in ("metric", "preset", "target", "phase")}


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _has_inert(relevance: Relevance, heads: Sequence[Head]) -> bool:
    return any(relevance.inert[relevance.shape.place(head)] for head in heads)
