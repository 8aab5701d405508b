"""Errors that people read: what was expected, what came, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SteeringError(Exception):
    """Base of every error whose message is written for the user."""


class InputError(SteeringError, ValueError):
    """The user's input cannot be used as it is."""


class NotFound(SteeringError, LookupError):
    """A named thing does not exist."""


class Cancelled(SteeringError):
    """The user stopped the work; not a failure."""


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> NotFound:
    """A NotFound that lists the choices and suggests the closest."""
    choices = sorted(choices)
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return NotFound(f"There is no {kind} {name!r}.{hint} Choose one of: {', '.join(choices)}.")
