"""What somebody has on this server, and what deleting would take along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Holding:
    """What somebody has. most_bytes, keep_days: None where there is no bound."""

    sets: int
    runs: int
    used_bytes: int
    most_bytes: int | None
    keep_days: float | None


@dataclass(frozen=True)
class RemovalCard:
    """What is about to be deleted. id: of what; title: in words; kinds: what goes with it; foreign: how many of these
    only others have; upload: whether an upload goes, too.
    """

    id: str
    title: str
    kinds: Mapping[str, int]
    foreign: int
    upload: bool = False
