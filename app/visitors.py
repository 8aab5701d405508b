"""Who asks: a visitor, whom every answer knows by its context, so no payload names one and no question forgets it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from steering.public import is_public

NEW_S = 24 * 3600.0
"""How long a visitor counts as new, and shares what their address may take."""


@dataclass(frozen=True)
class Visitor:
    """Who asks. owner: 16 hexadecimal digits by which things are known as theirs; since_s: when they first came, in
    seconds since the epoch, 0 for an account; address: digest of where they ask from, empty where nobody does.
    """

    owner: str
    since_s: float = 0.0
    address: str = ""


SERVER = Visitor("0" * 16)
"""The server itself: threads that prepare something, and scripts that ask over a context of their own."""


_asking: ContextVar[Visitor] = ContextVar("asking_visitor", default=SERVER)


def asking() -> Visitor:
    """Who asks now."""
    return _asking.get()


def owner() -> str:
    """Whose things are asked for now."""
    return _asking.get().owner


def party() -> str:
    """Whose turns who asks takes in the queue: their own, or their address's on the day they came where strangers use
    the server, so that nobody gains by coming as many.
    """
    visitor = asking()
    new = time.time() - visitor.since_s < NEW_S and visitor.address
    return f"@{visitor.address}" if new and is_public() else visitor.owner


@contextmanager
def asked_by(visitor: Visitor) -> Iterator[None]:
    """Let `visitor` be who asks while the context is open."""
    token = _asking.set(visitor)
    try:
        yield
    finally:
        _asking.reset(token)
