"""A job is stopped, started again and dismissed by its owner alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.service import Workbench
from steering.jobs.client import Jobs
from steering.store import Store

ADA, EVE = "a" * 16, "e" * 16


@pytest.fixture
def queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Workbench, str]]:
    """A job of ADA that waits, in a queue that no worker serves."""
    monkeypatch.setattr(Jobs, "_start", lambda self, worker: None)
    store = Store(tmp_path)
    jobs = Jobs(store)
    yield Workbench(store, jobs), jobs.submit("record", owner=ADA, task="pick_cube", count=1)
    jobs.close()


def test_only_the_owner_stops_a_job(queued: tuple[Workbench, str]) -> None:
    bench, job = queued
    bench.stop(EVE, job)
    assert bench.jobs.status(job).state == "queued"
    bench.stop(ADA, job)
    assert bench.jobs.status(job).state == "cancelled"


def test_only_the_owner_starts_a_job_again_and_only_an_ended_one(queued: tuple[Workbench, str]) -> None:
    bench, job = queued
    bench.again(ADA, job)
    assert len(bench.jobs.recent()) == 1
    bench.stop(ADA, job)
    bench.again(EVE, job)
    assert len(bench.jobs.recent()) == 1
    bench.again(ADA, job)
    assert [one.owner for one in bench.jobs.active()] == [ADA]


def test_only_the_owner_dismisses_a_failure(queued: tuple[Workbench, str]) -> None:
    bench, job = queued
    bench.dismiss(EVE, job)
    assert not bench.work(ADA)[0].dismissed
    bench.dismiss(ADA, job)
    assert bench.work(ADA)[0].dismissed
