"""Places in the queue: what a visitor may take of it, who is next, and about when. Asked of an open transaction."""

from __future__ import annotations

import sqlite3
import time

from steering.errors import InputError
from steering.jobs import turns
from steering.public import Quota

MAX_QUEUED = 64
DAY_S = 24 * 3600.0
SLICE_S = 300.0
"""A job that can go on from a checkpoint gives way after so long, where somebody else waits."""

_LONG_RUNS = "EXISTS (SELECT 1 FROM jobs WHERE state='running' AND worker='main' AND brief=0)"
_WAITING = "SELECT id, party, created_s, function FROM jobs WHERE state='queued'"
BESIDE = f"{_WAITING} AND brief=1 AND {_LONG_RUNS}"
"""Query of what the side worker may take now."""


def check(db: sqlite3.Connection, most: Quota, owner: str, visitor: str, party: str) -> None:
    """Raises InputError where an owner, their visitor or party, or the queue has no room for another job."""
    unfinished = "state IN ('queued', 'running')"
    own, of_party, everyone = db.execute(
        f"SELECT count(*) FILTER (WHERE owner=?), count(*) FILTER (WHERE party=?), count(*) FROM jobs "
        f"WHERE {unfinished}",
        (owner, party),
    ).fetchone()
    if own >= most.places:
        raise InputError(
            f"You have {own} jobs waiting or running, and {most.places:g} is the most. "
            "Wait until one has ended, or stop one."
        )
    if party != visitor and of_party >= most.address_places:
        raise InputError(
            f"{of_party} jobs of new visitors at your address wait or run already, and {most.address_places:g} is the "
            "most. Wait until one has ended; visitors who came a day ago have places of their own."
        )
    worked = (
        "SELECT coalesce(sum(worked_s + "
        "CASE state WHEN 'queued' THEN 0 ELSE coalesce(ended_s, :now) - started_s END), 0) "
        "FROM jobs WHERE started_s > :since AND "
    )
    now = {"now": time.time(), "since": time.time() - DAY_S, "visitor": visitor, "party": party}
    of_visitor = db.execute(worked + "(owner=:visitor OR owner LIKE :visitor || '-%')", now).fetchone()[0] / 60
    at_address = db.execute(worked + "party=:party", now).fetchone()[0] / 60 if party != visitor else 0.0
    if of_visitor >= most.minutes or at_address >= most.address_minutes:
        took, bound = (of_visitor, most.minutes) if of_visitor >= most.minutes else (at_address, most.address_minutes)
        raise InputError(
            f"Your work took {took:.0f} minutes in the last 24 hours, and {bound:.0f} is the most. Come back tomorrow, "
            "or run the workbench on a machine of your own: make app."
        )
    if everyone >= MAX_QUEUED:
        _, left_s = _beside_now(db)
        free_s = max(left_s, 60.0)
        raise InputError(
            f"{everyone} jobs wait or run here, the most at a time. The next place is free in about "
            f"{free_s / 60:.0f} min; try again then."
        )


def in_turn(db: sqlite3.Connection, *, beside: bool, brief_too: bool = True) -> list[turns.Waiting]:
    """The queued jobs in turn: all, the brief ones beside a long one, or without the brief ones."""
    rows = db.execute(BESIDE if beside else _WAITING + ("" if brief_too else " AND brief=0")).fetchall()
    served = dict(db.execute("SELECT party, max(started_s) FROM jobs WHERE started_s IS NOT NULL GROUP BY party"))
    usual = {name: _expected_s(db, name) for name in {row["function"] for row in rows}}
    waiting = [turns.Waiting(row["id"], row["party"], row["created_s"], usual[row["function"]]) for row in rows]
    return turns.in_turn(waiting, served)


def _expected_s(db: sqlite3.Connection, function: str) -> float:
    took = db.execute(
        "SELECT ended_s - started_s FROM jobs WHERE state='done' AND function=? ORDER BY ended_s DESC LIMIT 20",
        (function,),
    )
    return turns.expected(function, [row[0] for row in took])


def _beside_now(db: sqlite3.Connection) -> tuple[bool, float]:
    """Whether a long job runs on the main worker, and seconds until what runs there ends or gives way."""
    row = db.execute("SELECT * FROM jobs WHERE state='running' AND worker='main'").fetchone()
    if row is None:
        return False, 0.0
    ran_s = time.time() - row["started_s"]
    left_s = row["left_s"] if row["left_s"] is not None else max(_expected_s(db, row["function"]) - ran_s, 5.0)
    if row["resumable"] and not row["brief"]:
        left_s = min(left_s, max(SLICE_S - ran_s, 5.0))
    return not row["brief"], left_s


def of_all(db: sqlite3.Connection) -> dict[str, tuple[int, float]]:
    """Queued job -> its place and seconds until it starts, about."""
    long_runs, left_s = _beside_now(db)
    found = turns.starts(in_turn(db, beside=False, brief_too=not long_runs), left_s)
    return found | (turns.starts(in_turn(db, beside=True), 0.0) if long_runs else {})
