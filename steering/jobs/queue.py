"""The queue of jobs: one SQLite file in the store, in WAL mode, shared by the page's process and the workers'.

Jobs of different parties take turns (`steering.jobs.turns`). A long job keeps the main worker; brief ones then go on
the side worker, and one that can go on from a checkpoint gives way when it has run long and somebody else waits. Each
call opens its own connection (0.2 ms), so any thread may call. Progress history is thinned to at most MAX_POINTS points
a job; ended jobs are forgotten after KEEP_S.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steering.errors import InputError, NotFound
from steering.jobs import index, places
from steering.progress import Report
from steering.public import quota

MAIN, SIDE = "main", "side"
WORKERS = (MAIN, SIDE)
STATES = ("queued", "running", "done", "failed", "cancelled")
MAX_POINTS = 600
MAX_ATTEMPTS = 3
KEEP_S = 7 * 24 * 3600.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, function TEXT NOT NULL, arguments TEXT NOT NULL,
    resumable INTEGER NOT NULL, state TEXT NOT NULL, created_s REAL NOT NULL, started_s REAL, ended_s REAL,
    fraction REAL NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '', left_s REAL, result TEXT, error TEXT,
    cancel_s REAL, attempts INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, created_s);
CREATE TABLE IF NOT EXISTS points (number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, numbers TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS by_job ON points (job, number);
"""
_ADDED = {
    "brief": "INTEGER NOT NULL DEFAULT 0",
    "worker": "TEXT NOT NULL DEFAULT 'main'",
    "party": "TEXT NOT NULL DEFAULT ''",
    "worked_s": "REAL NOT NULL DEFAULT 0",
}


@dataclass(frozen=True)
class JobStatus:
    """A job as it stands. Times are seconds since the epoch; `result` is an artefact id, `error` words for people.

    position: 1 for the next job to run, 0 when it is not waiting; starts_in_s: about how long it waits, None when it
    does not. metrics: reported numbers, oldest first, thinned.
    """

    id: str
    owner: str
    function: str
    arguments: Mapping[str, Any]
    state: str
    position: int
    fraction: float
    message: str
    left_s: float | None
    metrics: tuple[Mapping[str, float], ...]
    result: str | None
    error: str | None
    created_s: float
    started_s: float | None
    ended_s: float | None
    cancel_requested: bool
    starts_in_s: float | None = None

    @property
    def visitor(self) -> str:
        """Whose the result becomes: the owner, without what tells apart the lists of jobs of one."""
        return self.owner.partition("-")[0]

    @property
    def ended(self) -> bool:
        """Whether the job is done, failed or cancelled."""
        return self.state not in ("queued", "running")


_between_forks: list[AbstractContextManager[object]] = [nullcontext()]


def fork_between_transactions() -> None:
    """Let this process, which has threads, fork only while none of them is inside SQLite: its locks stay held in a fork
    for ever. Transactions then wait for each other.
    """
    if not isinstance(_between_forks[0], nullcontext):
        return
    lock = _between_forks[0] = threading.RLock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


class Queue:
    """Jobs in `root/jobs.sqlite`. Every method is one transaction. notice: what became of an earlier one, or empty."""

    def __init__(self, root: Path) -> None:
        self._path = root / "jobs.sqlite"
        self.notice = index.WORDS if index.set_aside_if_damaged(self._path) else ""
        if self.notice:
            print(self.notice, file=sys.stderr, flush=True)
        self._prepare()

    def _prepare(self) -> None:
        with self._transaction() as db:
            db.executescript("PRAGMA journal_mode=WAL;" + _SCHEMA)
        with self._transaction() as db:  # a store of an earlier version has the schema without these
            present = {row["name"] for row in db.execute("PRAGMA table_info(jobs)")}
            for name in _ADDED.keys() - present:
                db.execute(f"ALTER TABLE jobs ADD COLUMN {name} {_ADDED[name]}")

    def add(
        self,
        function: str,
        arguments: Mapping[str, Any],
        *,
        owner: str,
        resumable: bool,
        brief: bool = False,
        party: str = "",
    ) -> str:
        """Put a job at the end and return its id. The same unfinished job of the same owner is not added twice.

        brief: whether it may run beside a long one. party: whose turns it takes, the owner's own unless given. Raises
        InputError beyond what `steering.public.quota` gives, and where the queue is full.
        """
        text = json.dumps(dict(arguments), sort_keys=True)
        waiting = "state IN ('queued', 'running')"
        with self._transaction() as db:
            same = db.execute(
                f"SELECT id FROM jobs WHERE {waiting} AND cancel_s IS NULL AND owner=? AND function=? AND arguments=?",
                (owner, function, text),
            ).fetchone()
            if same:
                return str(same["id"])
            visitor = owner.partition("-")[0]
            places.check(db, quota(), owner, visitor, party or visitor)
            job_id = uuid.uuid4().hex
            db.execute(
                "INSERT INTO jobs (id, owner, function, arguments, resumable, brief, state, created_s, party) "
                "VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?)",
                (job_id, owner, function, text, resumable, brief, time.time(), party or visitor),
            )
        return job_id

    def claim(self, worker: str = MAIN) -> JobStatus | None:
        """Mark the next queued job as running and return it. The party that was served longest ago comes first.

        The side worker takes brief jobs, and only while the main one runs a long one.
        """
        with self._transaction() as db:
            order = places.in_turn(db, beside=worker == SIDE)
            if not order:
                return None
            db.execute(
                "UPDATE jobs SET state='running', started_s=?, message='Starting', attempts=attempts+1, worker=? "
                "WHERE id=?",
                (time.time(), worker, order[0].id),
            )
        return self.status(order[0].id)

    def waits_for(self, worker: str) -> bool:
        """Whether a job waits or runs that this worker would take."""
        active = "SELECT 1 FROM jobs WHERE state IN ('queued', 'running') LIMIT 1"
        with self._transaction("DEFERRED") as db:
            return db.execute(active if worker == MAIN else places.BESIDE).fetchone() is not None

    def gives_way(self, job_id: str, slice_s: float = places.SLICE_S) -> bool:
        """Whether a running job should pause: it can go on from a checkpoint, has run long, and somebody else waits."""
        with self._transaction("DEFERRED") as db:
            query = (
                "SELECT 1 FROM jobs WHERE id=? AND resumable=1 AND brief=0 AND worker='main' AND started_s < ? AND "
                "EXISTS (SELECT 1 FROM jobs AS other WHERE other.state='queued' AND other.party != jobs.party "
                "AND other.brief=0)"
            )
            return db.execute(query, (job_id, time.time() - slice_s)).fetchone() is not None

    def pause(self, job_id: str) -> None:
        """Put a running job that has left a checkpoint back into the queue, where nobody has stopped it."""
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET state='queued', left_s=NULL, attempts=attempts-1, worked_s=worked_s+?-started_s, "
                "message='Paused for somebody else; goes on from here' "
                "WHERE id=? AND state='running' AND cancel_s IS NULL",
                (time.time(), job_id),
            )

    def report(self, job_id: str, report: Report) -> None:
        """Store a progress report of a running job."""
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET fraction=?, message=?, left_s=? WHERE id=? AND state='running'",
                (report.fraction, report.message, report.left_s, job_id),
            )
            if report.metrics:
                numbers = {name: float(value) for name, value in report.metrics.items()}
                db.execute("INSERT INTO points (job, numbers) VALUES (?, ?)", (job_id, json.dumps(numbers)))
                count = db.execute("SELECT count(*) FROM points WHERE job=?", (job_id,)).fetchone()[0]
                if count > MAX_POINTS:  # drop every other point, but keep the newest
                    db.execute(
                        "DELETE FROM points WHERE number IN (SELECT number FROM (SELECT number, row_number() OVER "
                        "(ORDER BY number DESC) AS place FROM points WHERE job=?) WHERE place % 2 = 0)",
                        (job_id,),
                    )

    def end(self, job_id: str, state: str, *, result: str | None = None, error: str | None = None) -> None:
        """Mark a running job as done, failed or cancelled."""
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET state=?, result=?, error=?, ended_s=?, left_s=NULL, "
                "fraction=CASE WHEN ?='done' THEN 1 ELSE fraction END WHERE id=? AND state='running'",
                (state, result, error, time.time(), state, job_id),
            )

    def request_cancel(self, job_id: str) -> None:
        """Cancel a queued job at once; ask a running one to stop."""
        now_s = time.time()
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET state='cancelled', ended_s=?, cancel_s=?, message='Stopped before it began' "
                "WHERE id=? AND state='queued'",
                (now_s, now_s, job_id),
            )
            db.execute(
                "UPDATE jobs SET cancel_s=?, message='Stopping' WHERE id=? AND state='running' AND cancel_s IS NULL",
                (now_s, job_id),
            )

    def cancel_requested(self, job_id: str) -> bool:
        """Whether somebody asked the job to stop."""
        with self._transaction("DEFERRED") as db:
            row = db.execute("SELECT cancel_s FROM jobs WHERE id=?", (job_id,)).fetchone()
        return row is not None and row["cancel_s"] is not None

    def overdue_cancel(self, patience_s: float, worker: str = MAIN) -> bool:
        """Whether this worker was asked to stop its job more than `patience_s` ago and still runs it."""
        with self._transaction("DEFERRED") as db:
            query = "SELECT 1 FROM jobs WHERE state='running' AND worker=? AND cancel_s < ?"
            return db.execute(query, (worker, time.time() - patience_s)).fetchone() is not None

    def release_orphans(self, reason: str, worker: str = MAIN) -> None:
        """Settle the running jobs of a worker that is gone. Call only while that worker cannot be running.

        Stopped ones end as cancelled, resumable ones go back into the queue up to MAX_ATTEMPTS times, others fail
        with `reason`.
        """
        now_s = time.time()
        orphans = "WHERE state='running' AND worker=?"
        with self._transaction() as db:
            db.execute(f"UPDATE jobs SET state='cancelled', ended_s=? {orphans} AND cancel_s>0", (now_s, worker))
            db.execute(
                "UPDATE jobs SET state='queued', message='Resuming from the last checkpoint' "
                f"{orphans} AND resumable=1 AND attempts < ?",
                (worker, MAX_ATTEMPTS),
            )
            db.execute(
                f"UPDATE jobs SET state='failed', error=?, ended_s=?, left_s=NULL {orphans}", (reason, now_s, worker)
            )

    def fail_waiting(self, reason: str) -> None:
        """Fail every queued job with `reason`: nothing can run them."""
        with self._transaction() as db:
            query = "UPDATE jobs SET state='failed', error=?, ended_s=? WHERE state='queued'"
            db.execute(query, (reason, time.time()))

    def forget_old(self, keep_s: float = KEEP_S) -> int:
        """Delete jobs that ended more than `keep_s` ago, and how many; their artefacts stay."""
        with self._transaction() as db:
            count = db.execute("DELETE FROM jobs WHERE ended_s < ?", (time.time() - keep_s,)).rowcount
            db.execute("DELETE FROM points WHERE job NOT IN (SELECT id FROM jobs)")
        return count

    def move_times(self, by_s: float) -> None:
        """Move every time along with a clock that has jumped (`steering.jobs.clock`)."""
        columns = ("created_s", "started_s", "ended_s", "cancel_s")
        with self._transaction() as db:
            db.execute(f"UPDATE jobs SET {', '.join(f'{one}={one}+:by' for one in columns)}", {"by": by_s})

    def forget(self, visitor: str) -> None:
        """Delete a visitor's ended jobs; their artefacts stay."""
        with self._transaction() as db:
            db.execute(
                "DELETE FROM jobs WHERE ended_s IS NOT NULL AND (owner=? OR owner LIKE ?)", (visitor, f"{visitor}-%")
            )
            db.execute("DELETE FROM points WHERE job NOT IN (SELECT id FROM jobs)")

    def status(self, job_id: str) -> JobStatus:
        """The job as it stands; NotFound when there is none of that id."""
        with self._transaction("DEFERRED") as db:
            row = db.execute("SELECT * FROM jobs WHERE id=?", (job_id,)).fetchone()
            if row is None:
                raise NotFound("There is no such job: it ended more than a week ago, or belongs to another workbench.")
            return _status(db, row, places.of_all(db) if row["state"] == "queued" else {})

    def counts(self) -> dict[str, int]:
        """State -> how many jobs are in it."""
        with self._transaction("DEFERRED") as db:
            found = dict(db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
        return {state: found.get(state, 0) for state in STATES}

    def list(self, *, owner: str | None = None, active: bool = False, limit: int = 50) -> list[JobStatus]:
        """Jobs, newest first; of one owner or all; queued and running ones only when `active`."""
        where = ["1"] + ["owner=:owner"] * (owner is not None) + ["state IN ('queued', 'running')"] * active
        query = f"SELECT * FROM jobs WHERE {' AND '.join(where)} ORDER BY created_s DESC LIMIT :limit"
        with self._transaction("DEFERRED") as db:
            rows = db.execute(query, {"owner": owner, "limit": limit}).fetchall()
            found = places.of_all(db) if any(row["state"] == "queued" for row in rows) else {}
            return [_status(db, row, found) for row in rows]

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        with _between_forks[0]:
            yield from self._in_transaction(kind)

    def _in_transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        db = None
        try:
            db = sqlite3.connect(self._path, timeout=30, isolation_level=None)
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(f"BEGIN {kind}")
            yield db
            if db.in_transaction:
                db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if not index.is_damage(error):
                raise index.worded(error, self._path) or error from None
            if index.set_aside_if_damaged(self._path):
                self._prepare()
            raise InputError(index.WORDS) from None
        finally:
            if db is not None:
                db.close()


def _status(db: sqlite3.Connection, row: sqlite3.Row, where: Mapping[str, tuple[int, float]]) -> JobStatus:
    place, starts_in_s = where.get(row["id"], (0, None))
    points = db.execute("SELECT numbers FROM points WHERE job=? ORDER BY number", (row["id"],))
    return JobStatus(
        id=row["id"],
        owner=row["owner"],
        function=row["function"],
        arguments=json.loads(row["arguments"]),
        state=row["state"],
        position=place,
        fraction=row["fraction"],
        message=row["message"],
        left_s=row["left_s"],
        metrics=tuple(json.loads(point["numbers"]) for point in points),
        result=row["result"],
        error=row["error"],
        created_s=row["created_s"],
        started_s=row["started_s"],
        ended_s=row["ended_s"],
        cancel_requested=row["cancel_s"] is not None,
        starts_in_s=starts_in_s,
    )
