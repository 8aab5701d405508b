"""The link that restores a screen: its parameters, and reading them, which come from anywhere and are range-checked.

policy, demonstrations, metric (a measure's key), heads (hexadecimal digits, or `none`), episode and tab are read here;
frame and head (the one shown) concern the browser alone and are read, within range, by static/link.js.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app import session
from app.service import Workbench
from app.views.header import Opened
from steering.errors import SteeringError
from steering.selection.rules import PAPER_STACKS
from steering.types import PAPER_SET_SIZE

NO_HEADS = "none"


@dataclass(frozen=True)
class Screen:
    """What a page shows. opened: [demonstrations id, episode]; notes: what of the link could not be restored."""

    opened: list[Any]
    heads: str
    measure: str
    tab: str
    notes: tuple[str, ...]


def restore(bench: Workbench, query: Mapping[str, str], opened: Any, digits: Any, measure: Any) -> Screen:
    """The screen of a link, and of the browser's memory (opened, digits, measure) where the link says nothing."""
    notes = []
    demonstrations_id, episode = session.as_opened(opened)
    wanted = session.as_id(query.get("demonstrations")) or demonstrations_id
    found = bench.open_set(wanted)
    if query.get("demonstrations") and found != wanted:
        notes.append("The demonstrations of this link are not in this store, so the first set is shown instead.")
    if "episode" in query and found == wanted:
        episode = session.whole(query["episode"], 0, 100_000, 0)
    elif found != demonstrations_id:
        episode = 0
    if found:
        episode = min(episode, len(bench.card(found).frames) - 1)
    measure = session.as_id(query.get("metric")) or session.as_id(measure)
    stored = measure in {one.key for one in bench.measures(found)}
    if not stored and not bench.laboratory.answers(found, measure):
        if query.get("metric"):
            notes.append("These demonstrations have no scores by the measure of this link, so another is shown.")
        measure = ""
    policy = query.get("policy")
    if policy and policy != bench.policies.key:
        notes.append(
            f"The link was made for the policy {policy[:80]}, which is not open on this server; this page uses "
            f"{bench.policy_name}. The Policy chip opens others."
        )
    given = session.as_id(query.get("heads"))
    if given:
        heads = bench.heads(given)
        if not heads and given != NO_HEADS:
            notes.append("The head set of this link does not fit this policy, so no head is selected.")
        digits = bench.digits(heads)
    elif digits is None and found and bench.relevance_id(found, measure):  # a newcomer starts with the paper's rule
        digits = bench.digits(bench.auto_select(found, PAPER_SET_SIZE, PAPER_STACKS, measure))
    else:
        digits = bench.digits(bench.heads(session.as_id(digits)))
    compared = session.as_id(query.get("comparison"))
    if compared and compared not in {one.id for one in bench.results.choices()}:
        notes.append("The comparison of this link is not in this store, so another is shown.")
    tab = query.get("tab", "heads")
    return Screen([found, episode], digits, measure, tab if tab in session.STEPS else "heads", tuple(notes))


def policy_of(bench: Workbench, query: Mapping[str, str]) -> str:
    """The key of the policy to use: the link's where it can be used here, else the one in use."""
    wanted = session.as_id(query.get("policy"))
    return wanted if wanted and bench.policies.usable(wanted) else bench.policies.key


def header_of(bench: Workbench, opened: Any, digits: str, measure: str, notes: tuple[str, ...] = ()) -> Opened:
    """What the header says, and what the address should. notes: of `restore`."""
    demonstrations_id, episode = session.as_opened(opened)
    card = bench.card(demonstrations_id) if demonstrations_id else None
    title = f"{card.title.replace('_', ' ').capitalize()}, {len(card.frames)} episodes" if card else ""
    try:
        policy = bench.size.name
    except SteeringError:
        policy = "missing"
    heads = bench.heads(digits)
    shown = bench.measure_shown(demonstrations_id, measure)  # the set may not have been scored by the one asked for
    query = {
        "policy": bench.policies.key,
        "demonstrations": demonstrations_id,
        "metric": shown.key if shown else "",
        "heads": digits if heads else NO_HEADS,
        "episode": str(episode) if episode else "",
    }
    return Opened(policy, title, len(heads), bench.results.last_run(), query, notes)
