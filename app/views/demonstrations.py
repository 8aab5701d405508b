"""The Demonstrations step: cards of demonstration sets, the form that records new ones, and the episodes of a set."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from markupsafe import Markup

from app.answers.demonstrations import EXPERT, MAX_EPISODES, POLICY, SetCard
from app.views.health import verdict
from app.views.templates import Macros
from app.words import plain

HTML = Macros("demonstrations.html")

RECORDED_BY = ((EXPERT, "Scripted expert"), ("keyboard", "You, by keyboard"), (POLICY, "A policy"))
AS_IT_IS = (POLICY, "The policy as it is")


def set_cards(cards: Sequence[SetCard], opened: str) -> Markup:
    """All sets; an empty state when there is none."""
    known = [[won for won in card.outcomes if won is not None] for card in cards]
    verdicts = [verdict(card.usable) if card.usable else None for card in cards]
    return HTML.sets(list(zip(cards, known, verdicts, strict=True)), opened) if cards else HTML.no_sets()


def episode_grid(
    card: SetCard | None,
    thumbnails: Sequence[str],
    rate_hz: float,
    shown: int,
    problems: Mapping[int, Sequence[str]] = MappingProxyType({}),
    only: Collection[int] | None = None,
) -> Markup:
    """The episodes of the open set; a click shows one in the Heads step. problems: what is wrong with single ones;
    only: those that are there to be shown, None for all.
    """
    if card is None:
        return Markup()
    cells = [
        (i, url, frames / rate_hz, won, problems.get(i, ()))
        for i, (url, frames, won) in enumerate(zip(thumbnails, card.frames, card.outcomes, strict=True))
        if only is None or i in only
    ]
    return HTML.episodes(card, cells, shown)


def record_form(
    tasks: Sequence[str], variations: Sequence[str], finetunes: Mapping[str, str] = MappingProxyType({})
) -> Markup:
    """The form that records demonstrations in the simulator: `record` by the expert or a policy, `drive` by hand. The
    style sheet shows the fields of the chosen one. finetunes: id -> what it is called, of those that may act,
    newest first; of several called alike the newest is offered.
    """
    varied = [(name, name.capitalize(), False, True) for name in variations]
    newest: dict[str, str] = {}
    for one, label in finetunes.items():
        newest.setdefault(label, one)
    actors = [AS_IT_IS, *((one, label) for label, one in newest.items())]
    return HTML.record_form(RECORDED_BY, actors, [(name, plain(name)) for name in tasks], varied, MAX_EPISODES)
