"""Work on many predictors at once: one thread each with single-threaded matrix products, which beats the reverse."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from steering.progress import Progress

MOST_THREADS = 8
MOST_REPORTS = 64


def for_each(count: int, work: Callable[[int], None], progress: Progress, what: str) -> None:
    """Call `work` with 0 … count − 1 on all cores; `what` says in the reports what is done, e.g. `Scored heads`.

    Stops at once when an item fails or the user cancels.
    """
    size = max(1, count // MOST_REPORTS)  # each report takes the interpreter from the threads that work
    parts = [range(start, min(start + size, count)) for start in range(0, count, size)]

    def run(part: range) -> int:
        for item in part:
            work(item)
        return part.stop

    pool = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, MOST_THREADS))
    try:
        with threadpool_limits(1, user_api="blas"):
            for done in pool.map(run, parts):
                progress.report(done / count, f"{what}: {done} of {count}")
    finally:
        pool.shutdown(cancel_futures=True)
