"""The live driving panel: both cameras, what is known of the try, the keys as buttons to hold, and what becomes of it.

The markup is drawn once a drive; `static/demonstrations/driving.js` fills in pictures and numbers. Every button to hold
carries its key, so the buttons are the legend too.
"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from app.answers.driving import DriveCard
from app.views.templates import Macros

HTML = Macros("driving.html")

CONTROL_HZ = 20.0
"""Steps a second that the browser asks for, those of the bench."""


def driving(card: DriveCard | None) -> dict[str, Any] | None:
    """What static/demonstrations/driving.js takes: {id, markup, rate, idle_s}; None where nobody drives."""
    if card is None:
        return None
    return {"id": card.id, "markup": driving_panel(card), "rate": CONTROL_HZ, "idle_s": card.idle_s}


def driving_panel(card: DriveCard) -> Markup:
    """The panel of a drive. [data-show] are filled in by the script, [data-hold] drive while they are held."""
    return HTML.panel(card.task, card.variations)
