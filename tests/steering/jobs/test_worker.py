"""A worker's reports, stops and ends, with a queue and a clock made for it; no process is started."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from steering.errors import Cancelled, InputError
from steering.jobs import client, worker
from steering.jobs.client import Jobs
from steering.jobs.queue import MAIN, SIDE
from steering.progress import Report
from steering.store import Store


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    now = SimpleNamespace(s=10.0)

    def sleep(seconds: float) -> None:
        now.s += seconds

    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: now.s, sleep=sleep))
    return now


def test_reports_with_numbers_are_all_kept_and_others_now_and_then(clock) -> None:
    kept: list[float] = []
    reporter = worker._Reporter(SimpleNamespace(report=lambda job, report: kept.append(report.fraction)), "job")  # type: ignore[arg-type]
    for at_s, fraction, metrics in (
        *((10, 0.0, {}), (10.1, 0.1, {}), (10.25, 0.2, {}), (10.3, 0.3, {"loss": 1.0})),
        *((10.375, 0.4, {}), (10.625, 0.5, {})),
    ):
        clock.s = at_s
        reporter(Report(fraction, "", None, metrics))
    assert kept == [0.0, 0.2, 0.3, 0.5]


def test_a_stop_is_asked_for_now_and_then_and_an_ending_at_once(clock) -> None:
    asked: list[str] = []
    answers = {"cancel": False, "way": False}
    queue = SimpleNamespace(
        cancel_requested=lambda job: asked.append("cancel") or answers["cancel"],
        gives_way=lambda job: asked.append("way") or answers["way"],
    )
    ending = SimpleNamespace(asked=False)
    check = worker._CancelCheck(queue, "job", ending)  # type: ignore[arg-type]
    assert not check() and asked == ["cancel", "way"]
    answers["way"] = True
    clock.s += 0.125
    assert not check() and len(asked) == 2
    clock.s += 0.125
    assert check() and len(asked) == 4
    assert check() and len(asked) == 4
    answers |= {"way": False, "cancel": True}
    clock.s += 1
    assert check()
    answers["cancel"] = False
    clock.s += 1
    assert not check()
    ending.asked = True
    assert check()


@pytest.mark.parametrize(("name", "loads"), [(MAIN, 1), (SIDE, 0)])
def test_it_serves_until_idle_and_loads_libraries_when_nothing_waits(clock, monkeypatch, name, loads) -> None:
    job, done, loaded, claims = SimpleNamespace(function="finetune"), [], [], []
    monkeypatch.setattr(worker, "_load_libraries", lambda: loaded.append(clock.s))
    ending = SimpleNamespace(asked=False, leaves_checkpoint=False)

    def run(store: object, queue: object, job: object, ending: Any) -> None:
        done.append((clock.s, ending.leaves_checkpoint))
        clock.s += 50

    def claim(asked: str) -> object:
        claims.append(asked)
        return job if len(claims) == 4 else None

    monkeypatch.setattr(worker, "run_job", run)
    worker.serve(None, SimpleNamespace(claim=claim), name, 2.0, ending)  # type: ignore[arg-type]
    assert len(done) == 1 and done[0][1] and not ending.leaves_checkpoint
    assert len(loaded) == loads and set(claims) == {name}
    assert clock.s == pytest.approx(done[0][0] + 50 + 2, abs=0.11)  # idle for two seconds after the job
    worker.serve(None, None, name, 2.0, SimpleNamespace(asked=True))  # type: ignore[arg-type]


def test_how_a_job_ends(monkeypatch, tmp_path: Path, capsys) -> None:
    from steering import pipeline, policy_cache

    ended: list[Any] = []
    forgot: list[int] = []
    queue = SimpleNamespace(
        pause=lambda job: ended.append("paused"),
        end=lambda job, state, result=None, error=None: ended.append((state, result or error)),
    )
    job = SimpleNamespace(id="job", function="work", arguments={"x": 2}, visitor="ann")
    monkeypatch.setattr(policy_cache, "forget", lambda: forgot.append(1))

    def outcome(what: Any) -> Any:
        def work(store: Store, *, x: int, progress: object) -> str:
            assert store.owner == "ann" and x == 2
            if isinstance(what, BaseException):
                raise what
            return str(what)

        ended.clear()
        monkeypatch.setattr(pipeline, "RUNNABLE", {"work": work})
        ending = SimpleNamespace(asked=False)
        worker.run_job(Store(tmp_path), queue, job, ending)  # type: ignore[arg-type]
        return ended

    assert outcome("made-1") == [("done", "made-1")]
    assert outcome(Cancelled("stopped")) == ["paused", ("cancelled", "stopped")]
    assert outcome(InputError("words")) == [("failed", "words")] and not forgot
    assert outcome(MemoryError()) == [("failed", worker.OUT_OF_MEMORY)] and len(forgot) == 1
    for words in ("CUDA out of memory. Tried", "can't allocate memory: you tried"):
        assert outcome(RuntimeError(words)) == [("failed", worker.OUT_OF_MEMORY)]
    (failed,) = outcome(RuntimeError("a\n  b " + "c" * 400))
    assert "RuntimeError: a b " + "c" * 296 + "." in failed[1] and len(forgot) == 4
    (full,) = outcome(OSError(28, "No space left on device"))
    assert "disk" in full[1].lower() and "did not foresee" not in full[1]
    assert "Traceback" in capsys.readouterr().err


def test_how_a_worker_ended_in_words() -> None:
    assert client._how_it_ended(None) == "ended" and client._how_it_ended(0) == "ended with code 0"
    assert client._how_it_ended(3) == "ended with code 3"
    assert client._how_it_ended(-signal.SIGKILL) == "was ended by SIGKILL"


class Process:
    """A started process: its code, None while it runs. Nothing can be said to it."""

    stdin = None

    def __init__(self, code: int | None) -> None:
        self.code, self.killed = code, 0

    def poll(self) -> int | None:
        return self.code

    def kill(self) -> None:
        self.code, self.killed = -9, self.killed + 1

    def wait(self, timeout: float | None = None) -> int | None:
        return self.code


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client at second 100 whose processes are made up: (client, clock, started processes)."""
    now, started = SimpleNamespace(s=100.0), []

    def start(command: list[str], **_: object) -> Process:
        started.append((Process(1), command))
        return started[-1][0]

    monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=lambda: now.s))
    monkeypatch.setattr(client.subprocess, "Popen", start)
    return Jobs(Store(tmp_path), worker_command=("work",)), now, started


def test_the_numbers_of_the_client() -> None:
    assert (client.CANCEL_PATIENCE_S, client.SUPERVISE_EVERY_S, client.START_TIME_S) == (30, 1, 30)
    assert client.MAX_FAILED_STARTS == 4


def test_workers_that_end_at_once_are_started_five_times_and_then_the_jobs_fail(jobs) -> None:
    its, now, started = jobs
    job = its._queue.add("finetune", {}, owner="ann", resumable=False)
    for seen in range(1, 6):
        its._supervise(at_once=True)
        assert len(started) == seen and its._queue.status(job).state == "queued"
        assert its._workers[MAIN].failed_starts == seen - 1
    its._supervise(at_once=True)
    status = its._queue.status(job)
    assert len(started) == 5 and status.state == "failed" and status.error == client.CANNOT_START
    assert its._workers[MAIN].failed_starts == 0
    assert started[0][1][:3] == ["work", "--name", MAIN]


def test_it_looks_after_workers_once_a_second(jobs) -> None:
    its, now, started = jobs
    its._supervise()
    its._queue.add("finetune", {}, owner="ann", resumable=False)
    now.s += 0.5
    its._supervise()
    assert not started
    now.s += 0.5
    its._supervise()
    assert len(started) == 1


def test_a_worker_has_half_a_minute_to_take_its_lock(jobs) -> None:
    its, now, started = jobs
    its.warm()
    its._workers[MAIN].process.code = None  # it runs, and holds no lock yet
    its.warm()
    now.s += 29
    its.warm()
    assert len(started) == 1 and not started[0][0].killed
    now.s += 1
    its.warm()
    assert len(started) == 2 and started[0][0].killed == 1
    its.close(wait_s=0)
    its.warm()
    assert len(started) == 2  # closed for good


@pytest.mark.parametrize(("name", "idle_s"), [(MAIN, None), (MAIN, 7.0), (SIDE, None)])
def test_a_worker_settles_and_cleans_up_before_it_serves(monkeypatch, tmp_path: Path, name, idle_s) -> None:
    said: list[Any] = []
    monkeypatch.setattr(worker.faulthandler, "enable", lambda: None)
    monkeypatch.setattr(worker.os, "nice", lambda by: None)
    monkeypatch.setattr(worker, "_Ending", lambda: "ending")
    monkeypatch.setattr(Store, "sweep", lambda self: said.append("swept"))
    for what in ("release_orphans", "forget_old"):
        monkeypatch.setattr(worker.Queue, what, lambda self, *given, what=what: said.append((what, *given[1:])))
    monkeypatch.setattr(worker, "serve", lambda store, queue, *given: said.append(given))
    command = ["--store", str(tmp_path), "--name", name, *([] if idle_s is None else ["--idle-s", str(idle_s)])]
    assert worker.main(command) == 0
    cleaned = [("forget_old",), "swept"] if name == MAIN else []
    usual_s = 15 * 60 if name == MAIN else 2 * 60
    assert said == [("release_orphans", name), *cleaned, (name, idle_s or usual_s, "ending")]
    assert client.WorkerLock(tmp_path, name).acquire()  # given back
