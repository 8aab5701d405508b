"""What whoever runs the server can see of it: health, numbers for Prometheus, and a log line a request with an id.

ASGI middleware, outermost: every request gets an id, which its answer carries as X-Request-ID, its log line and the log
of an error name, and the words shown to a visitor for an error that was not foreseen end with. `GET /healthz` answers
200, or 503 with the reasons; `GET /metrics` in Prometheus' text format, where strangers use the server only with the
token of METRICS. Logs are one JSON object a line on stderr; a server of one's own writes errors alone unless LOG is 1.
Microseconds a request, milliseconds for the two addresses.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import shutil
import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import steering
from app.questions.context import Context
from steering.disk import LITTLE_BYTES
from steering.errors import SteeringError
from steering.public import is_public

if TYPE_CHECKING:
    pass

LOG = "STEERING_LOG"
"""Environment variable: 1 logs every request, 0 errors alone; where strangers use the server it is 1 unless set."""
METRICS = "STEERING_METRICS_TOKEN"
"""Environment variable: what asks for /metrics sends this as its bearer token."""
KINDS = ("run", "call", "queue", "heartbeat", "assets", "previews", "media", "uploads", "driving", "healthz", "metrics")
"""Parts of addresses that are counted apart; whatever else is `page`."""
QUIET = ("healthz", "metrics", "heartbeat", "assets")
_request: ContextVar[str] = ContextVar("request_id", default="")
_writing = threading.Lock()


class Counters:
    """Requests that were answered since the start, by kind of address and status: how many, and seconds in all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count: dict[tuple[str, int], int] = defaultdict(int)
        self.seconds: dict[tuple[str, int], float] = defaultdict(float)
        self.errors = 0

    def add(self, kind: str, status: int, seconds: float) -> None:
        """Count an answer."""
        with self._lock:
            self.count[kind, status] += 1
            self.seconds[kind, status] += seconds

    def failed(self) -> None:
        """Count an error that was not foreseen."""
        with self._lock:
            self.errors += 1


COUNTERS = Counters()


class Watched:
    """ASGI middleware: ids, counts and log lines."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and tell of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, began_s, status = secrets.token_hex(6), time.perf_counter(), 500
        scope.setdefault("state", {})["request_id"] = request_id

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        token = _request.set(request_id)
        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            tell_error(error)
            raise
        finally:
            _request.reset(token)
            seconds, kind = time.perf_counter() - began_s, kind_of(scope["path"])
            COUNTERS.add(kind, status, seconds)
            if logs_requests() and kind not in QUIET:
                visitor = getattr(scope["state"].get("visitor"), "owner", "")
                tell(
                    "request",
                    id=request_id,
                    method=scope["method"],
                    path=scope["path"][:200],
                    status=status,
                    ms=round(1000 * seconds, 1),
                    visitor=visitor,
                )


def kind_of(path: str) -> str:
    """What an address counts as, one of KINDS or `page`."""
    parts = [part for part in path.split("/")[:4] if part]
    return next((part for part in parts if part in KINDS), "page")


def logs_requests() -> bool:
    """Whether every request gets a log line."""
    return os.environ.get(LOG, "1" if is_public() else "0") == "1"


def request_id() -> str:
    """The id of the request that is answered now; empty outside of one."""
    return _request.get()


def state_of(request: gr.Request | Request | None) -> object:
    """What middleware noted of an event's request; an agent's comes as Starlette's own. None outside of one."""
    return getattr(getattr(request, "request", request), "state", None)


@contextmanager
def within(request: gr.Request | None) -> Iterator[None]:
    """Let an event's request be the one that is answered, also where Gradio's queue handles it later."""
    token = _request.set(getattr(state_of(request), "request_id", ""))
    try:
        yield
    finally:
        _request.reset(token)


def tell(event: str, **fields: Any) -> None:
    """Write a log line."""
    line = json.dumps({"time": round(time.time(), 3), "event": event, **fields})
    with _writing:
        print(line, file=sys.stderr, flush=True)


def tell_error(error: Exception) -> None:
    """Log an error that was not foreseen, with the request that met it."""
    COUNTERS.failed()
    if not logs_requests():  # somebody reads the terminal
        with _writing:
            print(f"Request {request_id() or 'none'}:", file=sys.stderr)
            traceback.print_exception(error)
        return
    tell("error", id=request_id(), error=type(error).__name__, trace=traceback.format_exception(error))


def routes(context: Context) -> list[Route]:
    """The two addresses over `context`."""

    async def healthz(_: Request) -> Response:
        reasons = await run_in_threadpool(unwell, context)
        body = {"ok": not reasons, "version": steering.__version__, "reasons": reasons}
        return JSONResponse(body, 503 if reasons else 200, headers={"Cache-Control": "no-store"})

    async def metrics(request: Request) -> Response:
        if not _may_read(Headers(scope=request.scope)):
            return PlainTextResponse(f"Whoever runs this server sets {METRICS}, and sends it as a bearer token.", 403)
        text = await run_in_threadpool(exposition, context)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4", headers={"Cache-Control": "no-store"})

    return [Route("/healthz", healthz), Route("/metrics", metrics)]


def unwell(context: Context) -> list[str]:
    """Why the server cannot do its work; nothing where it can. No words name a place on it."""
    found = []
    if not os.access(context.store.root, os.W_OK):
        found.append("The store cannot be written.")
    elif shutil.disk_usage(context.store.root).free < LITTLE_BYTES:
        found.append("The disk is nearly full.")
    try:
        context.jobs.counts()
    except SteeringError:
        found.append("The list of jobs cannot be read or written.")
    return found


def exposition(context: Context) -> str:
    """The numbers in Prometheus' text format."""
    lines: list[str] = []

    def put(name: str, kind: str, help_: str, values: dict[str, float]) -> None:
        lines.extend([f"# HELP steering_{name} {help_}", f"# TYPE steering_{name} {kind}"])
        lines.extend(f"steering_{name}{labels} {value:.10g}" for labels, value in sorted(values.items()))

    labels = {one: f'{{kind="{one[0]}",status="{one[1]}"}}' for one in list(COUNTERS.count)}
    put("requests_total", "counter", "Answered requests.", {labels[one]: COUNTERS.count[one] for one in labels})
    put("request_seconds_total", "counter", "Time of them.", {labels[one]: COUNTERS.seconds[one] for one in labels})
    put("errors_total", "counter", "Errors that were not foreseen.", {"": COUNTERS.errors})
    put("jobs", "gauge", "Jobs by state.", {f'{{state="{k}"}}': v for k, v in context.jobs.counts().items()})
    put("drives", "gauge", "Drives by hand that go on.", {"": context.driving.count})
    put("visitors", "gauge", "Visitors who own something.", {"": len(context.store.owners.all())})
    put("artefacts", "gauge", "Artefacts of the store.", {"": sum(1 for _ in context.store.artefacts.glob("*-*"))})
    put("disk_free_bytes", "gauge", "Free disk of the store.", {"": shutil.disk_usage(context.store.root).free})
    if memory := resident_bytes():
        put("resident_bytes", "gauge", "Memory of the page's process.", {"": memory})
    return "\n".join(lines) + "\n"


def resident_bytes() -> int:
    """Memory of this process that is in RAM; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _may_read(headers: Headers) -> bool:
    token = os.environ.get(METRICS, "")
    if token:
        return hmac.compare_digest(headers.get("authorization", "").encode(), f"Bearer {token}".encode())
    return not is_public()
