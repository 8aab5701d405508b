"""Compress the page itself and the answers to its events, which Gradio sends plain: 195 kB become 45, a head map's 40
kB 8. Media are left alone: a compressed part of a video cannot be sought in, and images do not shrink.
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.admission import SCRIPTS

PATHS = ("", "/", "/config", "/gradio_api/run/predict")


class PageCompression:
    """ASGI middleware: gzip for PATHS and the page's scripts only."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain, self._compressed = app, GZipMiddleware(app, minimum_size=700)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, compressed where the path is one of PATHS."""
        path = scope["path"] if scope["type"] == "http" else None
        plain = path is None or not (path in PATHS or path.startswith(SCRIPTS))
        chosen = self._plain if plain else self._compressed
        await chosen(scope, receive, send)


COMPRESSION = Middleware(PageCompression)
