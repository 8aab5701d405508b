"""The Learn step: short lessons on the page's real controls. They run in the browser (static/learn/lessons.js)."""

from __future__ import annotations

from app import components
from app.views.learn import LIST
from app.views.markup import purpose

PURPOSE = (
    "The idea in a quarter of an hour: predict, try it on the real controls, then see what your own data says. "
    "Lessons go on where you stopped."
)


def layout() -> None:
    """Lay out the step inside its tab."""
    components.panel(purpose(PURPOSE))
    components.panel(LIST)
