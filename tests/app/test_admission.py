"""What the server answers to whom, asked over HTTP of the real page."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import admission

Ask = Callable[..., tuple[int, dict[str, str], bytes]]
ROOT = Path(__file__).resolve().parents[2]
PLACES = (str(ROOT), f"{tempfile.gettempdir()}/", f"{Path.home()}/", f"{sys.prefix}/")
"""Where the server, its store and its libraries lie."""


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", "", "[::"])
def test_other_names_are_refused(ask: Ask, host: str) -> None:
    status, _, body = ask("GET", "/config", {"Host": host})
    assert status == 400 and b"evil.example" in body or status == 400 and not host.startswith("evil"), body


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "10.0.0.7:7860", "[::1]:7860", socket.gethostname()])
def test_addresses_and_own_names_are_answered(ask: Ask, host: str) -> None:
    assert ask("GET", "/config", {"Host": host})[0] == 200


def test_names_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(admission.HOSTS, "context.example, *.group.example")
    monkeypatch.setenv("SPACE_ID", "someone/space")
    monkeypatch.setenv("SPACE_HOST", "someone-space.hf.space")
    names = admission.allowed_hosts()
    assert {"context.example", "*.group.example", "someone-space.hf.space", "*.hf.space", "localhost"} <= set(names)
    assert "*" not in names


OWN = "http://127.0.0.1:{port}"
EVENT = json.dumps({"fn_index": 0, "data": [], "session_hash": "x"})


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Origin": "http://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://127.0.0.1:1"}, True),
        ({"Origin": OWN}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://behind-a-proxy.example"}, False),
        ({}, False),
    ],
)
def test_only_own_pages_and_scripts_change_something(
    ask: Ask, port: int, headers: dict[str, str], refused: bool
) -> None:
    headers = {name: value.format(port=port) for name, value in headers.items()}
    for method, path in (("POST", "/gradio_api/run/predict"), ("POST", "/driving/x"), ("PUT", "/uploads/x/0")):
        status, _, body = ask(method, path, {**headers, "Content-Type": "application/json"}, EVENT)
        assert (status == 403) is refused, (path, status, body)
    if refused and "Origin" in headers:
        assert ask("GET", "/config", headers)[0] == 403, "nor may they read"
    assert ask("GET", "/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})[0] == 200, "links work"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/upload",
        "/gradio_api/upload?upload_id=x",
        "/gradio_api//upload",
        "/gradio_api/process_recording",
        "/gradio_api/component_server",
        "/gradio_api/stream/x",
        "/gradio_api/deep_link",
        "/gradio_api/proxy=http://localhost:1",
        "/gradio_api/file=/etc/hostname",
        "/gradio_api/vibe-edit",
        "/monitoring",
    ],
)
def test_routes_that_nobody_needs_are_closed(ask: Ask, path: str) -> None:
    for method in ("GET", "POST"):
        status, _, body = ask(method, path, {"Content-Type": "multipart/form-data; boundary=x"}, b"--x--")
        assert status == 404, (method, body)


def temporary_bytes() -> int:
    folders = [Path(tempfile.gettempdir()), Path(tempfile.gettempdir()) / "gradio"]
    return sum(
        file.stat().st_size for folder in folders if folder.is_dir() for file in folder.iterdir() if file.is_file()
    )


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/run/predict", "/gradio_api/queue/join"])
@pytest.mark.parametrize("said", [True, False])
def test_a_body_of_any_size_is_refused_while_it_is_read(port: int, path: str, said: bool) -> None:
    """1.5 GB, said beforehand or in chunks: refused after at most what is allowed, and nothing is kept."""
    before, wanted, sent = temporary_bytes(), 1536 << 20, 0
    part = bytes(1 << 20)
    with socket.create_connection(("127.0.0.1", port), timeout=200) as connection:
        kind = b"multipart/form-data; boundary=x" if path.endswith("upload") else b"application/json"
        length = f"Content-Length: {wanted}" if said else "Transfer-Encoding: chunked"
        start = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{length}\r\n"
        connection.sendall(start.encode() + b"Content-Type: " + kind + b"\r\n\r\n")
        try:
            if said:
                connection.sendall(b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n')
            while sent < wanted:
                connection.sendall(part if said else f"{len(part):x}\r\n".encode() + part + b"\r\n")
                sent += len(part)
        except OSError:
            pass  # the server has closed
        try:
            answer = connection.recv(4096)
        except OSError:
            answer = b""
    assert sent < 200 << 20, f"{sent >> 20} MB were taken"
    assert not answer or answer.split()[1] in (b"404", b"413"), answer
    assert temporary_bytes() - before < 1 << 20


def test_every_answer_has_its_headers(ask: Ask) -> None:
    for path, status in (("/config", 200), ("/theme.css", 200), ("/gradio_api/upload", 404)):
        found, headers, _ = ask("GET", path)
        assert found == status and headers["x-content-type-options"] == "nosniff"
        assert "content-security-policy" not in headers, "of no document"
    for path, status in (("/", 200), ("/favicon.ico", 200), ("/media/none.mp4", 404)):
        found, headers, _ = ask("GET", path)
        assert found == status and headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy and "object-src 'none'" in policy
        assert "frame-ancestors 'self' https://huggingface.co" in policy


def test_no_answer_tells_where_the_server_lies(ask: Ask) -> None:
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/startup-events"):
        body = ask("GET", path)[2].decode()
        for place in PLACES:
            assert place not in body, (path, body[max(0, body.find(place) - 80) : body.find(place) + 120])


def events_of(ask: Ask) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ask("GET", "/config")[2])["dependencies"]
    return found


FILE = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize("path", ["/gradio_api/run/predict", "/gradio_api/queue/join", "/gradio_api/run/none"])
@pytest.mark.parametrize("body", ["unknown", "negative", "huge", "browser_only", "few", "file", "no_list", "no_json"])
def test_events_that_no_page_sends_end_in_words_and_no_traceback(ask: Ask, served: Any, path: str, body: str) -> None:
    events = events_of(ask)
    some = next(one for one in events if one["backend_fn"] and len(one["inputs"]) > 1)
    bodies: dict[str, object] = {
        "unknown": {"fn_index": 10**6, "data": []},
        "negative": {"fn_index": -1, "data": []},
        "huge": {"fn_index": 2**63, "data": []},
        "browser_only": {"fn_index": next(one["id"] for one in events if not one["backend_fn"]), "data": []},
        "few": {"fn_index": some["id"], "data": []},
        "file": {"fn_index": some["id"], "data": [FILE] * len(some["inputs"])},
        "no_list": {"fn_index": some["id"], "data": 3},
        "no_json": "x",
    }
    before = len(served.log.read_text())
    sent = {**bodies[body], "session_hash": "odd"} if isinstance(bodies[body], dict) else "{"  # type: ignore[dict-item]
    text = sent if isinstance(sent, str) else json.dumps(sent)
    status, _, said = ask("POST", path, {"Content-Type": "application/json"}, text)
    found = json.loads(said)
    assert status in (400, 422) and (found.get("error") or found["detail"]), said
    assert "Traceback" not in served.log.read_text()[before:]


@pytest.mark.parametrize("odd", [None, 2**63, ["a"], "x" * 400], ids=["none", "huge", "list", "long"])
def test_odd_payloads_end_in_words_and_no_traceback(ask: Ask, served: Any, odd: object) -> None:
    """Every event of the page, with the same odd thing in every place."""
    form = {name: odd for name in ("task", "count", "seed", "hub", "episodes", "role-0", "upload", "name", "fields")}
    event = {"action": odd, "value": odd, "form": form, "selected": odd, "kind": odd, "head": odd, "frame": odd}
    event |= {"serial": odd, "turn": odd, "index": odd, "files": odd, "upload": odd, "name": odd, "job": odd}
    events = [one for one in events_of(ask) if one["backend_fn"]]
    assert len(events) > 50
    before = len(served.log.read_text())
    for one in events:
        body = {"fn_index": one["id"], "data": [odd] * len(one["inputs"]), "event_data": event, "session_hash": "odd"}
        status, _, said = ask("POST", "/gradio_api/run/predict", {"Content-Type": "application/json"}, json.dumps(body))
        assert status == 200 or json.loads(said)["error"], (one["id"], said)
        assert b"did not foresee" not in said, (one["id"], one["targets"], said)
        assert not any(place.encode() in said for place in PLACES), (one["id"], said)
    assert "Traceback" not in served.log.read_text()[before:]
