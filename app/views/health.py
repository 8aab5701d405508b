"""The health report of a dataset: what it holds, what is wrong with it, and what that does to head selection."""

from __future__ import annotations

from app.answers.uploads import HealthCard
from app.views.markup import button, tag, text

SEVERITIES = {"error": "Must be mended", "warning": "Take care", "note": "Good to know"}
VERDICTS = {
    "yes": ("Usable", "good"),
    "with problems": ("Usable, with problems", "warn"),
    "no": ("Not usable as it is mapped", "bad"),
}


def verdict_tag(usable: str) -> str:
    """The verdict as a label."""
    return tag(*VERDICTS.get(usable, ("Unknown", "")))


def health(card: HealthCard, *, closable: bool = False) -> str:
    """The whole report. closable: with a button that closes it (action `close`)."""
    close = button("Close", "close", quiet=True) if closable else ""
    title = f"Health of {text(card.name)}" if closable else "Health report"
    return (
        f'<section class="wb-health" data-testid="health" aria-label="{title}"><header><h2>{title}</h2>'
        f"{verdict_tag(card.usable)}{close}</header>{_facts(card)}{_findings(card)}</section>"
    )


def _facts(card: HealthCard) -> str:
    of = f"{card.format}, robot {card.robot}" if card.robot else card.format
    lengths = f"{card.shortest} to {card.longest} frames" if card.shortest < card.longest else f"{card.longest} frames"
    cameras = ", ".join(f"{role} {width} × {height} px" for role, height, width in card.cameras)
    says = f"“{card.instructions[0]}”" if card.instructions else "nothing"
    if len(card.instructions) > 1:
        says += f" and {len(card.instructions) - 1} more"
    rows = (
        ("Format", of),
        ("Episodes", f"{card.episodes}, each {lengths}" if card.episodes else "none"),
        ("Rate", f"{card.rate_hz:g} frames a second" if card.rate_hz else "not known"),
        ("Cameras", cameras.replace("_", " ") or "none"),
        ("State and action", f"{card.dims[0]} and {card.dims[1]} numbers"),
        ("Instruction", says),
    )
    return f"<dl>{''.join(f'<div><dt>{name}</dt><dd>{text(value)}</dd></div>' for name, value in rows)}</dl>"


def _findings(card: HealthCard) -> str:
    if not card.findings:
        return f'<p class="wb-sound">Nothing wrong was found in the {card.examined} episodes looked at.</p>'
    rows = "".join(
        f'<li data-severity="{text(one.severity)}"><span>{SEVERITIES.get(one.severity, "Problem")}</span>'
        f"<div><b>{text(one.words)}</b><p>{text(one.meaning)}</p></div></li>"
        for one in card.findings
    )
    return f"<ul>{rows}</ul>"
