"""Who is a worker: an operating-system lock on one file, which a dead process cannot keep.

The holder writes its process id into the file. Works on one machine, on Linux and macOS.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path


class WorkerLock:
    """The lock on `root/{name}-worker.lock`. name: which worker, one of steering.jobs.queue.WORKERS."""

    def __init__(self, root: Path, name: str) -> None:
        self._path = root / f"{name}-worker.lock"
        self._file: int | None = None

    def acquire(self, wait_s: float = 0.0) -> bool:
        """Take the lock; False when another process holds it for longer than `wait_s`."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        until_s = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < until_s:
                    time.sleep(0.05)
                    continue
                os.close(file)
                return False
            os.ftruncate(file, 0)
            os.pwrite(file, str(os.getpid()).encode(), 0)
            self._file = file
            return True

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def holder(self) -> int | None:
        """The process id of the worker, or None when no process holds the lock."""
        if self.acquire():
            self.release()
            return None
        try:
            return int(self._path.read_text() or 0) or None
        except ValueError:
            return None
