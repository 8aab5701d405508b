"""Stages that end, or meet a full disk, at a chosen write in their store: `faults.py STORE STAGE KIND AT`.

Counted are files that are opened for writing, and names that are made, moved or removed, below the store. At write
number AT (from 0) `kill` ends the process as SIGKILL does; from there on `full` lets every write fail as on a full
disk. Prints the number of writes and what the stage made.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from steering import pipeline
from steering.errors import SteeringError
from steering.store import Store
from steering.types import FinetuneSettings

NEVER = 1 << 30
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")


def demonstrations_of(store: Store) -> str:
    return store.find("demonstrations")[-1].id


def find_heads(store: Store) -> str:
    return pipeline.find_heads(store, demonstrations_id=demonstrations_of(store))


def capture(store: Store) -> str:
    return pipeline.capture(store, demonstrations_id=demonstrations_of(store))


def score(store: Store) -> str:
    return pipeline.score(store, activations_id=store.find("activations")[0].id)


def finetune(store: Store) -> str:
    settings = FinetuneSettings(steps=4, batch_size=2, rank=2)
    return pipeline.finetune(store, demonstrations_id=demonstrations_of(store), method="lora", settings=settings)


def evaluate(store: Store) -> str:
    return pipeline.evaluate(store, task="press_button", adapters={"zero_shot": None}, trials=1, videos=1)


def record(store: Store) -> str:
    return pipeline.record(store, task="press_button", count=2)


STAGES: dict[str, Callable[[Store], str]] = {
    stage.__name__: stage for stage in (record, capture, score, find_heads, finetune, evaluate)
}


def watch(root: Path, kind: str, at: int) -> list[int]:
    """From here on this process meets the fault; the number of writes so far, as the list's only number."""
    count, below = [0], os.fspath(root)

    def meet(event: str, given: Sequence[Any]) -> None:
        if event == "open":
            path, _, flags = given
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            path, writes = (given[0], True) if event in _CHANGES else ("", False)
        if not writes or not isinstance(path, str | Path) or not os.fspath(path).startswith(below):
            return
        count[0] += 1
        if count[0] - 1 == at and kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if count[0] - 1 >= at and kind == "full" and event not in ("os.remove", "os.rmdir"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))

    sys.addaudithook(meet)
    return count


def run(root: Path, stage: str, kind: str, at: int) -> tuple[int, str]:
    """(writes, what was made) of a stage that meets a fault; the error's words where it met one and lives."""
    store = Store(root)
    count = watch(root, kind, at)
    try:
        made = STAGES[stage](store)
    except (OSError, SteeringError) as error:
        made = f"{type(error).__name__}: {error}"
    return count[0], made


if __name__ == "__main__":
    print(*run(Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3], int(sys.argv[4])))
