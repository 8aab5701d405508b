"""A damaged index of jobs is set aside and said, at the start and while the server runs; nothing else is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from steering.errors import InputError
from steering.jobs import index
from steering.jobs.queue import Queue


def zeros(content: bytes) -> bytes:
    return bytes(len(content))


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def random(content: bytes) -> bytes:
    return np.random.default_rng(0).bytes(len(content))


def flipped(content: bytes) -> bytes:
    """The file's head stays, the rest is noise."""
    return content[:4096] + random(content[4096:])


DAMAGES = (zeros, cut, random, flipped)


def filled(root: Path, jobs: int = 60) -> Queue:
    """A queue with ended jobs, all of it in its file."""
    queue = Queue(root)
    for number in range(jobs):
        queue.add("record", {"task": "x" * 200, "seed": number}, owner=str(number), resumable=False)
        job = queue.claim()
        assert job is not None
        queue.end(job.id, "done", result="demonstrations-0123456789abcdef")
    db = sqlite3.connect(root / "jobs.sqlite")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return queue


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    root = tmp_path_factory.mktemp("whole")
    filled(root)
    return (root / "jobs.sqlite").read_bytes()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_does_not_keep_the_server_from_starting(
    damage: Callable[[bytes], bytes], whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(damage(whole))
    queue = Queue(tmp_path)
    assert "has been set aside" in capsys.readouterr().err and "has been set aside" in queue.notice
    assert queue.list() == []
    queue.add("record", {}, owner="a", resumable=False)
    assert [job.owner for job in queue.list()] == ["a"]
    (kept,) = tmp_path.glob("jobs.sqlite.damaged-*")
    assert kept.read_bytes() == damage(whole)
    again = Queue(tmp_path)
    assert len(again.list()) == 1 and again.notice == "" and capsys.readouterr().err == "", "only once"


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_index_that_is_damaged_while_the_server_runs_is_set_aside_too(
    damage: Callable[[bytes], bytes], whole: bytes, tmp_path: Path
) -> None:
    queue = filled(tmp_path, 1)
    for ending in ("-wal", "-shm"):
        (tmp_path / f"jobs.sqlite{ending}").unlink(missing_ok=True)
    (tmp_path / "jobs.sqlite").write_bytes(damage(whole))
    with pytest.raises(InputError, match="has been set aside"):
        for _ in range(2):
            queue.list(limit=1000)
            queue.add("record", {}, owner="a", resumable=False)
            queue.forget_old()
    queue.add("record", {}, owner="b", resumable=False)
    assert "b" in [job.owner for job in queue.list()]


def test_a_whole_index_stays(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(whole)
    assert not index.set_aside_if_damaged(tmp_path / "jobs.sqlite")
    assert len(Queue(tmp_path).list(limit=100)) == 60


def test_what_another_process_has_set_aside_is_not_set_aside_again(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(whole)
    answers = iter((False, True))  # damaged when first looked at, new once the lock is had
    monkeypatch.setattr(index, "is_whole", lambda _: next(answers))
    assert not index.set_aside_if_damaged(tmp_path / "jobs.sqlite")
    assert (tmp_path / "jobs.sqlite").read_bytes() == whole


@pytest.mark.parametrize(
    ("code", "words"),
    [(sqlite3.SQLITE_FULL, "The disk is full. Delete"), (sqlite3.SQLITE_READONLY, "can only be read. Make it yours")],
)
def test_a_disk_that_refuses_is_one_sentence_that_says_what_to_do(code: int, words: str, tmp_path: Path) -> None:
    error = sqlite3.OperationalError("it")
    error.sqlite_errorcode = code
    found = index.worded(error, tmp_path)
    assert found is not None and words in str(found) and "STEERING_STORE" in str(found)


def test_a_store_that_is_no_folder_is_one_sentence(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    (tmp_path / "jobs.sqlite").mkdir()
    with pytest.raises(InputError, match="cannot be opened. Make it yours"):
        queue.list()
