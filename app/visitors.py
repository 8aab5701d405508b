"""Who asks: a visitor, whom every answer knows by its context, so no payload names one and no question forgets it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from steering.public import is_public

OAUTH = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")
"""What a Space sets where visitors may sign in."""
NEW_S = 24 * 3600.0
"""How long a visitor counts as new, and shares what their address may take."""


@dataclass(frozen=True)
class Visitor:
    """Who asks. owner: 16 hexadecimal digits by which things are known as theirs; since_s: when they first came, in
    seconds since the epoch, 0 for an account; address: digest of where they ask from, empty where nobody does; name: of
    the account that is signed in, empty for a visitor who is known by a cookie.
    """

    owner: str
    since_s: float = 0.0
    address: str = ""
    name: str = ""


SERVER = Visitor("0" * 16)
"""The server itself: threads that prepare something, and scripts that ask over a context of their own."""


_asking: ContextVar[Visitor] = ContextVar("asking_visitor", default=SERVER)


def asking() -> Visitor:
    """Who asks now."""
    return _asking.get()


def owner() -> str:
    """Whose things are asked for now."""
    return _asking.get().owner


def account() -> str:
    """The owner who asks, where they are signed in on the Hugging Face hub; else empty."""
    visitor = asking()
    return visitor.owner if visitor.name else ""


def offers_accounts() -> bool:
    """Whether visitors may sign in: in a Space whose front matter says `hf_oauth: true`. Elsewhere Gradio forges
    logins, every one as whoever runs the server.
    """
    in_space = os.environ.get("SYSTEM") == "spaces" and bool(os.environ.get("SPACE_ID"))
    return in_space and all(os.environ.get(name) for name in OAUTH)


def may_act_on(whose: str) -> bool:
    """Whether who asks may change a thing of this owner's: their own, and anything on a server of one's own."""
    return whose == owner() or not is_public()


def party() -> str:
    """Whose turns who asks takes in the queue: their own, or their address's on the day they came where strangers use
    the server, so that nobody gains by coming as many.
    """
    visitor = asking()
    new = 0 <= time.time() - visitor.since_s < NEW_S and visitor.address
    return f"@{visitor.address}" if new and is_public() else visitor.owner


@contextmanager
def asked_by(visitor: Visitor) -> Iterator[None]:
    """Let `visitor` be who asks while the context is open."""
    token = _asking.set(visitor)
    try:
        yield
    finally:
        _asking.reset(token)
