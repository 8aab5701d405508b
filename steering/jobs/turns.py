"""Whose job is next, and about when: parties take turns, and the one that was served longest ago comes first.

A party is a visitor, or the address of visitors who came within a day, so that many invented visitors of one address
take one turn. How long a job takes is the median of the last of its kind here, or USUAL_S. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

USUAL_S = {
    "finetune": 240.0,
    "evaluate": 120.0,
    "operate": 120.0,
    "sweep_strength": 300.0,
    "rollout": 60.0,
    "record": 60.0,
    "find_heads": 60.0,
    "open_loop": 60.0,
    "head_change": 60.0,
    "import_upload": 30.0,
    "package_policy": 10.0,
    "trust": 30.0,
}
"""Seconds of a job of which none has run here yet; OTHERS_S for the rest."""
OTHERS_S = 15.0


@dataclass(frozen=True)
class Waiting:
    """A queued job. created_s: seconds since the epoch; expected_s: how long it takes, about."""

    id: str
    party: str
    created_s: float
    expected_s: float = OTHERS_S


def in_turn(waiting: Iterable[Waiting], served_s: Mapping[str, float]) -> list[Waiting]:
    """The jobs in the order in which they run. served_s: party -> when a job of theirs began last."""
    queues: dict[str, list[Waiting]] = {}
    for job in sorted(waiting, key=lambda one: one.created_s):
        queues.setdefault(job.party, []).append(job)
    last: dict[str, tuple[int, float]] = {party: (0, served_s.get(party, 0.0)) for party in queues}
    found: list[Waiting] = []
    while queues:
        party = min(queues, key=lambda one: (last[one], queues[one][0].created_s))
        found.append(queues[party].pop(0))
        last[party] = (1, float(len(found)))  # after everybody who was not served in this round
        if not queues[party]:
            del queues[party]
    return found


def starts(order: Sequence[Waiting], running_s: float) -> dict[str, tuple[int, float]]:
    """Job -> its place, 1 for the next, and seconds until it starts. running_s: left of what runs now."""
    found, at_s = {}, running_s
    for place, job in enumerate(order, 1):
        found[job.id] = (place, at_s)
        at_s += job.expected_s
    return found


def expected(function: str, seconds: Sequence[float]) -> float:
    """How long a job takes, about. seconds: what the last of its kind took."""
    known = sorted(seconds)
    return known[len(known) // 2] if known else USUAL_S.get(function, OTHERS_S)
