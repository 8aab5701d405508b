"""A drive by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DriveCard:
    """A drive that goes on. id: under which its browser reaches it, see `app.driving`; idle_s: it ends after so long
    without a wish.
    """

    id: str
    task: str
    variations: tuple[str, ...] = ()
    idle_s: float = 120.0
