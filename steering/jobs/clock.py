"""A clock that jumps, or a server that was off for long: neither ages what is in the store.

How long things are kept, whose minutes are spent and who waits longest is told by times on the wall's clock. Where that
has gone on by more than a day since somebody last looked, or back, every time in the store moves along: days count
while the server runs. Looking costs a file; moving, milliseconds for thousands of things.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from steering.jobs.queue import Queue
from steering.store import Store

MARK = "clock"
FORWARD_S, BACK_S = 24 * 3600.0, 60.0
"""Beyond these it is a jump. A server looks every half minute; corrections of a clock are seconds."""


def follow(store: Store, queue: Queue) -> float:
    """Move the times of a store along where the clock has jumped; by how many seconds, 0 where it has not.

    Any number of processes may look at once.
    """
    descriptor = os.open(store.root / MARK, os.O_RDWR | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        now_s, seen_s = time.time(), _seen(mark.read())
        passed_s = 0.0 if seen_s is None else now_s - seen_s
        jump_s = passed_s if passed_s > FORWARD_S or passed_s < -BACK_S else 0.0
        if jump_s:
            for path in _aging(store.root):
                with suppress(FileNotFoundError):  # being removed
                    found = path.stat()
                    os.utime(path, (found.st_atime, found.st_mtime + jump_s))
            _move_uploads(store.root, jump_s)
            queue.move_times(jump_s)
        mark.seek(0)
        mark.write(f"{now_s:.0f}")
        mark.truncate()
    return jump_s


def _seen(text: str) -> float | None:
    """The time in the mark; None where there is none, or it is damaged."""
    return float(text) if text.isdecimal() and len(text) <= 12 else None


def _aging(root: Path) -> Iterator[Path]:
    """Whatever is deleted at some age by the time of its file."""
    yield from (root / "owners").glob("*/*/*-*")
    for place in ("unfinished", "checkpoints", "damaged"):
        yield from (root / place).glob("*")


def _move_uploads(root: Path, jump_s: float) -> None:
    for path in (root / "uploads").glob("*/upload.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):  # being removed, or damaged
            about = json.loads(path.read_text(encoding="utf-8"))
            about["created_s"] += jump_s
            draft = path.with_suffix(".moved")
            draft.write_text(json.dumps(about), encoding="utf-8")
            draft.replace(path)
