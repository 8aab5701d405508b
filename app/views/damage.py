"""The line under the header that names what is damaged and what remakes it."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.views.templates import Macros

HTML = Macros("damage.html")
SHOWN = 3


def damage(lines: Sequence[str]) -> Markup:
    """Markup; empty where nothing is damaged."""
    return HTML.damage(lines[:SHOWN], max(len(lines) - SHOWN, 0)) if lines else Markup()
