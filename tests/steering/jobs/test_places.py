"""What a queue has room for and when a job starts, at the boundaries and by hand."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from steering.errors import InputError
from steering.jobs import places, turns
from steering.jobs.queue import KEEP_S, MAIN, MAX_ATTEMPTS, MAX_POINTS, SIDE, Queue
from steering.jobs.turns import Waiting
from steering.progress import Report
from steering.public import Quota

from .rows import add, change

NOW_S = 1_000_000.0


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A queue at NOW_S, whatever the clock says."""
    monkeypatch.setattr(time, "time", lambda: NOW_S)
    return Queue(tmp_path)


def check(queue: Queue, most: Quota, owner: str = "ann", party: str = "ann") -> None:
    with queue._transaction("DEFERRED") as db:
        places.check(db, most, owner, "ann", party)


def bounds(places: float = 4, minutes: float = math.inf, address_places: float = math.inf) -> Quota:
    return Quota(places, minutes, math.inf, math.inf, math.inf, address_places)


def test_the_numbers_of_the_queue() -> None:
    assert (places.MAX_QUEUED, places.DAY_S, places.SLICE_S) == (64, 86_400, 300)
    assert (MAX_POINTS, MAX_ATTEMPTS, KEEP_S) == (600, 3, 7 * 86_400)


def test_places_are_full_when_as_many_wait_as_may(queue: Queue) -> None:
    for n in range(2):
        add(queue, "ann", n)
    check(queue, bounds(3))
    check(queue, bounds(1), owner="ben")
    with pytest.raises(InputError, match="You have 2 jobs .* and 2 is the most"):
        check(queue, bounds(2))
    add(queue, "ben", party="@home")
    check(queue, bounds(address_places=2), party="@home")
    check(queue, bounds(address_places=1))  # an old visitor has places of their own
    with pytest.raises(InputError, match="1 jobs of new visitors"):
        check(queue, bounds(address_places=1), party="@home")


def test_minutes_are_used_up_when_as_many_were_worked(queue: Queue) -> None:
    job = add(queue, "ann", party="@home")
    change(queue, job, state="done", started_s=NOW_S - 700, ended_s=NOW_S - 100)  # ten minutes
    check(queue, bounds(minutes=10.1))
    with pytest.raises(InputError, match="took 10 minutes in the last 24 hours, and 10 is"):
        check(queue, bounds(minutes=10))
    change(queue, job, worked_s=120)
    check(queue, bounds(minutes=12.1))
    with pytest.raises(InputError, match="took 12 minutes"):
        check(queue, bounds(minutes=12))
    change(queue, job, state="running", ended_s=None)
    with pytest.raises(InputError, match="took 14 minutes"):  # 700 s until now, and 120
        check(queue, bounds(minutes=13))
    change(queue, job, state="queued")
    check(queue, bounds(minutes=2.1))
    change(queue, job, owner="eve")  # somebody else at the address: 4 places each, 8 at the address, twice the minutes
    check(queue, bounds(4, 1.1, 8), party="@home")
    with pytest.raises(InputError, match="took 2 minutes in the last 24 hours, and 2 is"):
        check(queue, bounds(4, 1, 8), party="@home")
    check(queue, bounds(4, 1, 8))
    change(queue, job, owner="ann", started_s=NOW_S - places.DAY_S - 1)
    check(queue, bounds(minutes=1))


def test_a_full_queue_waits_for_what_runs_but_at_least_a_minute(queue: Queue) -> None:
    for n in range(places.MAX_QUEUED - 1):
        add(queue, f"v{n}")
    check(queue, bounds())
    add(queue, "last")
    with pytest.raises(InputError, match="64 jobs wait or run here.*free in about 1 min"):
        check(queue, bounds())
    queue.claim()
    with pytest.raises(InputError, match="free in about 2 min"):  # an evaluation takes 120 s
        check(queue, bounds())


def test_what_is_left_of_a_running_job(queue: Queue) -> None:
    def beside() -> tuple[bool, float]:
        with queue._transaction("DEFERRED") as db:
            return places._beside_now(db)

    assert beside() == (False, 0)
    job = add(queue)
    queue.claim()
    assert beside() == (True, turns.USUAL_S["evaluate"])
    change(queue, job, started_s=NOW_S - 100)
    assert beside() == (True, turns.USUAL_S["evaluate"] - 100)
    change(queue, job, started_s=NOW_S - 1000)
    assert beside() == (True, 5)  # longer than usual: soon
    change(queue, job, left_s=700)
    assert beside() == (True, 700)
    change(queue, job, resumable=1, started_s=NOW_S - 100)
    assert beside() == (True, places.SLICE_S - 100)
    change(queue, job, started_s=NOW_S - 1000)
    assert beside() == (True, 5)
    change(queue, job, left_s=3)
    assert beside() == (True, 3)
    change(queue, job, brief=1, left_s=700)
    assert beside() == (False, 700)


def test_a_kind_takes_as_long_as_the_median_of_its_last_twenty(queue: Queue) -> None:
    for n in range(21):
        job = add(queue, f"v{n}", function="trust")
        took_s = 1000 if n == 0 else n
        change(queue, job, state="done", started_s=NOW_S - 50 * (21 - n) - took_s, ended_s=NOW_S - 50 * (21 - n))
    with queue._transaction("DEFERRED") as db:
        assert places._expected_s(db, "trust") == 11
    assert turns.expected("trust", []) == 30 and turns.expected("?", []) == turns.OTHERS_S == 15
    assert turns.expected("trust", [9, 1, 5]) == 5 and turns.expected("trust", [1, 2]) == 2


def test_starts_add_up_and_parties_that_were_never_served_come_first() -> None:
    order = [Waiting("a", "x", 3, 10), Waiting("b", "y", 1, 20), Waiting("c", "x", 2)]
    assert turns.starts(order, 7) == {"a": (1, 7), "b": (2, 17), "c": (3, 37)}
    assert [one.id for one in turns.in_turn(order, {})] == ["b", "c", "a"]
    assert [one.id for one in turns.in_turn(order, {"y": 5})] == ["c", "b", "a"]
    assert turns.in_turn([], {}) == []


def test_brief_jobs_wait_for_the_side_worker_only_beside_a_long_one(queue: Queue) -> None:
    brief, long = add(queue, "ann", 0, brief=True), add(queue, "ben", 1)
    assert queue.claim(SIDE) is None and not queue.waits_for(SIDE) and queue.waits_for(MAIN)
    assert {job: queue.status(job).position for job in (brief, long)} == {brief: 1, long: 2}
    change(queue, brief, created_s=NOW_S + 1)
    claimed = queue.claim()
    assert claimed is not None and claimed.id == long
    last = add(queue, "cas", 2)
    assert (queue.status(brief).position, queue.status(brief).starts_in_s) == (1, 0)
    assert queue.status(last).position == 1  # of those that wait for the main worker
    beside = queue.claim(SIDE)
    assert beside is not None and beside.id == brief and queue.claim(SIDE) is None
    assert queue.status(long).position == 0 and queue.status(long).starts_in_s is None


def test_points_are_thinned_beyond_the_most_and_the_newest_stays(queue: Queue, monkeypatch) -> None:
    monkeypatch.setattr("steering.jobs.queue.MAX_POINTS", 6)
    job = add(queue)
    queue.claim()
    for step in range(6):
        queue.report(job, Report(0.1, "", None, {"step": step}))
    assert [point["step"] for point in queue.status(job).metrics] == [0, 1, 2, 3, 4, 5]
    queue.report(job, Report(0.1, "", None, {"step": 6}))
    assert [point["step"] for point in queue.status(job).metrics] == [0, 2, 4, 6]
    queue.report(job, Report(0.25, "words", 3.0))
    status = queue.status(job)
    assert len(status.metrics) == 4 and (status.fraction, status.message, status.left_s) == (0.25, "words", 3)


def test_stopping_and_forgetting(queue: Queue) -> None:
    waits, runs = add(queue, "ann", 0), add(queue, "ann", 1)
    change(queue, runs, state="running", started_s=NOW_S)
    assert not queue.cancel_requested(runs) and not queue.cancel_requested("none")
    queue.request_cancel(runs)
    queue.request_cancel(waits)
    assert queue.cancel_requested(runs) and queue.status(waits).state == "cancelled"
    assert not queue.overdue_cancel(0) and queue.overdue_cancel(-1) and not queue.overdue_cancel(-1, SIDE)
    assert queue.status(waits).ended and not queue.status(runs).ended
    change(queue, waits, ended_s=NOW_S - KEEP_S)
    assert queue.forget_old() == 0
    change(queue, waits, ended_s=NOW_S - KEEP_S - 1)
    assert queue.forget_old() == 1 and [job.id for job in queue.list()] == [runs]
    assert queue.list(active=True, owner="ben") == [] and queue.list(limit=0) == []
    queue.end(runs, "done", result="x")
    assert queue.status(runs).fraction == 1 and queue.list(active=True) == []
    assert queue.counts() == {"queued": 0, "running": 0, "done": 1, "failed": 0, "cancelled": 0}


def test_a_list_is_of_fifty_unless_told_and_the_same_job_is_queued_once(queue: Queue) -> None:
    for n in range(51):
        add(queue, f"v{n}")
    assert len(queue.list()) == 50 and len(queue.list(limit=51)) == 51
    assert add(queue, "v3") == add(queue, "v3") != add(queue, "v3", 1)


def test_a_visitor_is_the_owner_without_the_list(queue: Queue) -> None:
    job = add(queue, "ann-laboratory")
    assert queue.status(job).visitor == "ann"
    other = add(queue, "anna")
    for one in (job, other):
        change(queue, one, state="done", ended_s=NOW_S)
    queue.forget("ann")
    assert [one.owner for one in queue.list()] == ["anna"]
