"""The real job that finds heads, killed by SIGKILL in its middle: it goes on from its parts, to the same results."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from steering import pipeline
from steering.jobs.client import Jobs
from steering.jobs.lock import WorkerLock
from steering.jobs.queue import MAIN
from steering.store import Store
from steering.types import CAMERAS, Demonstrations, Episode

pytestmark = pytest.mark.slow  # three workers load torch and the embedded policy, about half a minute
EPISODES, FRAMES = 6, 14


def noise() -> Demonstrations:
    rng, made = np.random.default_rng(5), []
    for i in range(EPISODES):
        cameras = {name: rng.integers(0, 256, (FRAMES, 32, 32, 3), dtype=np.uint8) for name in CAMERAS}
        state, action = rng.normal(size=(FRAMES, 8)), rng.uniform(-1, 1, (FRAMES, 7))
        made.append(
            Episode(f"{i}", "pick up the cube", 20.0, cameras, state.astype(np.float32), action.astype(np.float32))
        )
    return Demonstrations("noise", "", (), tuple(made))


def until(found: Callable[[], object], within_s: float = 600.0) -> None:
    end_s = time.monotonic() + within_s
    while not found():
        assert time.monotonic() < end_s, "it did not come so far"
        time.sleep(0.02)


def test_a_killed_search_for_heads_goes_on_and_ends_alike(tmp_path: Path) -> None:
    undisturbed = Store(tmp_path / "undisturbed")
    demonstrations = undisturbed.save("demonstrations", noise())
    wanted = pipeline.find_heads(undisturbed, demonstrations_id=demonstrations)

    store = Store(tmp_path / "killed")
    assert store.save("demonstrations", noise()) == demonstrations
    jobs = Jobs(store)
    killed: list[int] = []

    def kill() -> None:
        pid = WorkerLock(store.root, MAIN).holder()
        assert pid is not None and pid not in killed
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    try:
        job = jobs.submit("find_heads", demonstrations_id=demonstrations)
        until(lambda: jobs.status(job).fraction > 0.02)  # it captures
        kill()
        until(lambda: jobs.status(job) and store.find("relevance"))  # it scores; asking starts the next worker
        kill()
        parts = {path: path.stat().st_mtime_ns for path in store.artefacts.glob("*/manifest.json")}
        until(lambda: jobs.status(job).ended)
        status = jobs.status(job)
    finally:
        jobs.close()
    assert len(killed) == 2 and (status.state, status.error) == ("done", None)
    assert status.result == wanted and store.ids() == undisturbed.ids()
    assert all(path.stat().st_mtime_ns == written for path, written in parts.items()), "a part was made twice"
    assert not store.damaged()
    for artefact_id in store.ids():
        store.check(artefact_id)
        same = undisturbed.folder(artefact_id) / "value.json"
        assert (store.folder(artefact_id) / "value.json").read_bytes() == same.read_bytes()
