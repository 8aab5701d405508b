"""Health, numbers and logs of a server; and that it ends soon whatever it does."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Router
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app import cookies, monitoring
from app.questions.context import Context, open_context
from app.tabs.events import in_words
from steering.jobs.client import Jobs
from steering.jobs.lock import WorkerLock
from steering.jobs.queue import MAIN, Queue
from steering.store import Store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr(Jobs, "_start", lambda self, worker: None)
    store = Store(tmp_path / "store")
    return open_context(store, Jobs(store))


@pytest.fixture
def client(workbench: Context) -> TestClient:
    return TestClient(monitoring.Watched(Router(monitoring.routes(workbench))), base_url="http://127.0.0.1")


def test_health_is_200_or_says_why_not(client: TestClient, workbench: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/healthz").json()["ok"] is True
    (workbench.store.root / "jobs.sqlite").unlink()
    (workbench.store.root / "jobs.sqlite").mkdir()
    answer = client.get("/healthz")
    assert answer.status_code == 503 and answer.json()["reasons"] == ["The list of jobs cannot be read or written."]
    monkeypatch.setattr("os.access", lambda *_: False)
    answer = client.get("/healthz")
    assert "The store cannot be written." in answer.json()["reasons"]
    assert str(workbench.store.root) not in answer.text


LINE = re.compile(r'(#\s(HELP|TYPE)\s\w+\s.+)|(\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})?\s[-+0-9.e]+)')


def test_numbers_are_in_prometheus_format_and_count(client: TestClient, workbench: Context) -> None:
    workbench.jobs.submit("record", owner="a" * 16, task="pick_cube", count=1)
    client.get("/healthz")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert lines and all(LINE.fullmatch(line) for line in lines), [x for x in lines if not LINE.fullmatch(x)]
    assert 'steering_jobs{state="queued"} 1' in lines
    counted = next(x for x in lines if x.startswith('steering_requests_total{kind="healthz",status="200"}'))
    assert float(counted.split()[1]) >= 1
    assert any(line.startswith("steering_resident_bytes") for line in lines)


def test_strangers_read_no_numbers_without_the_token(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEERING_PUBLIC", "1")
    assert client.get("/metrics").status_code == 403
    monkeypatch.setenv(monitoring.METRICS, "secret")
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer secret"}).status_code == 200


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/fails":
        raise ZeroDivisionError("hm")
    await PlainTextResponse(monitoring.request_id())(scope, receive, send)


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]


def test_every_request_has_an_id_that_its_log_line_names(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(monitoring.LOG, "1")
    client = TestClient(monitoring.Watched(cookies.Visitors(fails, b"k")), raise_server_exceptions=False)
    answer = client.get("/x")
    assert answer.text == answer.headers["x-request-id"] and len(answer.text) == 12
    (line,) = logged(capsys)
    assert (line["id"], line["path"], line["status"], line["event"]) == (answer.text, "/x", 200, "request")
    assert line["visitor"] == answer.headers["set-cookie"].split("=")[1][:16] and line["ms"] >= 0
    client.get("/fails")
    error, request = logged(capsys)
    assert error["event"] == "error" and error["id"] == request["id"] and "ZeroDivisionError" in error["trace"][-1]
    assert request["status"] == 500
    monkeypatch.setenv(monitoring.LOG, "0")
    client.get("/x")
    assert not logged(capsys)


def test_the_words_of_an_error_name_the_request_of_its_event(capsys: pytest.CaptureFixture[str]) -> None:
    scope: Scope = {"type": "http", "headers": [], "state": {"request_id": "abc123"}}
    with monitoring.within(gr.Request(Request(scope))):
        assert "request abc123" in in_words(ZeroDivisionError("hm"))
    assert "Request abc123:" in capsys.readouterr().err
    assert "request none" in in_words(ZeroDivisionError("hm"))


@pytest.fixture(scope="module")
def public(
    tmp_path_factory: pytest.TempPathFactory, samples: tuple[Path, dict[str, str]], serve: Callable[..., Any]
) -> Iterator[Any]:
    with serve(tmp_path_factory.mktemp("watched"), samples[0], STEERING_PUBLIC="1") as found:
        yield found


def test_the_served_page_answers_all_of_it(public: Any) -> None:
    status, headers, body = public.ask("GET", "/healthz")
    assert status == 200 and json.loads(body)["ok"]
    assert public.ask("GET", "/metrics")[0] == 403
    refused = public.ask("GET", "/gradio_api/upload", {"Host": "127.0.0.1"})
    until_s = time.monotonic() + 20
    while refused[1]["x-request-id"] not in public.log.read_text():  # it is written after the answer
        assert time.monotonic() < until_s
        time.sleep(0.05)
    lines = [json.loads(line) for line in public.log.read_text().splitlines() if line.startswith("{")]
    told = next(line for line in lines if line["id"] == refused[1]["x-request-id"])
    assert told["status"] == 404 and told["path"] == "/gradio_api/upload"
    assert headers["x-request-id"] not in {line["id"] for line in lines}, "probes are not logged"


@pytest.mark.parametrize("when", [pytest.param("idle", marks=pytest.mark.slow), "job"])
def test_a_server_ends_within_ten_seconds_whatever_it_does(
    tmp_path: Path, samples: tuple[Path, dict[str, str]], serve: Callable[..., Any], browse: Any, when: str
) -> None:
    with serve(tmp_path, samples[0], (sys.executable, str(ROOT / "app.py"))) as page:
        queue = Queue(page.store)
        if when == "job":
            browse(page).event("record", action="record", form={"task": "pick_cube", "count": "50"})
            until_s = time.monotonic() + 120
            while not any(job.fraction for job in queue.list()):
                assert time.monotonic() < until_s, queue.list()
                time.sleep(0.2)
            assert WorkerLock(page.store, MAIN).holder()
        began_s = time.monotonic()
        os.kill(page.pid, signal.SIGTERM)
        until_s = began_s + 10 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # others' work is no failure
        while os.path.exists(f"/proc/{page.pid}/exe"):  # noqa: PTH110 (a zombie has none)
            assert time.monotonic() < until_s, "it still runs"
            time.sleep(0.05)
        assert WorkerLock(page.store, MAIN).holder() is None, "so has its worker"
    assert "Traceback" not in page.log.read_text()
