"""Tables of texts, whose CSV files have numbers: where a column holds shares with their intervals, or counts of things,
the file has a column for each number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup

from app.views.templates import Macros

HTML = Macros("text_table.html")

KINDS = (
    (re.compile(r"([-−]?[\d.]+)(?: %)? \(([-−]?[\d.]+) to ([-−]?[\d.]+)(?:; n = (\d+))?"), ("", " low", " high", " n")),
    (re.compile(r"(\d+) of (\d+)$"), ("", " of")),
    (re.compile(r"([\d.]+)–([\d.]+) %$"), (" low", " high")),
)
"""How a text says several numbers, and what their columns are called after its own."""


def text_table(titles: Sequence[str], rows: Sequence[Sequence[str]], look: str, testid: str = "") -> Markup:
    """The table. look: its classes in the style sheets; testid: its name in tests."""
    kinds = [_kind([row[i] for row in rows]) for i in range(len(titles))]
    heads = [
        (title, [f"{title}{end}" for end in kind[1]] if kind else []) for title, kind in zip(titles, kinds, strict=True)
    ]
    cells = [[(shown, _values(shown, kind)) for shown, kind in zip(row, kinds, strict=True)] for row in rows]
    return HTML.text_table(heads, cells, look, testid)


Kind = tuple[re.Pattern[str], tuple[str, ...]]


def _kind(shown: Sequence[str]) -> Kind | None:
    return next((kind for kind in KINDS if any(kind[0].match(one) for one in shown)), None)


def _values(shown: str, kind: Kind | None) -> list[str | None] | None:
    """What a cell is in the file, a number a column; None where it is what is shown."""
    if kind is None:
        return None
    found = kind[0].match(shown)
    return [one and one.replace("−", "-") for one in found.groups()] if found else [shown]
