"""The link that restores a screen: its parameters, and reading them, which come from anywhere and are range-checked.

policy, demonstrations, metric (a measure's key), heads (hexadecimal digits, or `none`), origin (where these come from),
episode, tab and class (to join) are read here; frame and head (the one shown) concern the browser alone and are read,
within range, by static/shared/address.js; lesson, hide and lock by static/learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app import untrusted
from app.answers.screen import Opened
from app.questions import classes, comparison, demonstrations, head_sets, measures, results
from app.questions.context import Context
from app.questions.head_sets import HeadSet, origin_of
from app.questions.heads import attention
from app.questions.lead_sentence import set_facts, set_sentence
from app.visitors import asking, offers_accounts
from steering import pipeline
from steering.errors import SteeringError
from steering.types import Head, Origin, origin_word, origin_words
from steering.types.origin import demonstrations_words

NO_HEADS = "none"


@dataclass(frozen=True)
class Screen:
    """What a page shows. opened: [demonstrations id, episode]; heads: the chosen set; kept: the sets of what else was
    open; notes: what of the link could not be restored.
    """

    opened: list[str | int]
    heads: HeadSet
    kept: dict[str, list[str]]
    measure: str
    tab: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Memory:
    """What the browser remembers, as it gives it: parts of `session.States`; policy: the key of what was in use."""

    opened: object = None
    heads: object = None
    origin: object = None
    kept: object = None
    measure: object = ""
    policy: str = ""


def restore(context: Context, query: Mapping[str, str], memory: Memory) -> Screen:
    """The screen of a link, and of the browser's memory where the link says nothing."""
    notes = list(filter(None, [classes.join_by_link(context, untrusted.as_id(query.get("class")))]))
    demonstrations_id, episode = untrusted.as_opened(memory.opened)
    wanted = untrusted.as_id(query.get("demonstrations")) or demonstrations_id
    found = demonstrations.open_set(context, wanted)
    if query.get("demonstrations") and found != wanted:
        notes.append(demonstrations.why_not_open(context, wanted))
    if "episode" in query and found == wanted:
        episode = untrusted.whole(query["episode"], 0, 100_000, 0)
    elif found != demonstrations_id:
        episode = 0
    if found:
        episode = min(episode, len(demonstrations.card(context, found).frames) - 1)
    measure = untrusted.as_id(query.get("metric")) or untrusted.as_id(memory.measure)
    stored = measure in {one.key for one in measures.stored(context, found)}
    if not stored and not measures.answered(context, found, measure):
        if query.get("metric"):
            notes.append("These demonstrations have no scores by the measure of this link, so another is shown.")
        measure = ""
    policy = query.get("policy")
    if policy and policy != context.policies.key:
        notes.append(
            f"The link was made for the policy {policy[:80]}, which is not open on this server; this page uses "
            f"{context.policy_name}. The Policy chip opens others."
        )
    remembered = head_sets.head_set(memory.heads, memory.origin)
    was = head_sets.key_of(memory.policy or context.policies.key, demonstrations_id)
    kept = head_sets.keep(memory.kept, was, remembered)
    same = was == head_sets.key_of(context.policies.key, found)
    given = untrusted.as_id(query.get("heads"))
    if given:
        heads = head_sets.heads_of(context, given)
        if not heads and given != NO_HEADS:
            notes.append("The head set of this link does not fit this policy, so no head is selected.")
        digits = head_sets.digits_of(context, heads)
        shown = HeadSet(digits, str(query.get("origin", ""))[:1000], digits)
        if same and digits == remembered.digits and shown.word in ("", origin_word(origin_of(context, remembered))):
            shown = remembered  # it also knows what the set was before it was changed by hand
    else:
        shown = head_sets.opened(context, kept, found, measure)
    compared = untrusted.as_id(query.get("comparison"))
    context.store.follow(compared)
    if compared and compared not in {one.id for one in comparison.choices(context)}:
        notes.append("The comparison of this link is not in this store, so another is shown.")
    tab = query.get("tab", "heads")
    return Screen([found, episode], shown, kept, measure, tab if tab in untrusted.STEPS else "heads", tuple(notes))


def policy_of(context: Context, query: Mapping[str, str]) -> str:
    """The key of the policy to use: the link's where it can be used here, else the one in use."""
    wanted = untrusted.as_id(query.get("policy"))
    return wanted if wanted and context.policies.usable(wanted) else context.policies.key


def header_of(context: Context, opened: object, chosen: HeadSet, measure: str, notes: tuple[str, ...] = ()) -> Opened:
    """What the header says, and what the address should. notes: of `restore`."""
    demonstrations_id, episode = untrusted.as_opened(opened)
    card = demonstrations.card(context, demonstrations_id) if demonstrations_id else None
    title = f"{card.title.replace('_', ' ').capitalize()}, {len(card.frames)} episodes" if card else ""
    try:
        policy = context.size.name
    except SteeringError:
        policy = "missing"
    heads = head_sets.heads_of(context, chosen.digits or "")
    origin = origin_of(context, chosen)
    shown = measures.shown(context, demonstrations_id, measure)  # the set may not have been scored by the one asked for
    query = {
        "policy": context.policies.key,
        "demonstrations": demonstrations_id,
        "metric": shown.key if shown else "",
        "heads": chosen.digits or NO_HEADS if heads else NO_HEADS,
        "origin": origin_word(origin) if heads else "",
        "episode": str(episode) if episode else "",
    }
    return Opened(
        policy,
        title,
        len(heads),
        results.last_run(context),
        query,
        notes,
        origin=origin_words(origin) if heads else "",
        shared=_shared(context, demonstrations_id, episode, heads, measure),
        elsewhere=_elsewhere(origin, demonstrations_id) if heads else "",
        remark=_remark(origin, demonstrations_id) if heads else "",
        account=asking().name if offers_accounts() else None,
    )


def _shared(context: Context, demonstrations_id: str, episode: int, heads: Sequence[Head], measure: str) -> str:
    """What the set shares by the measure shown, and over the open episode where its attention is known."""
    if not demonstrations_id or not heads:
        return ""
    found = attention(context, demonstrations_id, episode)
    mass = None if found is None else found[1].mass
    return set_sentence(set_facts(heads, measures.relevance(context, demonstrations_id, measure), mass))


def _elsewhere(origin: Origin | None, demonstrations_id: str) -> str:
    """What people call the demonstrations that a set was chosen on, where they are not those that are open."""
    known = origin is not None and origin.demonstrations
    return demonstrations_words(origin) if origin and known and origin.demonstrations != demonstrations_id else ""


def _remark(origin: Origin | None, demonstrations_id: str) -> str:
    """What is to be known of a set that was not chosen on what is open; empty where it was."""
    if origin is not None and origin.demonstrations == demonstrations_id:
        return ""
    return pipeline.origin_notice(origin, demonstrations_id)
