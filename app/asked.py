"""Refuses events that no page of this server sends, in words, before Gradio sees them.

ASGI middleware over the routes that take events: an event that is not there (a page of an earlier version sends such,
too), one that only the browser handles, too few values, and files by path or address, which the page never sends and
Gradio would fetch. Gradio prints a traceback for each and says nothing. Reads a body twice: .1 ms for a usual one.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import gradio as gr
import orjson
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ROUTES = re.compile(r".*/gradio_api/(?:run|call|call/v2)/([^/]+)/?|.*/gradio_api/queue/join/?")
UNKNOWN = "This page is not of the version that the server runs now. Reload it."
FILES = "Files come by the page's own upload, not by a path or address."


class Asked:
    """ASGI middleware. page: whose events are answered."""

    def __init__(self, app: ASGIApp, page: gr.Blocks) -> None:
        self._app, self._page = app, page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse in words."""
        route = _ROUTES.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return  # the browser has gone
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        words = self._wrong(route[1], body)
        if words:
            await JSONResponse({"error": words, "detail": words}, status_code=400)(scope, receive, send)
            return
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, again, send)

    def _wrong(self, name: str | None, body: bytes) -> str:
        """What is wrong with an event; empty for nothing, and for what Gradio says itself (no JSON, wrong types)."""
        try:
            sent = orjson.loads(body)
        except orjson.JSONDecodeError:
            return ""
        if not isinstance(sent, dict):
            return ""
        if b'"gradio.FileData"' in orjson.dumps(sent):
            return FILES
        index, values = sent.get("fn_index"), sent.get("data")
        event = self._event(name, index)
        if event is None or event.fn is None:
            return UNKNOWN if name not in (None, "predict") or isinstance(index, int) else ""
        if not isinstance(values, list) or len(values) >= len(event.inputs):
            return ""
        if event.api_visibility != "public":
            return UNKNOWN
        names = list(inspect.signature(event.fn).parameters)[1:]  # the first is who asks
        return f"{event.api_name} takes {len(event.inputs)} values: {', '.join(names)}. docs/QUESTIONS.md shows it."

    def _event(self, name: str | None, index: object) -> Any:
        if isinstance(index, int):
            return self._page.fns.get(index)
        found = (one for one in self._page.fns.values() if one.api_name == name and name is not None)
        return next(found, None)
