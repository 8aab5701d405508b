"""The health report of a dataset: what it holds, what is wrong with it, and what that does to head selection."""

from __future__ import annotations

from markupsafe import Markup

from app.answers.uploads import HealthCard
from app.views.templates import Macros

HTML = Macros("health.html")

SEVERITIES = {"error": "Must be mended", "warning": "Take care", "note": "Good to know"}
VERDICTS = {
    "yes": ("Usable", "good"),
    "with problems": ("Usable, with problems", "warn"),
    "no": ("Not usable as it is mapped", "bad"),
}


def verdict(usable: str) -> tuple[str, str]:
    """The verdict in words, and the tone of its label."""
    return VERDICTS.get(usable, ("Unknown", ""))


def health(card: HealthCard, *, closable: bool = False) -> Markup:
    """The whole report. closable: with a button that closes it (action `close`)."""
    title = f"Health of {card.name}" if closable else "Health report"
    findings = [(f.severity, SEVERITIES.get(f.severity, "Problem"), f.words, f.meaning) for f in card.findings]
    return HTML.report(title, verdict(card.usable), closable, _facts(card), findings, card.examined)


def health_card(card: HealthCard) -> Markup:
    """The report in a card of its own, which can be closed."""
    return HTML.card(health(card, closable=True))


def _facts(card: HealthCard) -> list[tuple[str, str]]:
    of = f"{card.format}, robot {card.robot}" if card.robot else card.format
    lengths = f"{card.shortest} to {card.longest} frames" if card.shortest < card.longest else f"{card.longest} frames"
    cameras = ", ".join(f"{role} {width} × {height} px" for role, height, width in card.cameras)
    says = f"“{card.instructions[0]}”" if card.instructions else "nothing"
    if len(card.instructions) > 1:
        says += f" and {len(card.instructions) - 1} more"
    return [
        ("Format", of),
        ("Episodes", f"{card.episodes}, each {lengths}" if card.episodes else "none"),
        ("Rate", f"{card.rate_hz:g} frames a second" if card.rate_hz else "not known"),
        ("Cameras", cameras.replace("_", " ") or "none"),
        ("State and action", f"{card.dims[0]} and {card.dims[1]} numbers"),
        ("Instruction", says),
    ]
