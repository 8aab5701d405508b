"""Jobs of a few milliseconds in place of the pipeline's, and a worker that runs them."""

import hashlib
import os
import signal
import sys
import time
from pathlib import Path

from steering import hub, pipeline
from steering.errors import Cancelled, InputError
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


def hold(store: Store, *, until: str, name: str = "", progress: Progress = NO_PROGRESS) -> str:
    """Works until there is a file."""
    while not Path(until).exists():
        progress.report(0.1, "Holding")
        time.sleep(0.02)
    return store.save("selection", Selection((), name), params={"pid": os.getpid()})


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


def keep_place(store: Store, *, steps: int, progress: Progress = NO_PROGRESS) -> str:
    """Leaves a checkpoint when it is stopped, and goes on from there."""
    place = store.checkpoints("1" * 40) / "place"
    begun = int(place.read_text()) if place.exists() else 0
    for step in range(begun, steps):
        try:
            progress.report(step / steps, f"Step {step}")
        except Cancelled:
            place.write_text(str(step))
            raise
        time.sleep(0.02)
    return store.save("selection", Selection((), f"from {begun}"))


def stubborn(store: Store, *, name: str = "", progress: Progress = NO_PROGRESS) -> str:
    progress.report(0.1, "Deaf")
    time.sleep(60)
    return ""


def fetch(store: Store, *, policy: str, progress: Progress = NO_PROGRESS) -> str:
    """Names the token with which the hub would be asked."""
    repository = hub.named(policy)
    assert repository is not None
    token = repository.access["token"]
    return store.save("selection", Selection((), hashlib.sha256(token.encode()).hexdigest() if token else "no token"))


RUNNABLE = {function.__name__: function for function in (count, hold, fail, die, resume, keep_place, stubborn, fetch)}

if __name__ == "__main__":
    if "broken" in sys.argv:
        sys.exit(3)
    pipeline.RUNNABLE = RUNNABLE
    pipeline.RESUMABLE = frozenset({"resume", "keep_place"})
    worker._load_libraries = lambda: None
    worker.hear_logins()
    sys.exit(worker.main())
