"""Work on many predictors at once: one thread each with single-threaded matrix products, which beats the reverse."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from steering.progress import Progress

MOST_THREADS = 8


def for_each(count: int, work: Callable[[int], None], progress: Progress, what: str) -> None:
    """Call `work` with 0 … count − 1 on all cores; `what` says in the reports what is done, e.g. `Scored heads`.

    Stops at once when an item fails or the user cancels.
    """
    pool = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, MOST_THREADS))
    try:
        with threadpool_limits(1, user_api="blas"):
            for done, _ in enumerate(pool.map(work, range(count)), start=1):
                progress.report(done / count, f"{what}: {done} of {count}")
    finally:
        pool.shutdown(cancel_futures=True)
