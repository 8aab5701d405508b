"""What the header says of what is open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

READY = "example"
"""The last run where none is one's own, and an example is there."""


@dataclass(frozen=True)
class Opened:
    """What is open. last_run: in a few words, empty where none; query: what the address should say to restore it;
    notes: what the page says once about it. origin: where the heads come from, in words; shared: what
    they share, in a sentence; elsewhere: name of the demonstrations that they were chosen on, where these are not open;
    remark: what is to be known of such a set. account: who is signed in, empty for nobody, None where nobody can be.
    """

    policy: str
    demonstrations: str
    heads: int
    last_run: str
    query: Mapping[str, str]
    notes: tuple[str, ...] = ()
    origin: str = ""
    shared: str = ""
    elsewhere: str = ""
    remark: str = ""
    account: str | None = None
