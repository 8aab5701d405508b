"""Jobs put into a queue for a test, and their rows changed by hand."""

from __future__ import annotations

import sqlite3

from steering.jobs.queue import Queue


def add(queue: Queue, owner: str = "ann", number: int = 0, function: str = "evaluate", **settings: object) -> str:
    settings = {"resumable": False, **settings}
    return queue.add(function, {"n": number}, owner=owner, **settings)  # type: ignore[arg-type]


def change(queue: Queue, job: str, **values: object) -> None:
    with sqlite3.connect(queue._path) as db:
        for name, value in values.items():
            db.execute(f"UPDATE jobs SET {name}=? WHERE id=?", (value, job))
    db.close()
