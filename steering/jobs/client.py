"""The page's side of the jobs: submit, watch, stop. Imports neither torch nor MuJoCo; each call takes milliseconds.

    jobs = Jobs(store)
    job_id = jobs.submit("finetune", demonstrations_id=..., method="steering", selection_id=...)
    while not (status := jobs.status(job_id)).ended: ...

Workers are started on demand, shared by everybody who uses the store, and outlive the page: after a reload or a restart
the same job id shows the same job.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from steering import keeping, logins, pipeline
from steering.child import environment
from steering.errors import InputError, unknown_name
from steering.jobs import clock
from steering.jobs.lock import WorkerLock
from steering.jobs.places import MAX_QUEUED
from steering.jobs.queue import MAIN, SIDE, WORKERS, JobStatus, Queue
from steering.jobs.worker import WORKER_COMMAND, gone
from steering.jobs.zero import Inside
from steering.manifest import plain_params
from steering.store import Store

CANCEL_PATIENCE_S = 30.0
SUPERVISE_EVERY_S = 1.0
START_TIME_S = 30.0
MAX_FAILED_STARTS = 4
STOPPED = "The server was stopped while this job ran. Finished results are kept; start the job again."
CANNOT_START = (
    "The worker process ends as soon as it starts, so this job cannot run. Read worker.log in the store's folder; "
    "`make app` repairs a broken installation."
)


@dataclass
class _Worker:
    """What is known here of one worker. process: where this client started it."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    started_s: float = -1e9
    failed_starts: int = 0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tell(self, visitor: str) -> None:
        """Let the process know the login of a visitor who is signed in (`steering.logins`), by a pipe that it reads."""
        login = logins.of(visitor)
        if login is not None and self.process is not None and self.process.stdin is not None:
            with suppress(OSError, ValueError):  # it has ended
                self.process.stdin.write(json.dumps(asdict(login)).encode() + b"\n")

    def drop(self) -> None:
        """Say nothing more to the process."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()


class Jobs:
    """The jobs of one store. Threads may share it. party: whose turns the jobs of whoever asks now take, empty for the
    owner's own (`steering.jobs.turns`). inside: takes the place of the main worker's process (`steering.jobs.zero`).
    """

    def __init__(
        self,
        store: Store,
        *,
        party: Callable[[], str] = str,
        cancel_patience_s: float = CANCEL_PATIENCE_S,
        worker_command: Sequence[str] = WORKER_COMMAND,
        inside: Inside | None = None,
    ) -> None:
        self._store = store
        self._queue = Queue(store.root)
        self._party = party
        self._lock = threading.Lock()
        self._workers = {name: _Worker(name) for name in WORKERS}
        self._supervised_s = -1e9
        self._closed = False
        self._cancel_patience_s = cancel_patience_s
        self._worker_command, self._inside = tuple(worker_command), inside

    @property
    def notice(self) -> str:
        """What people should know of the list of jobs; empty where all is well."""
        return self._queue.notice

    def submit(self, function_name: str, *, owner: str = "local", **arguments: Any) -> str:
        """Queue a pipeline function by name and return the job's id.

        The same unfinished job is not queued twice. Raises InputError for what cannot run, and beyond what
        `steering.public.quota` gives.
        """
        function = pipeline.RUNNABLE.get(function_name)
        if function is None:
            raise unknown_name("job", function_name, pipeline.RUNNABLE)
        try:
            inspect.signature(function).bind(self._store, **arguments)
        except TypeError as error:
            raise InputError(f"{function_name} cannot be called like this: {error}.") from None
        keeping.check_room(self._store, owner.partition("-")[0])
        with self._lock:
            for worker in self._workers.values():
                worker.tell(owner.partition("-")[0])
        job_id = self._queue.add(
            function_name,
            plain_params(arguments),
            owner=owner,
            resumable=function_name in pipeline.RESUMABLE,
            brief=pipeline.is_brief(function_name, arguments),
            party=self._party(),
        )
        if self._inside is not None:
            self._inside.asked(job_id)
        self._supervise(at_once=True)
        return job_id

    def status(self, job_id: str) -> JobStatus:
        """The job as it stands. A job whose worker died is failed or queued again here."""
        self._supervise()
        return self._queue.status(job_id)

    def cancel(self, job_id: str) -> None:
        """Stop a job: at once when it waits, at its next report when it runs, by force when it does not react."""
        self._queue.request_cancel(job_id)

    def counts(self) -> dict[str, int]:
        """State -> how many jobs of the last week are in it."""
        return self._queue.counts()

    def active(self, owner: str | None = None) -> list[JobStatus]:
        """Queued and running jobs, newest first."""
        self._supervise()
        return self._queue.list(owner=owner, active=True)

    def recent(self, owner: str | None = None, limit: int = 20) -> list[JobStatus]:
        """Jobs of the last week, newest first."""
        self._supervise()
        return self._queue.list(owner=owner, limit=limit)

    def forget(self, visitor: str) -> None:
        """Keep no record of a visitor's jobs that have ended."""
        self._queue.forget(visitor)

    def follow_clock(self) -> float:
        """Move times along where the clock has jumped; by how many seconds."""
        return clock.follow(self._store, self._queue)

    def warm(self) -> None:
        """Start the main worker now, so that the first job finds its libraries loaded; nothing where it runs."""
        with self._lock:
            if WorkerLock(self._store.root, MAIN).holder() is None:
                self._start(self._workers[MAIN])

    def close(self, wait_s: float = 5.0) -> None:
        """End the workers that this object started, for good, within `wait_s`. A resumable job continues with another's
        worker: from where it was where it leaves a checkpoint in time, else from its last one.
        """
        with self._lock:
            self._closed = True
            if self._inside is not None:
                self._inside.close(wait_s)
            started = [worker.process for worker in self._workers.values() if worker.process and worker.running]
            for process in started:
                process.terminate()
            until_s = time.monotonic() + wait_s
            for process in started:
                try:
                    process.wait(max(until_s - time.monotonic(), 0.1))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            for worker in self._workers.values():
                worker.drop()
                lock = WorkerLock(self._store.root, worker.name)
                if worker.process is not None and lock.acquire():  # another server may have started one since
                    self._queue.release_orphans(STOPPED, worker.name)
                    lock.release()

    def _supervise(self, at_once: bool = False) -> None:
        """Settle the jobs of dead workers, kill one that ignores a stop, and start one for which jobs wait."""
        with self._lock:
            if not at_once and time.monotonic() - self._supervised_s < SUPERVISE_EVERY_S:
                return
            self._supervised_s = time.monotonic()
            for worker in self._workers.values():
                self._settle(worker)

    def _settle(self, worker: _Worker) -> None:
        lock = WorkerLock(self._store.root, worker.name)
        overdue = self._queue.overdue_cancel(self._cancel_patience_s, worker.name) and lock.holder()
        if overdue and overdue != os.getpid():  # a call to a GPU ends by itself
            os.kill(overdue, signal.SIGKILL)
        if not lock.acquire():
            worker.failed_starts = 0
            return
        code = worker.process.poll() if worker.process is not None else None  # it is not alive
        self._queue.release_orphans(gone(_how_it_ended(code)), worker.name)
        given_up = bool(code) and worker.failed_starts >= MAX_FAILED_STARTS
        if given_up and worker.name == MAIN:
            self._queue.fail_waiting(CANNOT_START)
            worker.failed_starts = 0
        lock.release()
        if self._queue.waits_for(worker.name) and not (given_up and worker.name == SIDE):  # the main one runs all
            worker.failed_starts += bool(code)
            self._start(worker)

    def _start(self, worker: _Worker) -> None:
        """Start a worker whose lock nobody holds."""
        if self._inside is not None and worker.name == MAIN:
            self._inside.start()
            return
        if self._closed or (worker.running and time.monotonic() - worker.started_s < START_TIME_S):
            return
        if worker.process and worker.running:  # it never took the lock, or is about to end
            worker.process.kill()
            worker.process.wait()
        worker.drop()
        worker.started_s = time.monotonic()
        command = [*self._worker_command, "--name", worker.name, "--store", str(self._store.root)]
        for root in self._store.readonly:
            command += ["--readonly", str(root)]
        with (self._store.root / "worker.log").open("ab") as log:
            worker.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                bufsize=0,
                env=environment(),
                start_new_session=True,
            )
        for visitor in {job.visitor for job in self._queue.list(active=True, limit=MAX_QUEUED)}:
            worker.tell(visitor)


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "ended"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
