"""Health, numbers and logs of a server; and that it ends soon whatever it does."""

from __future__ import annotations

import functools
import http.client
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
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


def test_the_served_page_answers_all_of_it(public: Any) -> None:
    status, headers, body = public.ask("GET", "/healthz")
    assert status == 200 and json.loads(body)["ok"]
    assert public.ask("GET", "/metrics")[0] == 403
    refused = public.ask("GET", "/gradio_api/upload", {"Host": "127.0.0.1"})
    until_s = time.monotonic() + 200
    while refused[1]["x-request-id"] not in public.log.read_text():  # it is written after the answer
        assert time.monotonic() < until_s
        time.sleep(0.05)
    lines = [json.loads(line) for line in public.log.read_text().splitlines() if line.startswith("{")]
    told = next(line for line in lines if line["id"] == refused[1]["x-request-id"])
    assert told["status"] == 404 and told["path"] == "/gradio_api/upload"
    assert headers["x-request-id"] not in {line["id"] for line in lines}, "probes are not logged"


QUESTIONS: dict[str, tuple[object, ...]] = {
    "measure": ("{set}", "mean_ablation", "action", "whole"),
    "find_heads": ("{set}",),
    "train": ("{set}", "{heads}", ["lora"], "default", 200, 0, 0),
    "compare": ("{set}", "press_button", ["zero_shot"], 8, 0, [], [], False),
}
"""Question -> its values, of work that takes long."""


def question(visitor: Any, name: str, *values: object) -> Any:
    """The answer to a public question."""
    status, _, answer = visitor.ask("POST", f"/gradio_api/run/{name}", json.dumps({"data": [*values, ""]}))
    assert status == 200, answer
    return json.loads(answer)["data"][0]


def begin(page: Any, visitor: Any, when: str) -> Any:
    """Let a server do something; what has to stay for that."""
    if when in ("record", *QUESTIONS):
        if when == "record":
            visitor.event("record", action="record", form={"task": "pick_cube", "count": "50"})
        else:
            ask = functools.partial(question, visitor)
            named = {"{set}": ask("sets")[0]["id"]}
            named["{heads}"] = ask("choose_heads", named["{set}"], 5, "top", None, "")["digits"]
            ask(when, *(named.get(value, value) if isinstance(value, str) else value for value in QUESTIONS[when]))
        queue, until_s = Queue(page.store), time.monotonic() + 300
        while not any(job.state == "running" and job.fraction for job in queue.list()):
            assert time.monotonic() < until_s and not any(job.state == "failed" for job in queue.list()), queue.list()
            time.sleep(0.1)
        assert WorkerLock(page.store, MAIN).holder()
    if when == "upload":
        found = visitor.event("begin", action="", files=[{"name": "a.npz", "size": 1 << 20}])
        upload = re.search(r"[0-9a-f]{32}", found)
        assert upload, found
        sending = http.client.HTTPConnection("127.0.0.1", page.port)
        sending.putrequest("PUT", f"/uploads/{upload[0]}/0")
        sending.putheader("Content-Length", str(1 << 20))
        sending.putheader("Cookie", visitor.cookie)
        sending.endheaders(bytes(1000))
        return sending
    if when == "drive":
        shown = visitor.event("start", action="drive", form={"task": "press_button", "seed": "0"})
        key = re.search(r"[0-9a-f]{32}", shown)
        assert key, shown
        asking = threading.Thread(
            target=lambda: [visitor.ask("POST", f"/driving/{key[0]}", '{"do": "again"}') for _ in range(1000)],
            daemon=True,
        )
        threading.excepthook = lambda _: None  # it meets the end
        asking.start()
        time.sleep(0.5)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("when", ["record", "idle", "upload", "drive", *QUESTIONS])
def test_a_server_ends_within_ten_seconds_whatever_it_does(
    tmp_path: Path, serve: Callable[..., Any], browse: Any, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    with serve(tmp_path, ROOT / "assets" / "samples", (sys.executable, str(ROOT / "app.py"))) as page:
        kept = begin(page, browse(page), when)
        began_s = time.monotonic()
        os.kill(page.pid, signal.SIGTERM)
        until_s = began_s + 10 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # others' work is no failure
        while os.path.exists(f"/proc/{page.pid}/exe"):  # noqa: PTH110 (a zombie has none)
            assert time.monotonic() < until_s, "it still runs"
            time.sleep(0.05)
        assert WorkerLock(page.store, MAIN).holder() is None, "so has its worker"
    assert "Traceback" not in page.log.read_text()
    if kept is not None:
        kept.close()
