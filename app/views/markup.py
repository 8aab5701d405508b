"""Pieces of markup that several views share. Everything that is not a literal passes through `text`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from app.glossary import GLOSSARY


def text(value: object) -> str:
    """`value` as escaped text, safe in markup and in double-quoted attributes."""
    return escape(str(value), quote=True)


def words(name: str) -> str:
    """A simulator's name in plain words: `pick_cube` → `Pick cube`."""
    return text(name.replace("_", " ").strip().capitalize())


def term(key: str, shown: str = "") -> str:
    """A word that opens its meaning (`app.glossary`, static/shared/terms.js). Not in a button, a label or a summary."""
    return f'<button type="button" class="wb-term" data-term="{text(key)}">{text(shown or GLOSSARY[key].name)}</button>'


def without_terms(markup: str) -> str:
    """The same markup for a page without scripts, where no word can open."""
    return _TERM.sub(r"\1", markup)


def tag(label: object, tone: str = "") -> str:
    """A small label; tone is '', 'good' or 'bad'."""
    return f'<span class="wb-tag{f" wb-{tone}" if tone else ""}">{text(label)}</span>'


def older(sentence: str) -> str:
    """A label for what an older version made, which says the sentence; empty where there is none."""
    return f'<span title="{text(sentence)}" data-testid="old">{tag("older version", "warn")}</span>' if sentence else ""


def purpose(line: str) -> str:
    """The one line that says what a step is for."""
    return f'<div class="wb-purpose"><p>{text(line)}</p></div>'


def kept_table(name: str, table: str) -> str:
    """A table that scrolls in its card, and the button that keeps it as name.csv (static/shared/download.js)."""
    return (
        f'<div class="wb-kept"><div class="wb-scroll">{table}</div><div class="wb-figure-tools"><button type="button" '
        f'class="wb-button wb-quiet" data-keep-table="{text(name)}" title="Keep this table">CSV</button></div></div>'
    )


def empty(title: str, line: str, button: str = "") -> str:
    """An empty state: what is missing and what to do."""
    return f'<div class="wb-empty"><h3>{text(title)}</h3><p>{text(line)}</p>{button}</div>'


def tab_button(label: str, tab: str, primary: bool = True) -> str:
    """A button that opens a step."""
    return button(label, tab=tab, primary=primary)


def button(
    label: str,
    action: str = "",
    value: str = "",
    *,
    tab: str = "",
    testid: str = "",
    primary: bool = False,
    quiet: bool = False,
    disabled: bool = False,
) -> str:
    """A button. action and value: what the panel sends to the server; tab: the step that it opens."""
    look = f"wb-button{' wb-primary' if primary else ''}{' wb-quiet' if quiet else ''}"
    named = {"data-action": action, "data-value": value, "data-tab": tab, "data-testid": testid}
    attributes = "".join(f' {name}="{text(given)}"' for name, given in named.items() if given)
    return f'<button type="button" class="{look}"{attributes}{" disabled" if disabled else ""}>{text(label)}</button>'


def segments(name: str, label: str, choices: Iterable[tuple[str, str]], chosen: str) -> str:
    """One-of-few as a segmented control."""
    options = "".join(
        f'<label><input type="radio" name="{text(name)}" value="{text(value)}"{" checked" if value == chosen else ""}>'
        f"{text(shown)}</label>"
        for value, shown in choices
    )
    return (
        f'<fieldset class="wb-field"><legend>{text(label)}</legend><div class="wb-segments">{options}</div></fieldset>'
    )


def checks(name: str, label: str, choices: Iterable[tuple[str, str, bool, bool]]) -> str:
    """Any-of-few; choices are (value, label, checked, enabled)."""
    options = "".join(
        f'<label><input type="checkbox" name="{text(name)}" value="{text(value)}"{" checked" if on else ""}'
        f"{'' if enabled else ' disabled'}>{text(shown)}</label>"
        for value, shown, on, enabled in choices
    )
    return f'<fieldset class="wb-field"><legend>{text(label)}</legend><div class="wb-checks">{options}</div></fieldset>'


def slider(name: str, label: str, low: int, high: int, value: int) -> str:
    """A slider that shows its value."""
    return (
        f'<label class="wb-field"><span>{text(label)}</span><span class="wb-slide"><input type="range" '
        f'name="{text(name)}" min="{low}" max="{high}" value="{value}" step="1"><output>{value}</output></span></label>'
    )


def number(name: str, label: str, low: float, high: float, value: float, step: str = "1") -> str:
    """A number field."""
    return (
        f'<label class="wb-field"><span>{text(label)}</span><input type="number" name="{text(name)}" '
        f'min="{low}" max="{high}" step="{step}" value="{value}"></label>'
    )


def choice(name: str, label: str, options: Iterable[tuple[str, str]], chosen: str) -> str:
    """A drop-down list."""
    rows = "".join(
        f'<option value="{text(value)}"{" selected" if value == chosen else ""}>{text(shown)}</option>'
        for value, shown in options
    )
    return f'<label class="wb-field"><span>{text(label)}</span><select name="{text(name)}">{rows}</select></label>'


_TERM = re.compile(r'<button type="button" class="wb-term"[^>]*>(.*?)</button>')
