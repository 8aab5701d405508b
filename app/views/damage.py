"""The line under the header that names what is damaged and what remakes it."""

from __future__ import annotations

from collections.abc import Sequence

from app.views.markup import text

SHOWN = 3


def damage(lines: Sequence[str]) -> str:
    """Markup; empty where nothing is damaged."""
    if not lines:
        return ""
    said = "".join(f"<p>{text(line)}</p>" for line in lines[:SHOWN])
    more = len(lines) - SHOWN
    if more > 0:
        said += f"<p>{more} more: python -m steering check names them all.</p>"
    return f'<div class="wb-damage" role="status" data-testid="damage">{said}</div>'
