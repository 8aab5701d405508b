"""Whose job is next, about when, and what one visitor or one address may take of the queue."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from steering.errors import InputError
from steering.jobs import turns
from steering.jobs.places import MAX_QUEUED, SLICE_S
from steering.jobs.queue import SIDE, Queue
from steering.jobs.turns import Waiting
from steering.progress import Report
from steering.public import STRANGERS, SWITCH, VARIABLES

from .rows import add, change


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setenv(SWITCH, "1")
    return Queue(tmp_path)


def test_parties_take_turns_and_the_one_served_longest_ago_is_first() -> None:
    waiting = [Waiting(f"{party}{n}", party, n + 10 * (party == "b")) for party in "ab" for n in range(3)]
    waiting.append(Waiting("c0", "c", 30))
    order = [job.id for job in turns.in_turn(waiting, {"a": 5.0, "b": 3.0})]
    assert order == ["c0", "b0", "a0", "b1", "a1", "b2", "a2"]


def test_the_queue_claims_in_the_order_that_it_shows(queue: Queue) -> None:
    jobs = [add(queue, owner, n) for owner in ("ann", "ben", "cas") for n in range(3)]
    shown = {job.position: job.id for job in queue.list()}
    assert sorted(shown) == list(range(1, len(jobs) + 1))
    claimed = []
    while job := queue.claim():
        claimed.append(job.id)
        queue.end(job.id, "done")
        time.sleep(0.002)
    assert claimed == [shown[place] for place in sorted(shown)]


def test_a_visitor_sees_about_when_it_starts(queue: Queue) -> None:
    first, second, third = add(queue, "ann"), add(queue, "ben"), add(queue, "cas", function="finetune")
    queue.claim()
    queue.report(first, Report(0.5, "Scene 5", 40.0))
    assert (queue.status(second).position, queue.status(second).starts_in_s) == (1, 40.0)
    assert (queue.status(third).position, queue.status(third).starts_in_s) == (2, 40.0 + turns.USUAL_S["evaluate"])
    assert (queue.status(first).position, queue.status(first).starts_in_s) == (0, None)
    now = time.time()
    change(queue, first, state="done", started_s=now - 11.0, ended_s=now)
    assert queue.status(third).starts_in_s == pytest.approx(11.0, abs=0.1), "as long as the last of its kind took"


def test_invented_visitors_of_one_address_take_one_turn_and_leave_room(queue: Queue) -> None:
    """Sixteen owners with four jobs each once filled all 64 places."""
    taken = 0
    with pytest.raises(InputError, match="at your address"):
        for owner in range(16):
            for n in range(4):
                add(queue, f"{owner:016x}", n, party="@home")
                taken += 1
    assert taken == STRANGERS.address_places < MAX_QUEUED
    guest = add(queue, "guest")
    claimed = [job.id for job in (queue.claim(), queue.claim()) if job]
    assert guest in claimed, "one turn for all of them, whoever they say they are"


def test_a_full_queue_says_when_a_place_is_free(queue: Queue) -> None:
    for n in range(MAX_QUEUED):
        add(queue, f"visitor{n}")
    running = queue.claim()
    assert running is not None
    queue.report(running.id, Report(0.5, "Scene 5", 240.0))
    with pytest.raises(InputError, match="64 jobs .* free in about 4 min"):
        add(queue, "late")


def test_minutes_of_a_day_are_counted(queue: Queue) -> None:
    job, now = add(queue, "ann"), time.time()
    change(queue, job, state="done", started_s=now - 60 * STRANGERS.minutes - 1, ended_s=now)
    with pytest.raises(InputError, match="120 minutes in the last 24 hours"):
        add(queue, "ann", 1)
    with pytest.raises(InputError, match="24 hours"):
        add(queue, "ann-laboratory", 1)
    add(queue, "ben")
    change(queue, job, started_s=now - 90_000, ended_s=now - 80_000)
    add(queue, "ann", 1)


def test_minutes_before_a_pause_count_and_those_of_waiting_do_not(queue: Queue) -> None:
    job, minute = add(queue, "ann", function="finetune", resumable=True), 60.0
    queue.claim()
    change(queue, job, started_s=time.time() - (STRANGERS.minutes - 1) * minute)
    queue.pause(job)
    change(queue, job, started_s=time.time() - 600 * minute)
    add(queue, "ann", 1)
    change(queue, job, state="running", started_s=time.time() - 2 * minute)
    with pytest.raises(InputError, match="121 minutes"):
        add(queue, "ann", 2)


def test_limits_come_from_the_environment_and_a_wrong_one_is_said(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLES["places"], "1")
    add(queue, "ann")
    with pytest.raises(InputError, match="1 is the most"):
        add(queue, "ann", 1)
    monkeypatch.setenv(VARIABLES["places"], "inf")
    add(queue, "ann", 1)
    for wrong in ("many", "-1", "0", "nan"):
        monkeypatch.setenv(VARIABLES["minutes"], wrong)
        with pytest.raises(InputError, match="STEERING_MINUTES"):
            add(queue, "ann", 2)


def test_short_work_of_others_never_waits_behind_a_long_one(queue: Queue) -> None:
    long = add(queue, "ann", function="finetune", resumable=True)
    claimed = queue.claim()
    assert claimed is not None and claimed.id == long
    short = add(queue, "ben", function="attention", brief=True)
    assert queue.waits_for(SIDE)
    assert (queue.status(short).position, queue.status(short).starts_in_s) == (1, 0.0)
    beside = queue.claim(SIDE)
    assert beside is not None and beside.id == short


def test_a_long_finetune_gives_way_to_somebody_else_and_goes_on_after(queue: Queue) -> None:
    long = add(queue, "ann", function="finetune", resumable=True)
    queue.claim()
    change(queue, long, started_s=time.time() - SLICE_S - 1)
    assert not queue.gives_way(long), "nobody else waits"
    waits = add(queue, "ben")
    assert queue.gives_way(long)
    assert queue.status(waits).starts_in_s == 5.0, "soon, however long the other one takes"
    for _ in range(5):  # often enough to be given up, were it a death of the worker
        queue.pause(long)
        assert queue.status(long).state == "queued"
        claimed = queue.claim()
        assert claimed is not None
        if claimed.id != long:
            queue.end(claimed.id, "done")
            time.sleep(0.002)
    change(queue, long, state="running")
    queue.request_cancel(long)
    queue.pause(long)
    assert queue.status(long).state == "running", "one that was stopped is not paused"
    assert queue.status(waits).state == "done"


def test_what_cannot_go_on_does_not_give_way(queue: Queue) -> None:
    long = add(queue, "ann")
    queue.claim()
    change(queue, long, started_s=time.time() - SLICE_S - 1)
    add(queue, "ben")
    assert not queue.gives_way(long)
