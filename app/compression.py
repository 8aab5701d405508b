"""Compress the page itself and the answers to its events, which Gradio sends plain: 195 kB become 45, a head map's 40
kB 8. Media are left alone: a compressed part of a video cannot be sought in, and images do not shrink.

The page without a query is the same for everybody who comes under the same name, for what is whose comes by its events:
it is rendered and compressed once, and kept (45 kB); each time anew took 90 ms of a core.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE = ("", "/")
PATHS = (*PAGE, "/config")
FOLDERS = ("/scripts/", "/gradio_api/run/")
"""The page's scripts, and the answers to its events (`predict`) and to its questions, each under its own name."""
NAMED_BY = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server")
"""Headers by which Gradio writes the page's own address into it."""
MOST_PAGES = 16


class PageCompression:
    """ASGI middleware: gzip for PATHS and what lies in FOLDERS only. Nothing inside it may depend on who asks for the
    page; what adds a visitor's cookie stands outside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._plain, self._compressed = app, GZipMiddleware(app, minimum_size=700)
        self._pages: OrderedDict[Hashable, list[Message]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, compressed where the path is one of these."""
        path = scope["path"] if scope["type"] == "http" else None
        if path in PAGE and scope["method"] == "GET" and not scope["query_string"]:
            await self._page(scope, receive, send)
            return
        plain = path is None or not (path in PATHS or path.startswith(FOLDERS))
        chosen = self._plain if plain else self._compressed
        await chosen(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        name = (scope.get("scheme"), scope.get("root_path"), scope["path"], *map(headers.get, NAMED_BY))
        key = (*name, "gzip" in headers.get("accept-encoding", ""))
        if key in self._pages:
            self._pages.move_to_end(key)
            for message in self._pages[key]:
                await send(_copy(message))
            return
        answer: list[Message] = []

        async def noting(message: Message) -> None:
            answer.append(_copy(message))
            await send(message)

        await self._compressed(scope, receive, noting)
        if answer[0].get("status") == 200 and "set-cookie" not in Headers(raw=answer[0]["headers"]):
            self._pages[key] = answer
            if len(self._pages) > MOST_PAGES:
                self._pages.popitem(last=False)


def _copy(message: Message) -> Message:
    """Its own headers, to which what stands outside adds those of one visitor."""
    return {**message, "headers": list(message["headers"])} if "headers" in message else dict(message)


COMPRESSION = Middleware(PageCompression)
