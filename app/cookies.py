"""Who sends a request: the account where one is signed in, else whom a cookie names that this server signs.

ASGI middleware reads the cookie and gives one to whoever has none. The key lies in the store, readable by its owner
alone, or in the environment variable KEY, so that cookies outlive a disk that does not last. An account is what
Gradio's sign-in notes in the session, which it signs with the Space's secret; its token goes to `steering.logins`. What
a visitor made before they signed in stays with their cookie: a browser may be shared, and signing out shows it again.
Microseconds a request.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.monitoring import state_of
from app.visitors import SERVER, Visitor, asked_by, offers_accounts
from steering import logins
from steering.logins import Login

KEY = "STEERING_KEY"
"""Environment variable: the text that visitors' cookies are signed with, of at least 16 characters."""
PROXIES = "STEERING_PROXIES"
"""Environment variable: how many proxies stand before the server, each of which adds to X-Forwarded-For."""
SIGN_OUT = "/logout"
COOKIE = "steering-visitor"
KEEP_S = 400 * 24 * 3600
KEY_FILE = "visitors.key"
_SENT = re.compile(rf"(?:^|;)\s*{COOKIE}=([0-9a-f]{{16}})\.([0-9a-f]{{1,12}})\.([0-9a-f]{{32}})\s*(?:;|$)")


def signing_key(store: Path) -> bytes:
    """The key of a server over the folder `store`: that of KEY, else the one there, made at the first start."""
    given = os.environ.get(KEY, "")
    if len(given) >= 16:
        return given.encode()
    path = store / KEY_FILE
    if not path.is_file():
        draft = store / f"{KEY_FILE}.{secrets.token_hex(8)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        with suppress(FileExistsError):  # another server over the same store was quicker
            os.link(draft, path)
        draft.unlink()
    path.chmod(0o600)
    return path.read_bytes()


class Visitors:
    """ASGI middleware, inside `app.admission`. key: as `signing_key` gives it."""

    def __init__(self, app: ASGIApp, key: bytes) -> None:
        self._app, self._key = app, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let what answers know who asks; a visitor without a cookie gets one."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        known = self._read(headers.get("cookie", ""))
        address = self._address(scope, headers)
        visitor = _account(scope, address) or Visitor(*(known or (secrets.token_hex(8), time.time())), address=address)
        scope.setdefault("state", {})["visitor"] = visitor
        embedded = (
            visitor.name
            or headers.get("sec-fetch-site") == "cross-site"
            and headers.get("sec-fetch-mode") != "navigate"
        )
        answer = send if known or embedded else self._giving(send, visitor, _is_https(scope, headers))
        with asked_by(visitor):
            await self._app(scope, receive, answer)

    def value_of(self, visitor: Visitor) -> str:
        """The cookie's value."""
        said = f"{visitor.owner}.{int(visitor.since_s):x}"
        return f"{said}.{self._digest('visitor', said)}"

    def _read(self, header: str) -> tuple[str, float] | None:
        """(owner, since) of a cookie that this server signed, else None."""
        found = _SENT.search(header)
        if found is None or not hmac.compare_digest(self._digest("visitor", f"{found[1]}.{found[2]}"), found[3]):
            return None
        return found[1], float(int(found[2], 16))

    def _address(self, scope: Scope, headers: Headers) -> str:
        """Digest of the address that asks: what the outermost proxy of our own says, else that of the connection."""
        heard = [part.strip() for part in headers.get("x-forwarded-for", "").split(",")]
        count = proxies()
        client = scope.get("client") or ("", 0)
        return self._digest("address", heard[-count] if 0 < count <= len(heard) else client[0])[:16]

    def _digest(self, kind: str, text: str) -> str:
        return hmac.new(self._key, f"{kind} {text}".encode(), hashlib.sha256).hexdigest()[:32]

    def _giving(self, send: Send, visitor: Visitor, https: bool) -> Send:
        in_space = bool(os.environ.get("SPACE_ID"))  # shown in a frame of another site
        same = "SameSite=None; Secure; Partitioned" if in_space else f"SameSite=Lax{'; Secure' if https else ''}"
        cookie = f"{COOKIE}={self.value_of(visitor)}; Path=/; Max-Age={KEEP_S}; HttpOnly; {same}"

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        return sending


def proxies() -> int:
    """How many proxies stand before this server: PROXIES, else one in a Space."""
    given = os.environ.get(PROXIES, "")
    return int(given) if given.isdecimal() else int(bool(os.environ.get("SPACE_ID")))


def of_event(request: gr.Request | None) -> Visitor:
    """Who sent an event, as the middleware noted."""
    known = getattr(state_of(request), "visitor", None)
    return known if isinstance(known, Visitor) else SERVER


def _account(scope: Scope, address: str) -> Visitor | None:
    """Who is signed in; None for nobody, and where the session holds no login that fits or has not ended."""
    info: Any = scope.get("session", {}).get("oauth_info") if offers_accounts() else None
    try:
        user, token, until_s = info["userinfo"], info["access_token"], float(info["expires_at"])
        subject, name = str(user["sub"]), str(user["preferred_username"])
    except (TypeError, KeyError, ValueError):
        return None
    owner = hashlib.sha256(f"account {subject}".encode()).hexdigest()[:16]
    if until_s <= time.time() or scope["path"].endswith(SIGN_OUT):
        logins.forget(owner)
        return None
    logins.remember(Login(owner, str(token), until_s))
    return Visitor(owner, 0.0, address, name)


def _is_https(scope: Scope, headers: Headers) -> bool:
    return scope.get("scheme") == "https" or headers.get("x-forwarded-proto", "").split(",")[0].strip() == "https"
