"""Markup by Jinja2: a view has its template beside it, `finetune.html` beside `finetune.py`, its macros the
view's pieces. All that is given to one is escaped, but what is markup already, which other macros make.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.glossary import GLOSSARY
from app.words import duration, label_of, plain

HERE = Path(__file__).parent
JINJA = Environment(
    loader=FileSystemLoader([HERE, HERE.parent / "twin"]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
JINJA.globals["GLOSSARY"] = GLOSSARY
# |tojson as the components write JSON
JINJA.policies["json.dumps_function"] = lambda value: orjson.dumps(value).decode()
JINJA.policies["json.dumps_kwargs"] = {}
JINJA.filters["duration"] = duration
JINJA.filters["label_of"] = label_of
JINJA.filters["plain"] = plain


class Macros:
    """The macros of a template as functions: values in, markup out. It is read when the first is called.

    Raises jinja2.UndefinedError where a macro is given too little, TypeError where it is given what it does not know.
    """

    def __init__(self, template: str) -> None:
        self._template = template

    def __getattr__(self, name: str) -> Callable[..., Markup]:
        return cast(Callable[..., Markup], getattr(_module(self._template), name))


@cache
def _module(template: str) -> Any:
    return JINJA.get_template(template).module


PIECES = Macros("pieces.html")
"""Those that several views share."""
