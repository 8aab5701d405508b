"""Logins of visitors at the Hugging Face hub, as long as they hold: in the memory of this process and nowhere else.

A visitor who signed in fetches with their own token. The page's process learns it with each of their requests, and
tells its workers through a pipe that only they read (`steering.jobs.client`), and these the process that reads a
dataset. No file, log line, argument or variable of the environment holds one. Microseconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Login:
    """Who is signed in. account: the 16 hexadecimal digits of their owner; until_s: when it ends, in seconds since the
    epoch. The token is not part of what is printed.
    """

    account: str
    token: str = field(repr=False)
    until_s: float


_known: dict[str, Login] = {}
"""Changed by single operations alone, without a lock that a fork could inherit held."""


def remember(login: Login) -> None:
    """Let an account be signed in here, by its newest login."""
    _known[login.account] = login


def forget(account: str) -> None:
    """Sign an account out here."""
    _known.pop(account, None)


def of(account: str) -> Login | None:
    """The login of an account; None where there is none, or it has ended."""
    now_s = time.time()
    for ended in [one.account for one in list(_known.values()) if one.until_s <= now_s]:
        forget(ended)
    return _known.get(account)
