"""What comes from a browser or a link, kept within bounds: anything malformed becomes empty or the default."""

from __future__ import annotations

STEPS = ("demonstrations", "heads", "finetune", "compare", "learn")


def as_id(value: object) -> str:
    """`value` where it may be an id, else an empty string."""
    return value if isinstance(value, str) and len(value) <= 200 else ""


def as_opened(value: object) -> tuple[str, int]:
    """(demonstrations id, episode) of the opened state."""
    if isinstance(value, list) and len(value) == 2:
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
