"""Jobs of a few milliseconds in place of the pipeline's, and a worker that runs them."""

import os
import signal
import sys
import time

from steering import pipeline
from steering.errors import InputError
from steering.jobs import worker
from steering.progress import Progress
from steering.store import Store
from steering.types import Selection

NO_PROGRESS = Progress()


def count(
    store: Store, *, steps: int, wait_s: float = 0.0, name: str = "", progress: Progress = NO_PROGRESS
) -> str:  # fmt: skip
    for step in range(steps):
        progress.report(step / steps, f"Step {step}", step=step)
        time.sleep(wait_s)
    return store.save("selection", Selection((), name), params={"steps": steps, "pid": os.getpid()})


def fail(store: Store, *, how: str, progress: Progress = NO_PROGRESS) -> str:
    if how == "words":
        raise InputError("Expected heads, got none; choose some.")
    if how == "memory":
        raise MemoryError
    raise RuntimeError("wires <b>crossed</b>")


def die(store: Store, *, name: str = "", progress: Progress = NO_PROGRESS) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def resume(store: Store, *, deaths: int, progress: Progress = NO_PROGRESS) -> str:
    marks = store.checkpoints("0" * 40)
    attempt = len(list(marks.iterdir()))
    (marks / str(attempt)).touch()
    if attempt < deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return store.save("selection", Selection((), f"attempt {attempt}"))


def stubborn(store: Store, *, name: str = "", progress: Progress = NO_PROGRESS) -> str:
    progress.report(0.1, "Deaf")
    time.sleep(60)
    return ""


RUNNABLE = {function.__name__: function for function in (count, fail, die, resume, stubborn)}

if __name__ == "__main__":
    if "broken" in sys.argv:
        sys.exit(3)
    pipeline.RUNNABLE = RUNNABLE
    worker._load_libraries = lambda: None
    sys.exit(worker.main())
