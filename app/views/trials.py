"""The card of trials on a robot: plan, the trial to run by its letter, what all of them show."""

from __future__ import annotations

from markupsafe import Markup

from app.answers.trials import BookCard, Trials
from app.views.templates import Macros
from app.views.text_table import text_table
from steering.types import NO_STAGE

HTML = Macros("trials.html")

TITLES = ("Method", "Condition", "Success", "95 % interval", "Progress")


def trials_card(shown: Trials | None) -> Markup:
    """The card, folded until there are trials; nothing where strangers use the server."""
    if shown is None:
        return Markup()
    return HTML.card(_open(shown.card) if shown.card else _none_open(shown), bool(shown.books))


def _none_open(shown: Trials) -> Markup:
    methods = [(method, label, True, True) for method, label in shown.methods.items()]
    return HTML.none_open([(name, name) for name in shown.books], methods)


def _open(card: BookCard) -> Markup:
    reached = [("", "Not said"), (NO_STAGE, NO_STAGE.capitalize()), *((stage, stage) for stage in card.stages)]
    return HTML.open(card, results(card), reached)


def results(card: BookCard) -> Markup:
    """What the trials of a book show so far: sentences, and rates by method once their names may be known."""
    table = text_table(TITLES, card.rows, "wb-table", "trials-table") if card.rows else Markup()
    return HTML.results(card.name, card.verdicts, table)
