"""Demonstrations: recorded in the simulator."""

from __future__ import annotations

from collections.abc import Sequence

from steering.pipeline.making import made
from steering.progress import Progress
from steering.store import Store


def record(
    store: Store,
    *,
    task: str,
    count: int = 20,
    seed: int = 0,
    variations: Sequence[str] = (),
    progress: Progress = Progress(),
) -> str:
    """Record `count` demonstrations of a simulator task by its scripted expert."""
    from steering.demonstrations import recording

    params = {"task": task, "count": count, "seed": seed, "variations": list(variations)}
    return made(
        store,
        "demonstrations",
        (),
        params,
        lambda: recording.record(task, count, seed, variations=tuple(variations), progress=progress),
    )
