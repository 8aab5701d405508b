"""What to do about an index of jobs that is damaged or cannot be written: `jobs.sqlite` in a store.

Nothing but the queue itself is lost with it, for results are artefacts and the page finds them in their own folders; a
finetune that is asked for again goes on from its last checkpoint. So a damaged file is set aside under another name and
a new one begun. Looking costs a few milliseconds a thousand jobs.
"""

from __future__ import annotations

import fcntl
import sqlite3
import time
from pathlib import Path

from steering.errors import InputError

WORDS = (
    "The list of jobs was damaged and has been set aside (jobs.sqlite.damaged-… in the store); a new one was begun. "
    "Finished results are kept. Start what was waiting or running again: a finetune goes on from its last checkpoint."
)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_CANNOT = {
    sqlite3.SQLITE_FULL: "The disk is full. Delete what you no longer need, or set STEERING_STORE to a larger one.",
    sqlite3.SQLITE_READONLY: "The store can only be read. Make it yours to write, or set STEERING_STORE to another.",
    sqlite3.SQLITE_CANTOPEN: "The store cannot be opened. Make it yours to write, or set STEERING_STORE to another.",
    sqlite3.SQLITE_IOERR: "The disk does not answer. Look after it, or set STEERING_STORE to another one.",
    sqlite3.SQLITE_BUSY: "The store is busy, as network disks are. Try again, or set STEERING_STORE to a local one.",
}


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether an error says that the file is no index any more."""
    return _code(error) in _DAMAGED


def worded(error: sqlite3.DatabaseError, path: Path) -> InputError | None:
    """The error in words that name what to do; None where it is not the disk's."""
    words = _CANNOT.get(_code(error))
    return None if words is None else InputError(f"{words} ({path.parent})")


def set_aside_if_damaged(path: Path) -> bool:
    """Rename a damaged index and what belongs to it; whether it was one. Any number of processes may ask at once."""
    if is_whole(path):
        return False
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_whole(path):  # another process was quicker
            return False
        name = f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1000:03d}"
        for ending in ("", "-wal", "-shm"):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.replace(path.with_name(name + ending))
    return True


def is_whole(path: Path) -> bool:
    """Whether the file can be read as an index, or is not there yet."""
    if not path.is_file():
        return True
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=30)
        try:
            return db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        finally:
            db.close()
    except sqlite3.DatabaseError as error:
        return not is_damage(error)


def _code(error: sqlite3.DatabaseError) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
