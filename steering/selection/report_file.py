"""The data inside a report of the page: one HTML file that also gives back its head sets and results. Instant.

A report says itself once more as JSON, in its first script of that kind, before everything that is shown; so opening
one needs neither its films nor the store that it came from: `{"format": "robotic-steering report", "version": 1,
"title", "policy", "data", "date", "id", "selections": [a head set as `exchange` has it, with its "method", …],
"finetunes": [{…}], "comparison": {…} or null}`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from steering.errors import InputError, NotFound

FORMAT, VERSION = "robotic-steering report", 1
MAX_BYTES = 1 << 20
"""Of a report's beginning, in which its data lie."""
_DATA = re.compile(r'<script type="application/json">(.*?)</script>', re.DOTALL)


def is_report(text: str) -> bool:
    """Whether a text is an HTML page rather than a selection in JSON."""
    return text.lstrip()[:15].lower().startswith("<!doctype html")


def document(text: str) -> dict[str, Any]:
    """The data of a report, from its text or from its beginning. Raises InputError for what holds none."""
    found = _DATA.search(text[:MAX_BYTES])
    return checked(found[1] if found else "null")


def checked(text: str) -> dict[str, Any]:
    """The data of a report from their own JSON. Raises InputError for another."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(
            "Expected a report that the workbench made since it can be opened again, got another page. Make the report "
            "anew, or open the head set's own file."
        )
    if content.get("version") != VERSION:
        raise InputError(f"This report is of version {content.get('version')!r}; this workbench reads {VERSION}.")
    return content


def read(path: Path) -> dict[str, Any]:
    """The data of a report file. Raises NotFound and InputError."""
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    with path.open("rb") as file:
        return document(file.read(MAX_BYTES).decode("utf-8", "ignore"))


def results(content: dict[str, Any]) -> list[str]:
    """What a report's runs came to, a line each; of what is malformed nothing is said."""
    lines = []
    found = content.get("comparison")
    comparison: dict[str, Any] = found if isinstance(found, dict) else {}
    rates = comparison.get("rates", [])
    said = [_of(one, "{method} {successes} of {trials}") for one in rates if isinstance(one, dict)]
    if any(said):
        lines.append(f"{comparison.get('task', '')}: {', '.join(filter(None, said))} scenes".replace("_", " "))
    for one in content.get("finetunes", []):
        line = _of(one, "{method}: held-out error {heldout_before:.3f} to {heldout_after:.3f} in {steps} steps")
        lines += [line.replace("_", " ")] if line else []
    return lines


def _of(fields: Any, words: str) -> str:
    try:
        return words.format(**fields)[:200]
    except (TypeError, KeyError, ValueError, AttributeError, IndexError):
        return ""
