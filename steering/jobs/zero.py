"""A worker inside the page's own process, for a ZeroGPU Space: STEERING_ZERO=1.

Such a Space lends a GPU for the time of a call: a function that `spaces.GPU` decorates runs in a fork of the process
that imported `spaces` before torch, with its arguments pickled. So a thread of the page's process takes the jobs, one
at a time. One that runs a policy becomes such a call, in the context of the event that asked for it, whose visitor's
minutes it takes; any other runs in a process of its own, without a GPU. Both write results, reports and how they ended
into the store, as a worker does (`steering.jobs.worker`). A policy is loaded anew for every job. One that can go on
from a checkpoint pauses before its call ends, and goes on in another; others have to end within theirs.
"""

from __future__ import annotations

import contextvars
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steering import logins, pipeline, policy_cache  # noqa: F401  the last, so that no fork has to import it
from steering.child import environment
from steering.errors import InputError
from steering.jobs import clock, worker
from steering.jobs.lock import WorkerLock
from steering.jobs.queue import MAIN, JobStatus, Queue, fork_between_transactions
from steering.jobs.turns import OTHERS_S, USUAL_S
from steering.jobs.worker import WORKER_COMMAND
from steering.store import Store

SWITCH = "STEERING_ZERO"
"""Environment variable: 1 in a ZeroGPU Space, as `make space ... ZERO=1` sets it."""
FEWEST_S, MOST_S = 60, 240
"""Seconds of one call. Longer ones wait longer for their turn, and have to fit into what is left of a visitor's day."""
SPARE_S = 20.0
"""Before a call ends, in which a job that can go on leaves its checkpoint."""
ENDED = (
    "The GPU was not to be had for as long as this job takes, or what is left of your GPU minutes today is less. Sign "
    "in for more of them, or take fewer episodes, scenes or steps, and start it again. Finished results are kept."
)


def seconds_of(root: str, readonly: tuple[str, ...], job_id: str, function: str) -> int:
    """How long a GPU is asked for a job; takes what `run_on_gpu` takes."""
    return int(min(max(2 * USUAL_S.get(function, OTHERS_S), FEWEST_S), MOST_S))


def run_on_gpu(root: str, readonly: tuple[str, ...], job_id: str, function: str) -> None:
    """Run a claimed job; in the fork that has the GPU."""
    until_s = time.monotonic() + seconds_of(root, readonly, job_id, function) - SPARE_S
    resumable = function in pipeline.RESUMABLE
    queue = Queue(Path(root))
    ending = worker.Until(until_s if resumable else float("inf"))
    worker.run_job(Store(root, readonly=readonly), queue, queue.status(job_id), ending)


class Inside:
    """The worker of a store, as a thread. gpu: what `spaces.GPU` is, taken from that package unless given. command: of
    the process that runs what needs no GPU.
    """

    def __init__(
        self, store: Store, gpu: Callable[..., Any] | None = None, command: Sequence[str] = WORKER_COMMAND
    ) -> None:
        gpu = gpu or importlib.import_module("spaces").GPU
        self._store, self._queue, self._command = store, Queue(store.root), tuple(command)
        fork_between_transactions()
        self._on_gpu = gpu(duration=seconds_of)(run_on_gpu)
        self._asked: dict[str, contextvars.Context] = {}
        self._ended, self._thread = threading.Event(), threading.Thread(target=self._serve, daemon=True)
        self._beside: subprocess.Popen[bytes] | None = None

    def asked(self, job_id: str) -> None:
        """Whoever asks now asked for a job."""
        self._asked[job_id] = contextvars.copy_context()

    def start(self) -> None:
        """Begin to take jobs; nothing where it has."""
        if not self._thread.is_alive() and not self._ended.is_set():
            self._thread.start()

    def close(self, wait_s: float) -> None:
        """Take no more jobs; one without a GPU ends, one with it goes on in its fork until that is ended."""
        self._ended.set()
        if self._beside is not None:
            self._beside.terminate()
        if self._thread.is_alive():
            self._thread.join(wait_s)

    def _serve(self) -> None:
        lock = WorkerLock(self._store.root, MAIN)
        if not lock.acquire(wait_s=60.0):  # another server's, which ends
            return
        self._queue.release_orphans(worker.gone("was ended"), MAIN)
        clock.follow(self._store, self._queue)
        self._queue.forget_old()
        self._store.sweep()
        while not self._ended.is_set():
            job = self._queue.claim(MAIN)
            if job is None:
                self._ended.wait(worker.POLL_S)
                continue
            self._run(job)
            self._queue.release_orphans(ENDED, MAIN)  # what a call left undone
            if self._queue.status(job.id).ended:
                self._asked.pop(job.id, None)
        lock.release()

    def _run(self, job: JobStatus) -> None:
        context = self._asked.get(job.id) or contextvars.Context()
        if not pipeline.runs_policy(pipeline.RUNNABLE[job.function], job.arguments):
            self._run_beside(job)
            return
        readonly = tuple(map(str, self._store.readonly))
        try:
            context.run(self._on_gpu, str(self._store.root), readonly, job.id, job.function)
        except Exception as error:  # of any kind: `spaces` raises Gradio's, and what happens to its fork
            words = " ".join(str(getattr(error, "message", error)).split())[:200]
            print(f"A GPU call ended: {type(error).__name__}: {words}", file=sys.stderr, flush=True)

    def _run_beside(self, job: JobStatus) -> None:
        """Run a job in a process of its own."""
        command = [*self._command, "--store", str(self._store.root), "--job", job.id]
        for root in self._store.readonly:
            command += ["--readonly", str(root)]
        login = logins.of(job.visitor)
        said = b"" if login is None else json.dumps(asdict(login)).encode() + b"\n"
        with (self._store.root / "worker.log").open("ab") as log:
            self._beside = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment(), start_new_session=True
            )
            self._beside.communicate(said)


def serves_inside() -> bool:
    """Whether this server is a ZeroGPU Space's. Raises InputError where the package for it is missing."""
    if os.environ.get(SWITCH) != "1":
        return False
    if importlib.util.find_spec("spaces") is None:
        raise InputError(f"{SWITCH}=1 needs the package spaces, which a ZeroGPU Space brings. Unset it elsewhere.")
    return True
