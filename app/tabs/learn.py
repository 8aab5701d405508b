"""The Learn step: short lessons on the page's real controls, and classes. Both run in the browser (static/learn)."""

from __future__ import annotations

from app import components
from app.views.templates import PIECES

PURPOSE = (
    "The idea in a quarter of an hour: predict, try it on the real controls, then see what your own data say. "
    "Lessons go on where you stopped."
)


def layout() -> None:
    """Lay out the step inside its tab."""
    components.panel(PIECES.purpose(PURPOSE))
    components.learn()
