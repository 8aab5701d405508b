"""What comes from a browser or a link, kept within bounds: anything malformed becomes empty or the default."""

from __future__ import annotations

from collections.abc import Sequence

from steering.errors import InputError

STEPS = ("demonstrations", "heads", "finetune", "compare", "learn")


def as_id(value: object) -> str:
    """`value` where it may be an id, else an empty string."""
    return value if isinstance(value, str) and len(value) <= 200 else ""


def as_opened(value: object) -> tuple[str, int]:
    """(demonstrations id, episode) of the opened state; an id of another kind counts as none."""
    if isinstance(value, list) and len(value) == 2 and as_id(value[0]).startswith("demonstrations-"):
        return as_id(value[0]), whole(value[1], 0, 100_000, 0)
    return "", 0


def whole(value: object, low: int, high: int, default: int) -> int:
    """A whole number within bounds from a form field or link."""
    try:
        return min(max(int(str(value)), low), high)
    except ValueError:
        return default


def names(value: object, known: tuple[str, ...]) -> list[str]:
    """The known names in a group of tick boxes, in the order of `known`."""
    ticked = value if isinstance(value, list) else []
    return [name for name in known if name in ticked]


def within(value: int, low: int, high: int, what: str) -> int:
    """`value` where it lies within bounds. Raises InputError elsewhere."""
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"Expected {what} to be a whole number of {low} to {high}, got {str(value)[:40]!r}.")
    return value


def one_of(value: str, choices: Sequence[str], what: str) -> str:
    """`value` where it is one of `choices`. Raises InputError elsewhere."""
    if value not in choices:
        raise InputError(f"Expected {what} to be one of {', '.join(choices)}; got {str(value)[:40]!r}.")
    return value


def some_of(values: Sequence[str], choices: Sequence[str], what: str) -> list[str]:
    """`values` where each is one of `choices`, in the order of these. Raises InputError elsewhere."""
    for value in values:
        one_of(value, choices, what)
    return [one for one in choices if one in values]
