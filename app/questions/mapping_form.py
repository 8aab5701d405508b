"""The mapping as the page's form: what a mapping's fields look like there, and what a filled form says.

Forms come from the browser: every field is checked, and what cannot be is refused in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from app.answers.uploads import MOST_ROWS
from steering.demonstrations.documents import CameraDocument, ColumnsDocument, DatasetDocument, MappingDocument
from steering.errors import InputError

_RANGE = re.compile(r"(\d{1,6})(?:\s*[-–]\s*(\d{1,6}))?")


def ranges_text(numbers: Sequence[int]) -> str:
    """`0-6, 13` of [0, …, 6, 13], in the order given."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{low}-{high}" if high > low else f"{low}" for low, high in runs)


def ranges(text: str, count: int, what: str) -> list[int]:
    """The numbers that `0-6, 13` names, each below `count`; an empty text names all."""
    found: list[int] = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        match = _RANGE.fullmatch(part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not low <= high < count:
            raise InputError(f"{what}: expected numbers of 0 to {count - 1} such as 0-6, 8; got {part[:20]!r}.")
        found += range(low, high + 1)
        if len(found) > count:
            raise InputError(f"{what}: a number is named twice in {text[:40]!r}. Name each once.")
    if len(set(found)) < len(found):
        raise InputError(f"{what}: a number is named twice in {text[:40]!r}. Name each once.")
    return found or list(range(count))


def mapping_of(form: Mapping[str, object], found: DatasetDocument) -> dict[str, object]:
    """The fields of the mapping that a form gives, where they differ from those guessed. found: of `inspect_upload`."""
    guessed = found["guessed"]
    sizes = {f["name"]: _size(f["shape"]) for f in found["report"]["features"] if f["kind"] == "number"}
    given: MappingDocument = {
        "cameras": _cameras(form, [one["feature"] for one in found["pictures"]]),
        "state": _columns(form, "state", sizes),
        "action": _columns(form, "action", sizes),
        "gripper_range": _gripper(form),
        "grippers": _places(form, "grippers", "action", sizes),
        "arms": _places(form, "arms", "state", sizes),
        "arms_are": "pose" if form.get("arms_are") == "pose" else "joints",
        "absolute_actions": form.get("actions") == "positions",
        "instruction": str(form.get("instruction", "")).strip()[:1000] or None,
        "rate_hz": _number(form.get("rate_hz"), "Frames a second") if form.get("rate_hz") else None,
    }
    return {name: value for name, value in given.items() if value != guessed.get(name)}


def _cameras(form: Mapping[str, object], features: Sequence[str]) -> dict[str, CameraDocument]:
    cameras: dict[str, CameraDocument] = {}
    for i, feature in enumerate(features):
        role = str(form.get(f"role-{i}", ""))
        if not role:
            continue
        if not re.fullmatch(r"\w{1,40}", role):
            raise InputError("A camera's role is exterior, wrist or another word.")
        if role in cameras:
            raise InputError(f"{feature} and {cameras[role]['feature']} are both the {role} camera. Choose one.")
        turn = str(form.get(f"rotate-{i}", "0"))
        cameras[role] = {
            "feature": feature,
            "rotate": int(turn) if turn in ("90", "180", "270") else 0,
            "mirror": bool(form.get(f"mirror-{i}")),
            "bgr": bool(form.get(f"bgr-{i}")),
        }
    return cameras


def _columns(form: Mapping[str, object], what: str, sizes: Mapping[str, int]) -> list[ColumnsDocument]:
    columns: list[ColumnsDocument] = []
    for i in range(MOST_ROWS):
        feature = str(form.get(f"{what}-{i}", ""))
        if not feature:
            continue
        if feature not in sizes:
            raise InputError(f"The {what} names {feature[:60]!r}, which the dataset does not have.")
        text = str(form.get(f"{what}-columns-{i}", ""))
        chosen = ranges(text, sizes[feature], f"Columns of {feature}")
        columns.append({"feature": feature, "indices": chosen if chosen != list(range(sizes[feature])) else None})
    return columns


def _places(form: Mapping[str, object], name: str, what: str, sizes: Mapping[str, int]) -> list[int] | None:
    """Places among the columns of the state or action that a field names; `none` is none, an empty one leaves them."""
    text = str(form.get(name, "")).strip()
    taken = _columns(form, what, sizes)
    count = sum(sizes[one["feature"]] if one["indices"] is None else len(one["indices"]) for one in taken)
    return None if not text else [] if text.lower() == "none" else ranges(text, count, f"The {name} in the {what}")


def _gripper(form: Mapping[str, object]) -> list[float] | None:
    if form.get("gripper") != "opens":
        return None
    low, high = (_number(form.get(f"gripper_{end}"), f"The gripper's {end} end") for end in ("low", "high"))
    if low >= high:
        raise InputError(f"The gripper's low end {low:g} should be below its high end {high:g}.")
    return [low, high]


def _number(value: object, what: str) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = float("nan")
    if not abs(number) < 1e9:
        raise InputError(f"{what} should be a number, got {str(value)[:20]!r}.")
    return number


def _size(shape: Sequence[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size
