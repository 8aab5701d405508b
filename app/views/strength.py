"""An adapter's strength: what to run, and its task against what the policy knew, as a sentence, a chart and a table."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from app.answers.strength import MAX_STRENGTH_SCENES, SHARES, Weakened
from app.views.templates import Macros
from app.words import label_of

HTML = Macros("strength.html")
LEFT, RIGHT, TOP, BASE = 58, 546, 10, 190
BOX = {"width": 560, "height": 220, "left": LEFT, "right": RIGHT, "top": TOP, "base": BASE}
APART = 5
"""Between the points of one strength, so that their intervals stand side by side."""
SHOWN = {"halves": "0, ½ and 1", "quarters": "0, ¼, ½, ¾ and 1"}


def strength_card(trained: Mapping[str, str], found: Weakened | None) -> Markup:
    """The form, and what was found; empty where nothing was trained that can run in scenes.

    trained: method -> id of its adapter.
    """
    if not trained:
        return Markup()
    of = list(dict.fromkeys((one, label_of(method)) for method, one in trained.items()))
    strengths = [(name, SHOWN[name]) for name in SHARES]
    chosen = found.adapter_id if found else of[0][0]
    return HTML.strength_card(of, chosen, strengths, MAX_STRENGTH_SCENES, _found(found) if found else "")


def _found(found: Weakened) -> Markup:
    shares = list(map(_share, found.strengths))
    return HTML.found(found.sentence, shares, _chart(found), _table(found), found.origins)


def _chart(found: Weakened) -> Markup:
    """Success by strength, a line for the task and for each family."""
    lines = []
    for s, (name, rates) in enumerate(found.rates.items()):
        aside = APART * (s - (len(found.rates) - 1) / 2)
        points = [
            tuple(f"{one:.1f}" for one in (_x(at) + aside, _y(rate.rate), _y(rate.low), _y(rate.high)))
            for at, rate in zip(found.strengths, rates, strict=True)
        ]
        lines.append((_kind(found, name), points))
    grid = [(_y(percent / 100), percent) for percent in (0, 50, 100)]
    marks = [(f"{_x(at):.1f}", _share(at)) for at in found.strengths]
    return HTML.chart(BOX, f"{_x(found.strengths[-1]):.1f}", found.method, lines, grid, marks)


def _table(found: Weakened) -> Markup:
    names = ("successes", "scenes", "low", "high")
    heads = [(_kind(found, name), [f"{_plain(name)} {one}" for one in names]) for name in found.rates]
    rows = [
        (f"{_x(strength):.1f}", _share(strength), strength, [rates[i] for rates in found.rates.values()])
        for i, strength in enumerate(found.strengths)
    ]
    return HTML.table(heads, rows, _plain(found.task))


def _kind(found: Weakened, name: str) -> str:
    return _plain(name).capitalize() if name == found.task else f"Known: {_plain(name)}"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _share(strength: float) -> str:
    return f"{strength:g}"


def _x(strength: float) -> float:
    return LEFT + 20 + (RIGHT - LEFT - 40) * strength


def _y(share: float) -> float:
    return TOP + (BASE - TOP) * (1 - share)
