"""Surgery of heads: what to do to the selected heads, and what a paired run showed. Markup."""

from __future__ import annotations

from markupsafe import Markup

from app.answers.surgery import MAX_SURGERY_SCENES, SurgerySummary
from app.views.templates import Macros
from app.words import label_of

HTML = Macros("surgery.html")

FACTORS = {"0": "silenced", "0.5": "halved", "2": "doubled", "-1": "turned round"}
"""Factor of the outputs -> what that does."""
LAST_S = 6
"""Latest second from which heads are changed; the shortest scenes end at 7."""


def surgery_menu() -> Markup:
    """What to do to the selected heads, from when, in how many scenes; its button starts a paired run."""
    return HTML.menu(list(FACTORS.items()), LAST_S, MAX_SURGERY_SCENES)


def surgery_card(found: SurgerySummary | None) -> Markup:
    """One sentence, the films of a scene side by side, and the differences; empty without a run."""
    if found is None:
        return Markup()
    effects = [one.words for one in found.effects]
    return HTML.card(found.task, found.sentence, _films(found), effects, found.told)


def _films(found: SurgerySummary) -> list[tuple[str, str]]:
    """Films of the first scene that is filmed in every run: (address, method for people)."""
    seeds = [seed for seed in found.films[0] if all(seed in films for films in found.films)]
    runs = zip(found.films, found.rates, strict=True)
    return [(films[seeds[0]], label_of(rate.method)) for films, rate in runs] if seeds else []
