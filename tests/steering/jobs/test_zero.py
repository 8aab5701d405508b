"""A ZeroGPU Space's worker: what runs a policy is a call of a decorated function, in a fork; `spaces` is a fake one."""

from __future__ import annotations

import contextvars
import hashlib
import importlib.util
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from steering import hub, logins, pipeline
from steering.errors import InputError
from steering.jobs import zero
from steering.jobs.client import Jobs
from steering.jobs.queue import JobStatus
from steering.jobs.zero import Inside, serves_inside
from steering.logins import Login
from steering.store import Store

from . import small_jobs

SMALL_JOBS = Path(__file__).with_name("small_jobs.py")
ADA = "a" * 16
HEADERS: contextvars.ContextVar[str] = contextvars.ContextVar("headers", default="nobody's")


class Spaces:
    """As the package of that name: a decorated function runs in a fork, here no longer than `most_s`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.most_s = 20.0

    def GPU(self, duration: Callable[..., int]) -> Callable[..., Any]:  # noqa: N802  its name
        def decorate(function: Callable[..., None]) -> Callable[..., None]:
            def call(*given: Any) -> None:
                self.calls.append((HEADERS.get(), duration(*given)))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # a fork among threads, as there
                    fork = multiprocessing.get_context("fork").Process(target=function, args=given)
                    fork.start()
                fork.join(self.most_s)
                if fork.is_alive():
                    fork.kill()
                    fork.join()
                    raise RuntimeError("GPU task aborted")

            return call

        return decorate


@pytest.fixture
def spaces() -> Spaces:
    return Spaces()


@pytest.fixture
def jobs(tmp_path: Path, spaces: Spaces, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    monkeypatch.setattr(pipeline, "RUNNABLE", small_jobs.RUNNABLE)
    monkeypatch.setattr(pipeline, "RESUMABLE", {"keep_place"})
    monkeypatch.setattr(pipeline, "is_brief", lambda *_: False)
    monkeypatch.setattr("steering.jobs.client.SUPERVISE_EVERY_S", 0.05)
    store = Store(tmp_path / "store")
    inside = Inside(store, spaces.GPU, (sys.executable, str(SMALL_JOBS)))
    made = Jobs(store, cancel_patience_s=0.1, inside=inside)
    yield made
    made.close()


def ended(jobs: Jobs, job_id: str) -> JobStatus:
    until_s = time.monotonic() + 60
    while not (status := jobs.status(job_id)).ended:
        assert time.monotonic() < until_s
        time.sleep(0.02)
    return status


def rule(jobs: Jobs, status: JobStatus) -> str:
    assert status.result, status.error
    return str(jobs._store.load(status.result).rule)


def test_what_runs_a_policy_is_a_call_of_whoever_asked_and_the_rest_is_none(jobs: Jobs, spaces: Spaces) -> None:
    logins.remember(Login(ADA, "hf_ada", time.time() + 3600))
    token = HEADERS.set("ada's")
    try:
        job = jobs.submit("fetch", owner=ADA, policy=hub.marked("lab/secret", ADA))
    finally:
        HEADERS.reset(token)
    assert rule(jobs, ended(jobs, job)) == hashlib.sha256(b"hf_ada").hexdigest(), "the fork knows who is signed in"
    assert spaces.calls == [("ada's", zero.FEWEST_S)]
    assert ended(jobs, jobs.submit("count", steps=2, owner=ADA)).state == "done"
    assert len(spaces.calls) == 1, "no GPU for what needs none"
    logins.forget(ADA)


def test_a_job_with_a_checkpoint_goes_on_in_another_call(
    jobs: Jobs, spaces: Spaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "runs_policy", lambda *_: True)
    monkeypatch.setattr(zero, "seconds_of", lambda *_: 1)
    monkeypatch.setattr(zero, "SPARE_S", 0.5)
    status = ended(jobs, jobs.submit("keep_place", steps=60, owner=ADA))
    assert rule(jobs, status).startswith("from ") and rule(jobs, status) != "from 0"
    assert len(spaces.calls) > 1


def test_a_call_that_is_cut_off_ends_in_words_and_the_server_lives(
    jobs: Jobs, spaces: Spaces, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pipeline, "runs_policy", lambda *_: True)
    spaces.most_s = 0.5
    status = ended(jobs, jobs.submit("stubborn", owner=ADA))
    assert status.state == "failed" and "GPU minutes" in str(status.error)
    stopped = jobs.submit("stubborn", name="again", owner=ADA)
    while jobs.status(stopped).state == "queued":
        time.sleep(0.02)
    jobs.cancel(stopped)
    assert ended(jobs, stopped).state == "cancelled", "and its worker, which is this process, was not killed"
    assert "GPU task aborted" in capfd.readouterr().err


def test_a_policy_is_run_by_what_takes_one_to_run_it() -> None:
    on_gpu = {name for name, function in pipeline.RUNNABLE.items() if pipeline.runs_policy(function)}
    assert {"find_heads", "finetune", "evaluate", "rollout", "attribute", "attention", "head_change"} <= on_gpu
    assert not {"record", "import_upload", "inspect_upload", "import_demonstrations", "compare", "trust"} & on_gpu
    assert pipeline.runs_policy(pipeline.record, {"policy": "embedded"}), "a policy records what it does"
    assert pipeline.runs_policy(pipeline.record, {"adapter_id": "adapter-0"})


def test_it_is_off_unless_set_and_asks_for_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(zero.SWITCH, raising=False)
    assert not serves_inside()
    monkeypatch.setenv(zero.SWITCH, "1")
    if importlib.util.find_spec("spaces") is None:
        with pytest.raises(InputError, match="package spaces"):
            serves_inside()
    fake = ModuleType("spaces")
    fake.__spec__ = importlib.util.spec_from_loader("spaces", loader=None)
    monkeypatch.setitem(sys.modules, "spaces", fake)
    assert serves_inside() and os.environ[zero.SWITCH] == "1"
