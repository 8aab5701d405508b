"""The lock of a worker: taken once, waited for, and who holds it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from steering.jobs.lock import WorkerLock


def test_one_holds_it_and_its_process_is_known(tmp_path: Path) -> None:
    first, second = WorkerLock(tmp_path, "main"), WorkerLock(tmp_path, "main")
    (tmp_path / "main-worker.lock").write_text("123456789 and more")
    assert second.holder() is None
    assert first.acquire() and not second.acquire()
    assert (tmp_path / "main-worker.lock").read_text() == str(os.getpid())
    assert second.holder() == os.getpid() and WorkerLock(tmp_path, "side").acquire()
    for written in ("", "0", "half a numb"):
        (tmp_path / "main-worker.lock").write_text(written)
        assert second.holder() is None
    first.release()
    first.release()
    assert second.acquire()


def test_it_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = WorkerLock(tmp_path, "main"), WorkerLock(tmp_path, "main")
    assert first.acquire()
    slept: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", slept.append)
        assert not second.acquire() and not slept
        began_s = time.monotonic()
        assert not second.acquire(wait_s=0.12) and slept
        assert time.monotonic() - began_s >= 0.12
    threading.Timer(0.1, first.release).start()
    assert second.acquire(wait_s=60)
