import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steering import pipeline
from steering.errors import InputError, NotFound
from steering.jobs.client import Jobs
from steering.jobs.lock import WorkerLock
from steering.jobs.queue import JobStatus, Queue
from steering.progress import Report
from steering.public import OWN
from steering.store import Store

from . import small_jobs

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
MAX_POINTS = 60  # less than the queue's own, for speed
SMALL_JOBS = Path(__file__).with_name("small_jobs.py")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def jobs(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    monkeypatch.setattr(pipeline, "RUNNABLE", small_jobs.RUNNABLE)
    monkeypatch.setattr(pipeline, "RESUMABLE", {"resume", "keep_place"})
    monkeypatch.setattr(pipeline, "is_brief", lambda function, arguments: arguments.get("name") == "brief")
    monkeypatch.setattr("steering.jobs.client.SUPERVISE_EVERY_S", 0.05)
    jobs = Jobs(store, cancel_patience_s=0.3, worker_command=(sys.executable, str(SMALL_JOBS)))
    yield jobs
    jobs.close()


def wait(jobs: Jobs, job_id: str, *states: str, limit_s: float = 120) -> JobStatus:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        status = jobs.status(job_id)
        if status.state in (states or ("done", "failed", "cancelled")):
            return status
        time.sleep(0.02)
    raise AssertionError(f"still {status}")


def test_a_job_runs_in_one_warm_process_and_leaves_its_result_and_history(jobs: Jobs, store: Store) -> None:
    first = wait(jobs, jobs.submit("count", steps=5, name="a"))
    second = wait(jobs, jobs.submit("count", steps=1, name="b"))
    assert (first.state, first.fraction, first.error) == ("done", 1.0, None)
    assert [point["step"] for point in first.metrics] == [0, 1, 2, 3, 4]
    assert first.result and second.result
    pids = {store.manifest(result).params["pid"] for result in (first.result, second.result)}
    assert len(pids) == 1 and os.getpid() not in pids
    assert store.load(first.result).rule == "a"
    assert [job.id for job in jobs.recent()] == [second.id, first.id] and jobs.active() == []


@pytest.mark.parametrize(
    ("how", "expected"),
    [("words", "Expected heads, got none"), ("memory", "not enough memory"), ("trace", "RuntimeError: wires")],
)
def test_a_failing_job_says_why_and_the_worker_lives_on(jobs: Jobs, how: str, expected: str) -> None:
    failed = wait(jobs, jobs.submit("fail", how=how))
    assert failed.state == "failed" and failed.error and expected in failed.error
    assert wait(jobs, jobs.submit("count", steps=1)).state == "done"
    assert jobs._workers["main"].failed_starts == 0


def test_a_killed_worker_fails_its_job_with_words_and_the_next_job_runs(jobs: Jobs) -> None:
    dead, after = jobs.submit("die"), jobs.submit("count", steps=1)
    status = wait(jobs, dead)
    assert status.state == "failed" and status.error and "SIGKILL" in status.error and "memory" in status.error
    assert wait(jobs, after).state == "done"


def test_a_resumable_job_goes_on_after_the_worker_was_killed(jobs: Jobs, store: Store) -> None:
    status = wait(jobs, jobs.submit("resume", deaths=1))
    assert status.state == "done" and status.result and store.load(status.result).rule == "attempt 1"


def test_a_job_that_kills_every_worker_is_given_up(jobs: Jobs) -> None:
    assert wait(jobs, jobs.submit("resume", deaths=99)).state == "failed"


def test_cancel_stops_a_running_job_at_its_next_report_and_a_waiting_one_at_once(jobs: Jobs) -> None:
    running = jobs.submit("count", steps=1000, wait_s=0.05)
    waiting = jobs.submit("count", steps=1)
    wait(jobs, running, "running")
    assert jobs.status(waiting).position == 1
    jobs.cancel(waiting)
    assert jobs.status(waiting).state == "cancelled"
    jobs.cancel(running)
    status = wait(jobs, running)
    assert status.state == "cancelled" and status.cancel_requested and 0 < len(status.metrics) < 1000


def test_a_job_that_ignores_the_stop_is_ended_by_force(jobs: Jobs) -> None:
    job = jobs.submit("stubborn")
    wait(jobs, job, "running")
    jobs.cancel(job)
    assert wait(jobs, job).state == "cancelled"
    assert wait(jobs, jobs.submit("count", steps=1)).state == "done"


def test_another_client_finds_the_running_job_and_the_worker_outlives_the_first(
    jobs: Jobs, store: Store, tmp_path: Path
) -> None:
    job = jobs.submit("hold", until=str(tmp_path / "go"), owner="ann")
    wait(jobs, job, "running")
    second = Jobs(store, worker_command=(sys.executable, "-c", "raise SystemExit('must not start')"))
    assert [found.id for found in second.active("ann")] == [job] and second.active("ben") == []
    (tmp_path / "go").touch()
    assert wait(second, job).state == "done"


def test_only_one_worker_serves_a_store(jobs: Jobs, store: Store) -> None:
    wait(jobs, jobs.submit("count", steps=1))
    command = [sys.executable, str(SMALL_JOBS), "--store", str(store.root), "--idle-s", "600"]
    assert subprocess.run(command, timeout=300, env=ENVIRONMENT).returncode == 0


def pid_of(store: Store, job: JobStatus) -> int:
    assert job.state == "done" and job.result
    return int(store.manifest(job.result).params["pid"])


def test_a_brief_job_runs_beside_a_long_one_and_another_long_one_waits(jobs: Jobs, store: Store) -> None:
    first = wait(jobs, jobs.submit("count", steps=1, name="brief"))  # nothing long runs: on the main worker
    running = jobs.submit("count", steps=400, wait_s=0.05)
    wait(jobs, running, "running")
    waiting = jobs.submit("count", steps=1)
    beside = jobs.submit("count", steps=1, name="brief", owner="ben")
    assert jobs.status(beside).position <= 1
    done = wait(jobs, beside)
    assert jobs.status(running).state == "running" and jobs.status(waiting).position == 1
    jobs.cancel(running)
    last = wait(jobs, waiting)
    assert pid_of(store, first) == pid_of(store, last) != pid_of(store, done)


def test_a_brief_job_that_kills_its_worker_leaves_the_long_one_alone(jobs: Jobs) -> None:
    running = jobs.submit("count", steps=400, wait_s=0.05)
    wait(jobs, running, "running")
    status = wait(jobs, jobs.submit("die", name="brief"))
    assert status.state == "failed" and status.error and "SIGKILL" in status.error
    deaf = jobs.submit("stubborn", name="brief")
    wait(jobs, deaf, "running")
    jobs.cancel(deaf)
    assert wait(jobs, deaf).state == "cancelled"
    assert jobs.status(running).state == "running"
    jobs.cancel(running)
    assert wait(jobs, running).state == "cancelled"


def test_brief_jobs_wait_for_the_main_worker_where_the_other_cannot_start(jobs: Jobs, tmp_path: Path) -> None:
    running = jobs.submit("hold", until=str(tmp_path / "go"))
    wait(jobs, running, "running")
    jobs._worker_command = (sys.executable, "-c", "raise SystemExit(3)")
    beside = jobs.submit("count", steps=1, name="brief")
    while not jobs._workers["side"].failed_starts:
        jobs.status(beside)
        time.sleep(0.02)
    (tmp_path / "go").touch()
    assert wait(jobs, running).state == "done" and wait(jobs, beside).state == "done"


def test_a_worker_that_cannot_start_fails_the_jobs_instead_of_letting_them_wait(jobs: Jobs) -> None:
    jobs._worker_command = (sys.executable, "-c", "raise SystemExit(3)")
    status = wait(jobs, jobs.submit("count", steps=1))
    assert status.state == "failed" and status.error and "worker.log" in status.error


def test_an_idle_worker_ends(store: Store) -> None:
    command = [sys.executable, str(SMALL_JOBS), "--store", str(store.root), "--idle-s", "0.1"]
    assert subprocess.run(command, timeout=300, env=ENVIRONMENT).returncode == 0


def test_warming_again_keeps_the_worker_that_runs(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    wait(jobs, jobs.submit("count", steps=1))
    first = jobs._workers["main"].process
    monkeypatch.setattr("steering.jobs.client.START_TIME_S", 0.0)
    jobs.warm()
    assert jobs._workers["main"].process is first and jobs._workers["main"].running


def test_a_closed_client_starts_no_worker(jobs: Jobs) -> None:
    job = jobs.submit("count", steps=400, wait_s=0.05)
    wait(jobs, job, "running")
    jobs.close()
    assert "server was stopped" in (wait(jobs, job, "failed").error or "")
    assert jobs.status(jobs.submit("count", steps=1)).state == "queued"  # from a thread that still answers
    assert not jobs._workers["main"].running


def test_closing_asks_a_worker_to_end_before_it_uses_force(jobs: Jobs) -> None:
    wait(jobs, jobs.submit("count", steps=1))
    process = jobs._workers["main"].process
    assert process is not None
    jobs.close(wait_s=120)
    assert process.returncode not in (None, -signal.SIGKILL)


def test_a_worker_told_to_end_lets_a_job_leave_its_checkpoint(jobs: Jobs, store: Store) -> None:
    job = jobs.submit("keep_place", steps=100)
    wait(jobs, job, "running")
    while jobs.status(job).fraction < 0.1:
        time.sleep(0.02)
    jobs.close(wait_s=120)
    assert WorkerLock(store.root, "main").holder() is None
    assert jobs.status(job).state == "queued", "it waits for another worker"
    later = Jobs(store, worker_command=(sys.executable, str(SMALL_JOBS)))
    try:
        ended = wait(later, job)
    finally:
        later.close()
    assert ended.state == "done" and ended.result
    assert int(store.load(ended.result).rule.removeprefix("from ")) >= 10, "nothing was done twice"


def test_a_stubborn_job_and_a_beside_one_end_within_the_wait(jobs: Jobs) -> None:
    wait(jobs, jobs.submit("stubborn"), "running")
    wait(jobs, jobs.submit("stubborn", name="brief"), "running")
    given_s: list[float] = []
    for worker in jobs._workers.values():
        assert worker.process is not None

        def wait_for(timeout: float | None = None, process: subprocess.Popen[bytes] = worker.process) -> int:
            if timeout is not None:
                given_s.append(timeout)
                time.sleep(0.2)
            return subprocess.Popen.wait(process, timeout)

        worker.process.wait = wait_for  # type: ignore[method-assign]
    jobs.close(wait_s=0.5)
    first, second = given_s
    assert first <= 0.5 and second <= 0.3, "the second gets what the first has left"
    assert not any(worker.running for worker in jobs._workers.values())


def test_submit_refuses_what_cannot_run(jobs: Jobs) -> None:
    with pytest.raises(NotFound, match="count"):
        jobs.submit("cuont", steps=1)
    with pytest.raises(NotFound):
        jobs.submit("__import__")
    with pytest.raises(InputError, match="stepz"):
        jobs.submit("count", steps=1, stepz=1)
    with pytest.raises(InputError, match="plain data"):
        jobs.submit("count", steps=object())
    with pytest.raises(NotFound):
        jobs.status("0" * 32)
    assert jobs.active() == []


def test_limits_duplicates_and_turns(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    ann = [queue.add("f", {"n": n}, owner="ann", resumable=False) for n in range(int(OWN.places))]
    assert queue.add("f", {"n": 0}, owner="ann", resumable=False) == ann[0]
    with pytest.raises(InputError, match="waiting or running"):
        queue.add("f", {"n": 99}, owner="ann", resumable=False)
    ben = queue.add("f", {"n": 0}, owner="ben", resumable=False)
    assert ben not in ann
    order = []
    while job := queue.claim():
        order.append(job.id)
        time.sleep(0.002)
    assert order == [ann[0], ben, *ann[1:]]


def test_history_is_bounded_and_keeps_first_order_and_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steering.jobs.queue.MAX_POINTS", MAX_POINTS)
    queue = Queue(tmp_path)
    job_id = queue.add("f", {}, owner="ann", resumable=False)
    queue.claim()
    for step in range(2 * MAX_POINTS + 10):
        queue.report(job_id, Report(0.5, "x", None, {"step": step}))
    steps = [point["step"] for point in queue.status(job_id).metrics]
    assert len(steps) <= MAX_POINTS and steps == sorted(steps) and steps[-1] == 2 * MAX_POINTS + 9
    assert min(steps) < 20 and max(b - a for a, b in zip(steps, steps[1:], strict=False)) <= 8


def test_a_queue_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    Queue(tmp_path).add("f", {}, owner="ann", resumable=False)
    with sqlite3.connect(tmp_path / "jobs.sqlite") as db:
        db.execute("ALTER TABLE jobs DROP COLUMN brief")
        db.execute("ALTER TABLE jobs DROP COLUMN worker")
        db.execute("ALTER TABLE jobs DROP COLUMN party")
        db.execute("ALTER TABLE jobs DROP COLUMN worked_s")
    db.close()
    queue = Queue(tmp_path)
    job = queue.claim()
    assert job is not None and job.state == "running"
    queue.release_orphans("gone")
    assert queue.status(job.id).state == "failed"


def test_old_jobs_are_forgotten(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    old, new = (queue.add("f", {"n": n}, owner="ann", resumable=False) for n in range(2))
    queue.request_cancel(old)
    queue.request_cancel(new)
    with sqlite3.connect(tmp_path / "jobs.sqlite") as db:
        db.execute("UPDATE jobs SET ended_s = 1 WHERE id = ?", (old,))
    db.close()
    queue.forget_old()
    assert [job.id for job in queue.list()] == [new]


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from steering.jobs.lock import WorkerLock\n"
        "lock = WorkerLock(Path(sys.argv[1]), 'main'); assert lock.acquire(); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    assert WorkerLock(tmp_path, "main").holder() == process.pid and not WorkerLock(tmp_path, "main").acquire()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert WorkerLock(tmp_path, "main").acquire()


def test_the_client_imports_no_heavy_library() -> None:
    code = (
        "import sys, steering.jobs.client, steering.pipeline\n"
        "print({'torch', 'transformers', 'mujoco', 'gradio'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"
