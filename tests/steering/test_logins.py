"""A visitor who is signed in fetches with their own token, which lies in memory alone, and opens it to nobody else."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from steering import hub, logins, pipeline
from steering.demonstrations import guard
from steering.jobs.client import Jobs
from steering.logins import Login
from steering.pipeline.uploads import source_of
from steering.progress import Progress
from steering.store import Store

ADA, EVE = "a" * 16, "e" * 16
TOKEN = "hf_ada_and_nobody_else"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
SMALL_JOBS = Path(__file__).parent / "jobs" / "small_jobs.py"


@pytest.fixture
def signed_in() -> Iterator[None]:
    logins.remember(Login(ADA, TOKEN, time.time() + 3600))
    yield
    logins.forget(ADA)


def repository(source: str) -> hub.Repository:
    found = hub.named(source)
    assert found is not None
    return found


def test_each_asks_with_their_own_token_and_in_a_cache_of_their_own(
    signed_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "the operator's")
    ada, eve, nobody = (repository(hub.marked("lab/secret", who)) for who in (ADA, EVE, ""))
    assert (ada.id, ada.source, hub.shown(ada.source)) == ("lab/secret", f"hub:lab/secret@{ADA}", "lab/secret")
    assert ada.access["token"] == TOKEN and not ada.lapsed
    assert eve.access["token"] is False and "sign in again" in eve.lapsed
    assert nobody.access["token"] is False and not nobody.lapsed
    assert len({str(one.access["cache_dir"]) for one in (ada, eve, nobody)}) == 3
    assert hub.beside(ada.source, "lab/words").access == ada.access, "what it names is fetched in the same way"


def test_a_login_ends(signed_in: None) -> None:
    logins.remember(Login(ADA, TOKEN, time.time() - 1))
    assert logins.of(ADA) is None
    assert TOKEN not in repr(Login(ADA, TOKEN, 0.0))


def test_an_upload_from_the_hub_keeps_who_asked_and_no_token(tmp_path: Path, signed_in: None) -> None:
    (tmp_path / "hub.json").write_text(json.dumps({"id": "lab/secret", "account": ADA}))
    assert repository(source_of(tmp_path)).access["token"] == TOKEN


def test_what_was_fetched_with_a_login_goes_with_its_owners_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path))
    kept, old, others = (hub.visitors_cache() / name for name in (ADA, EVE, "models--lab--open"))
    for folder in (kept, old, others):
        folder.mkdir(parents=True)
    for folder in (old, others):
        os.utime(folder, (0, 0))
    hub.forget_old_downloads(3600.0)
    assert kept.is_dir() and others.is_dir() and not old.exists()
    hub.forget_downloads("..")
    hub.forget_downloads(ADA)
    assert not kept.exists() and others.is_dir()


def whose(path: str, progress: Progress) -> str:
    """Runs in the process that reads a dataset."""
    token = repository(path).access["token"]
    return hashlib.sha256(token.encode()).hexdigest() if token else "no token"


def test_the_process_that_reads_a_dataset_knows_its_login_alone(
    signed_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))

    def read(source: str) -> object:
        return guard.guarded("test_logins:whose", {"path": source}, name="secret")

    assert read(hub.marked("lab/secret", ADA)) == DIGEST
    assert read(hub.marked("lab/secret", EVE)) == "no token"


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    from .jobs import small_jobs  # here, for a child reads this file by its path

    monkeypatch.setattr(pipeline, "RUNNABLE", small_jobs.RUNNABLE)
    monkeypatch.setattr(pipeline, "is_brief", lambda *_: False)
    made = Jobs(Store(tmp_path / "store"), worker_command=(sys.executable, str(SMALL_JOBS)))
    yield made
    made.close()


def ran(jobs: Jobs, owner: str, **arguments: Any) -> str:
    """Name of what a job made."""
    job, until_s = jobs.submit("fetch", owner=owner, **arguments), time.monotonic() + 60
    while not (status := jobs.status(job)).ended:
        assert time.monotonic() < until_s
        time.sleep(0.02)
    assert status.result, status.error
    return str(jobs._store.load(status.result).rule)


def test_a_worker_is_told_through_its_pipe_and_nothing_is_written(
    jobs: Jobs, tmp_path: Path, signed_in: None, read_process: Callable[[int], bytes]
) -> None:
    assert ran(jobs, ADA, policy=hub.marked("lab/secret", ADA)) == DIGEST, "a worker that starts is told"
    process = jobs._workers["main"].process
    assert process is not None
    logins.remember(Login(ADA, "another", time.time() + 3600))
    assert ran(jobs, ADA, policy=hub.marked("lab/more", ADA)) == hashlib.sha256(b"another").hexdigest(), "one that runs"
    assert jobs._workers["main"].process is process
    assert ran(jobs, EVE, policy=hub.marked("lab/secret", EVE)) == "no token"
    written = [path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert written and not any(TOKEN.encode() in one for one in (*written, read_process(process.pid)))


@pytest.fixture
def read_process() -> Callable[[int], bytes]:
    """What anybody on the machine may see of a process: its arguments and, its owner, its environment."""
    if not Path("/proc/self").is_dir():
        pytest.skip("no /proc here, as on macOS")
    return lambda pid: Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
