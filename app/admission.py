"""Who may ask the server for what: names of hosts, origins, sizes of bodies, open routes, and headers of every answer.

ASGI middleware, microseconds a request. What it stops:

- **Names of hosts.** A page elsewhere whose name is made to lead to this machine (DNS rebinding) asks under that name.
  Allowed are addresses (they cannot be rebound), this machine's own names, those of a Space, and those of HOSTS.
- **Origins.** A page elsewhere sends a form or a script's request to this server. What changes something comes from the
  server's own pages, or from no page at all (scripts); so does what a script wants to read.
- **Bodies.** Of any size from anybody. Uploads go to `PUT uploads/…`, which bounds itself (`app.uploads`).
- **Routes.** Gradio has some that write files, fetch addresses or develop; below its prefix only those of OPEN answer.
- **Answers.** No guessing of types; with documents a content security policy, and frames only by the Hugging Face site.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = "STEERING_HOSTS"
"""Environment variable: further names under which browsers reach this server, separated by commas; `*` allows any."""
MOST_BODY_BYTES = 16 << 20
"""Of one request; the largest that a page sends announces 20 000 files in 3 MB."""
PREFIX = "/gradio_api/"
OPEN = (
    *("run", "call", "queue", "cancel", "reset", "heartbeat", "info", "openapi.json", "startup-events", "app_id"),
    *("login_check", "theme.css", "user", "mcp"),
)
READS = ("GET", "HEAD", "OPTIONS")
POLICY = "; ".join(
    (
        "default-src 'self'",
        # Gradio writes its settings into the page and makes functions of templates.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self' https://huggingface.co https://*.huggingface.co",
    )
)
NO_GUESSING = "x-content-type-options"
HEADERS = {
    "content-security-policy": POLICY,
    NO_GUESSING: "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
NO_DOCUMENTS = (
    *("text/javascript", "application/javascript", "text/css", "application/json", "text/event-stream"),
    *("image/webp", "image/png", "image/jpeg", "video/mp4", "application/gzip", "font/woff2"),
)
"""Types that no browser makes a document with scripts of: what concerns documents alone, 0.7 kB, is not sent with each
of the hundred small files of a page.
"""


def allowed_hosts() -> list[str]:
    """The names under which this server answers, as Starlette's TrustedHostMiddleware takes them."""
    own = socket.gethostname().lower()
    named = [name.strip() for name in os.environ.get(HOSTS, "").split(",")]
    space = [os.environ.get("SPACE_HOST", ""), "*.hf.space" if os.environ.get("SPACE_ID") else ""]
    bound = os.environ.get("GRADIO_SERVER_NAME", "")
    return [name for name in ("localhost", own, f"{own}.local", bound, *space, *named) if name]


class Admission:
    """ASGI middleware, outermost. hosts: as `allowed_hosts` gives them, None for these."""

    def __init__(self, app: ASGIApp, hosts: list[str] | None = None) -> None:
        self._app = app
        self._names = TrustedHostMiddleware(_pass, allowed_hosts() if hosts is None else hosts, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse in words."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _with_headers(send)
        headers = Headers(scope=scope)
        status, words = await self._refusal(scope, headers)
        if status:
            await _refused(status, words)(scope, receive, answer)
            return
        await self._bounded(scope, receive, answer)

    async def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str]:
        """(status, words) of what is not answered; (0, "") for what is."""
        if not await self._known(scope, headers.get("host", "")):
            name = headers.get("host", "")[:100]
            return 400, f"This server does not answer to the name {name!r}. Whoever runs it adds names to {HOSTS}."
        if (scope["method"] not in READS or "origin" in headers) and not _same_origin(headers):
            return (
                403,
                "This request comes from another site's page, and is refused. Use the workbench's own page.",
            )
        if _closed(scope["path"]):
            return 404, "There is no such address here. Files are sent by the page's own upload."
        length = headers.get("content-length", "0")
        if not _bounds_itself(scope) and (not length.isdecimal() or int(length) > MOST_BODY_BYTES):
            return 413, TOO_LARGE
        return 0, ""

    async def _known(self, scope: Scope, host: str) -> bool:
        """Whether the server goes by this name."""
        if _is_address(host):
            return True
        seen: list[Message] = []

        async def remember(message: Message) -> None:
            seen.append(message)

        await self._names(scope, _nothing, remember)
        return not seen

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and stop where the body grows beyond MOST_BODY_BYTES, which it need not have said before."""
        if _bounds_itself(scope) or scope["method"] in READS:
            await self._app(scope, receive, send)
            return
        arrived, begun, over = 0, False, False

        async def counted() -> Message:
            nonlocal arrived, over
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > MOST_BODY_BYTES:
                over = True
                return {"type": "http.disconnect"}
            return message

        async def answer(message: Message) -> None:
            nonlocal begun
            if over and not begun:
                return
            begun = True
            await send(message)

        try:
            await self._app(scope, counted, answer)
        except Exception:
            if not over:
                raise
        if over and not begun:
            await _refused(413, TOO_LARGE)(scope, receive, send)


TOO_LARGE = f"This request is larger than {MOST_BODY_BYTES >> 20} MB. Files are sent by the page's own upload."


def _closed(path: str) -> bool:
    """Whether a path is one of Gradio's that nobody needs here."""
    _, below, rest = path.partition(PREFIX)
    return path.startswith("/monitoring") or (bool(below) and rest.split("/")[0] not in OPEN)


def _bounds_itself(scope: Scope) -> bool:
    return scope["method"] == "PUT" and "/uploads/" in scope["path"]


def _same_origin(headers: Headers) -> bool:
    """Whether a request comes from one of this server's own pages, or from none.

    Browsers say so in Sec-Fetch-Site, and where they do not (no https, no loopback), they name the page's origin.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _is_address(host: str) -> bool:
    """Whether a Host header is an IP address, with or without a port."""
    try:
        ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
    return True


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            document = headers.get("content-type", "").split(";")[0].strip().lower() not in NO_DOCUMENTS
            headers.update(HEADERS if document else {NO_GUESSING: HEADERS[NO_GUESSING]})
        await send(message)

    return sending


def _refused(status: int, words: str) -> JSONResponse:
    return JSONResponse({"words": words, "detail": words}, status_code=status, headers={"connection": "close"})


async def _pass(scope: Scope, receive: Receive, send: Send) -> None:
    """What TrustedHostMiddleware lets through."""


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


ADMISSION = Middleware(Admission)
