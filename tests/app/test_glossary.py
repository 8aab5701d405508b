"""The glossary: every word that the page underlines has a meaning, and every meaning is short and plain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from app import components
from app.glossary import GLOSSARY
from app.views import head_map
from app.views.templates import Macros

APP = Path(components.__file__).parent
PIECES = Macros("pieces.html")


def test_every_word_that_opens_a_meaning_has_one() -> None:
    used = set(head_map.TERMS.values())
    for path in [*APP.rglob("*.html"), *(APP / "static").rglob("*.js")]:
        used |= set(re.findall(r"""\b(?:term|word)\(\s*["']([a-z_]+)["']""", path.read_text("utf-8")))
    assert len(used) > 6 and not used - GLOSSARY.keys()
    with pytest.raises(UndefinedError):
        PIECES.term("no_such_word")


def test_meanings_are_short_and_markup_is_escaped() -> None:
    for key, one in GLOSSARY.items():
        assert re.fullmatch("[a-z_]+", key) and one.name
        assert len(one.meaning) <= 240 and one.meaning.endswith("."), key
    assert 'data-term="p"' in PIECES.term("p", "<b>") and "<b>" not in PIECES.term("p", "<b>")
    assert '"glossary":{' in components.scripts()
