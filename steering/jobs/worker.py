"""A worker process: `python -m steering.jobs.worker --store DIR` runs queued jobs, one at a time, and stays warm.

The main worker loads torch and transformers while nothing waits, and the pipeline keeps the last policy in memory
between jobs. The side worker runs brief jobs while the main one trains, so that an upload or a question about a head
does not wait for minutes. A job that fails leaves its worker running. A worker ends by itself after IDLE_S without
work; told to end (SIGTERM), it lets a job that can go on from a checkpoint leave one. Output goes to `worker.log`.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

from steering import logins
from steering.disk import disk_words
from steering.errors import Cancelled, SteeringError
from steering.jobs import clock
from steering.jobs.lock import WorkerLock
from steering.jobs.queue import MAIN, SIDE, WORKERS, JobStatus, Queue
from steering.logins import Login
from steering.progress import Progress, Report
from steering.store import Store

IDLE_S = {MAIN: 15 * 60.0, SIDE: 2 * 60.0}
POLL_S = 0.1
WORKER_COMMAND = (sys.executable, "-m", "steering.jobs.worker")
REPORT_EVERY_S = 0.2
OUT_OF_MEMORY = (
    "There was not enough memory. Close other programs, or use fewer or smaller demonstrations or a smaller batch, "
    "and start the job again."
)


def main(arguments: list[str] | None = None) -> int:
    """Run jobs until idle. Returns 0; also when such a worker already serves the store."""
    parser = argparse.ArgumentParser(prog="python -m steering.jobs.worker", description=__doc__)
    parser.add_argument("--store", type=Path, required=True, help="folder of the store to serve")
    parser.add_argument("--readonly", type=Path, action="append", default=[], help="read-only store underneath")
    parser.add_argument("--name", choices=WORKERS, default=MAIN, help="side: brief jobs while the main one trains")
    parser.add_argument("--idle-s", type=float, help="end after so many seconds without work")
    parser.add_argument("--job", help="run this one, which was claimed for this process, and end")
    options = parser.parse_args(arguments)
    store = Store(options.store, readonly=options.readonly)
    if options.job:
        queue = Queue(store.root)
        run_job(store, queue, queue.status(options.job), Until(float("inf")))
        return 0
    lock = WorkerLock(store.root, options.name)
    if not lock.acquire(wait_s=2.0):
        return 0
    faulthandler.enable()
    ending = _Ending()
    os.nice(5)  # the page stays quick while training runs
    queue = Queue(store.root)
    queue.release_orphans(gone("was killed"), options.name)
    if options.name == MAIN:
        clock.follow(store, queue)
        queue.forget_old()
        store.sweep()
    serve(store, queue, options.name, options.idle_s or IDLE_S[options.name], ending)
    lock.release()
    return 0


def gone(how: str) -> str:
    """Words for a job whose worker process ended. `how`: what is known about the end."""
    return (
        f"The worker process {how} while this job ran. Most often memory ran out: close other programs or choose "
        "fewer demonstrations, then start the job again. Finished results are kept; worker.log in the store's folder "
        "may say more."
    )


class _Ending:
    """Whether this process was told to end. While a job runs that leaves a checkpoint it only notes that; else it goes
    at once, as the operating system would have it.
    """

    def __init__(self) -> None:
        self.asked = self.leaves_checkpoint = False
        signal.signal(signal.SIGTERM, self._told)

    def _told(self, *_: object) -> None:
        self.asked = True
        if not self.leaves_checkpoint:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)


class Until:
    """An end that comes by the clock. until_s: monotonic; infinity for never."""

    def __init__(self, until_s: float) -> None:
        self._until_s = until_s

    @property
    def asked(self) -> bool:
        """Whether it has come."""
        return time.monotonic() >= self._until_s


def serve(store: Store, queue: Queue, name: str, idle_s: float, ending: _Ending) -> None:
    """Run jobs as they come; return after `idle_s` without one, or when the process was told to end."""
    warm = name == SIDE  # started for a job, it loads what that needs
    from steering import pipeline

    last_work_s = time.monotonic()
    while time.monotonic() - last_work_s < idle_s and not ending.asked:
        job = queue.claim(name)
        if job is not None:
            ending.leaves_checkpoint = job.function in pipeline.RESUMABLE
            run_job(store, queue, job, ending)
            ending.leaves_checkpoint = False
            last_work_s = time.monotonic()
        elif not warm:
            _load_libraries()
            warm = True
        else:
            time.sleep(POLL_S)


def run_job(store: Store, queue: Queue, job: JobStatus, ending: _Ending | Until) -> None:
    """Run one claimed job and store how it ended. Only the end of the process escapes."""
    from steering import pipeline, policy_cache

    progress = Progress(_Reporter(queue, job.id), _CancelCheck(queue, job.id, ending))
    try:
        result = pipeline.RUNNABLE[job.function](store.owned_by(job.visitor), **job.arguments, progress=progress)
    except Cancelled as stop:
        queue.pause(job.id)  # unless it was stopped
        queue.end(job.id, "cancelled", error=str(stop))
    except SteeringError as error:
        queue.end(job.id, "failed", error=str(error))
    except MemoryError:
        policy_cache.forget()
        queue.end(job.id, "failed", error=OUT_OF_MEMORY)
    except Exception as error:  # whatever a job does, the worker lives on; the reason goes to the log and the page
        traceback.print_exc()
        sys.stderr.flush()
        policy_cache.forget()
        short = " ".join(str(error).split())[:300]
        out_of_memory = "out of memory" in short or "can't allocate memory" in short
        words = OUT_OF_MEMORY if out_of_memory else disk_words(error) if isinstance(error, OSError) else None
        words = words or _unexpected(job.function, type(error).__name__, short)
        queue.end(job.id, "failed", error=words)
    else:
        queue.end(job.id, "done", result=result)


def _unexpected(function: str, name: str, message: str) -> str:
    return (
        f"{function} stopped on an error that we did not foresee: {name}: {message}. The whole trace is in worker.log "
        "in the store's folder; please report it."
    )


def _load_libraries() -> None:
    import torch  # noqa: F401
    import transformers  # noqa: F401


class _Reporter:
    """Stores reports: every one with metrics, others at most each REPORT_EVERY_S."""

    def __init__(self, queue: Queue, job_id: str) -> None:
        self._queue, self._job_id, self._last_s = queue, job_id, 0.0

    def __call__(self, report: Report) -> None:
        now_s = time.monotonic()
        if report.metrics or now_s - self._last_s >= REPORT_EVERY_S:
            self._queue.report(self._job_id, report)
            self._last_s = now_s


class _CancelCheck:
    """Whether the process ends, the user stopped the job, or it should give way; asked each REPORT_EVERY_S."""

    def __init__(self, queue: Queue, job_id: str, ending: _Ending | Until) -> None:
        self._queue, self._job_id, self._ending = queue, job_id, ending
        self._last_s, self._cancelled = 0.0, False

    def __call__(self) -> bool:
        if self._ending.asked:
            return True
        now_s = time.monotonic()
        if now_s - self._last_s >= REPORT_EVERY_S:
            self._cancelled = self._queue.cancel_requested(self._job_id) or self._queue.gives_way(self._job_id)
            self._last_s = now_s
        return self._cancelled


def hear_logins() -> None:
    """Learn of visitors' logins from whoever started this process, over its standard input; in a thread of its own.

    What this process starts inherits no standard input, so nothing else reads them.
    """
    pipe, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def listen() -> None:
        with os.fdopen(pipe) as lines:
            for line in lines:
                with suppress(ValueError, TypeError):  # none of ours
                    logins.remember(Login(**json.loads(line)))

    threading.Thread(target=listen, daemon=True).start()


if __name__ == "__main__":
    hear_logins()
    sys.exit(main())
