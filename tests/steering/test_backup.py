"""A store comes back from its backup as it was, written while it is in use; and the operator's commands."""

from __future__ import annotations

import json
import stat
import tarfile
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.classbook import FILE, ClassBook
from app.cookies import KEY_FILE, signing_key
from steering import backup
from steering.cli.main import app
from steering.errors import InputError
from steering.jobs.queue import Queue
from steering.keeping import DAY_S
from steering.store import Store
from steering.types import Head

ADA = "a" * 16


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A store with an artefact of a visitor's, one that rests on it, a job and a key."""
    store = Store(tmp_path / "store", owner=ADA)
    first = store.save("demonstrations", Head("vlm", 0, 0))
    store.save("adapter", Head("vlm", 0, 1), parents=[first])
    Queue(store.root).add("record", {"count": 1}, owner=ADA, resumable=False)
    ClassBook(store.root).make("week 3", ADA, ADA)
    signing_key(store.root)
    (store.root / "media").mkdir()
    (store.root / "media" / "picture.webp").write_bytes(b"made anew")
    return store.root


def content(root: Path) -> dict[str, bytes]:
    kept = [root / name for name in (*backup.FOLDERS, backup.KEY)]
    files = [path for place in kept for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_a_store_comes_back_as_it_was(filled: Path, tmp_path: Path) -> None:
    count = backup.write(filled, tmp_path / "store.tar")
    assert stat.S_IMODE((tmp_path / "store.tar").stat().st_mode) == 0o600
    assert backup.read(tmp_path / "store.tar", tmp_path / "back") == count
    assert content(tmp_path / "back") == content(filled) and not (tmp_path / "back" / "media").exists()
    old, new = Store(filled), Store(tmp_path / "back")
    assert [one.id for one in new.everything()] == [one.id for one in old.everything()]
    assert new.owners.own(ADA).keys() == old.owners.own(ADA).keys() and len(new.owners.own(ADA)) == 2
    assert all(new.load(one.id) == old.load(one.id) for one in old.everything())
    assert [job.id for job in Queue(new.root).list()] == [job.id for job in Queue(old.root).list()]
    (taught,) = ClassBook(new.root).taught(ADA)
    assert taught == ClassBook(old.root).taught(ADA)[0] and backup.CLASSES == FILE
    assert signing_key(new.root) == signing_key(old.root), "visitors are known again"
    assert stat.S_IMODE((new.root / KEY_FILE).stat().st_mode) == 0o600 and backup.KEY == KEY_FILE


def test_entries_keep_their_time(filled: Path, tmp_path: Path) -> None:
    import os

    (entry, _) = (filled / "owners" / ADA / "own").iterdir()
    at_s = time.time() - 5 * DAY_S
    os.utime(entry, (at_s, at_s))
    backup.write(filled, tmp_path / "store.tar")
    backup.read(tmp_path / "store.tar", tmp_path / "back")
    assert Store(tmp_path / "back").owners.own(ADA)[entry.name] == pytest.approx(at_s, abs=1)


def test_it_is_whole_while_jobs_and_artefacts_come_and_go(filled: Path, tmp_path: Path) -> None:
    store, queue, going = Store(filled), Queue(filled), True

    def work() -> None:
        number = 10
        while going:
            number += 1
            made = store.save("relevance", Head("vlm", 1, number))
            queue.request_cancel(queue.add("record", {"count": number}, owner=f"o{number}", resumable=False))
            if number % 2:
                store.delete(made)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for number in range(5):
            backup.write(filled, tmp_path / f"{number}.tar")
    finally:
        going = False
        worker.join()
    for number in range(5):
        backup.read(tmp_path / f"{number}.tar", tmp_path / f"back{number}")
        found = Store(tmp_path / f"back{number}")
        manifests = found.everything()
        assert len(manifests) >= 2 and all(found.load(one.id) for one in manifests)
        assert Queue(found.root).list() and not Queue(found.root).notice


@pytest.mark.parametrize("damage", ["half", "empty", "other"])
def test_what_is_no_backup_leaves_nothing_behind(filled: Path, tmp_path: Path, damage: str) -> None:
    tar = tmp_path / "store.tar"
    backup.write(filled, tar)
    if damage == "half":
        tar.write_bytes(tar.read_bytes()[:2000])
    elif damage == "empty":
        tar.write_bytes(b"")
    else:
        tar.unlink()
        with tarfile.open(tar, "w") as made:
            made.add(Path(__file__), "../escape.py")
    with pytest.raises(InputError):
        backup.read(tar, tmp_path / "back")
    assert not list((tmp_path / "back").iterdir()) and not (tmp_path / "escape.py").exists()


def test_nothing_is_written_over(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "there.tar").write_text("x")
    with pytest.raises(InputError, match="there already"):
        backup.write(filled, tmp_path / "there.tar")
    with pytest.raises(InputError, match="inside the store"):
        backup.write(filled, filled / "store.tar")
    with pytest.raises(InputError, match="holds no store"):
        backup.write(tmp_path / "none", tmp_path / "none.tar")
    backup.write(filled, tmp_path / "store.tar")
    with pytest.raises(InputError, match="not empty"):
        backup.read(tmp_path / "store.tar", filled)


def run(*arguments: str) -> str:
    found = CliRunner().invoke(app, list(arguments))
    assert found.exception is None, found.exception
    return found.stdout


def test_jobs_are_listed_stopped_and_cleared(filled: Path) -> None:
    store = ("--store", str(filled))
    (job,) = Queue(filled).list()
    shown = run("jobs", "list", *store)
    assert job.id[:12] in shown and "queued" in shown and ADA in shown and "place 1" in shown
    with pytest.raises(InputError, match="No job"):
        CliRunner().invoke(app, ["jobs", "stop", "zz", *store], catch_exceptions=False)
    assert json.loads(run("jobs", "stop", job.id[:8], *store)) == {"stopped": [job.id]}
    assert json.loads(run("jobs", "stop", "all", *store)) == {"stopped": []}
    (listed,) = json.loads(run("jobs", "list", "--json", *store))
    assert listed["state"] == "cancelled"
    assert json.loads(run("jobs", "clear", *store)) == {"forgotten": 1}
    assert run("jobs", "list", *store) == ""


def test_gc_deletes_what_visitors_do_not_work_with(filled: Path) -> None:
    Store(filled).save("demonstrations", Head("vlm", 5, 5))
    assert json.loads(run("gc", "--store", str(filled)))["artefacts"] == 0, "nothing expires on one's own server"
    time.sleep(0.02)
    assert json.loads(run("gc", "--store", str(filled), "--days", "0"))["artefacts"] == 2
    assert [one.params for one in Store(filled).everything()] == [{}]


def test_backup_and_restore_are_commands(filled: Path, tmp_path: Path) -> None:
    run("backup", str(tmp_path / "store.tar"), "--store", str(filled))
    run("restore", str(tmp_path / "store.tar"), "--store", str(tmp_path / "back"))
    assert content(tmp_path / "back") == content(filled)
