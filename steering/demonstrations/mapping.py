"""How a dataset's names become an `Episode`: which camera is which, which columns are state and action.

A mapping is a small JSON file, kept beside what was imported with it, so that it can be corrected by hand and used
again. `remember` keeps it for the next dataset of the same layout (`Dataset.signature`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from collections.abc import Mapping as Mapped
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steering.errors import InputError, unknown_name

MAX_BYTES = 1 << 20
TURNS = (0, 90, 180, 270)
ARMS_ARE = ("joints", "pose")


@dataclass(frozen=True)
class Camera:
    """An image feature and what makes it upright. rotate: degrees clockwise, one of TURNS; then mirror: left for right.

    bgr: red and blue are stored swapped.
    """

    feature: str
    rotate: int = 0
    mirror: bool = False
    bgr: bool = False


@dataclass(frozen=True)
class Columns:
    """Columns of a number feature, in order; `indices` None takes all."""

    feature: str
    indices: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Mapping:
    """What an episode is made of.

    cameras: role -> camera; roles are `exterior` and `wrist`, others are free. state, action: columns side by side.
    grippers: places in the action that are grippers. arms: places in the state that are the arms', arms_are: whether
    those are `joints` or the `pose` of end effectors. None goes by names, layouts and sizes (`column_roles`).
    gripper_range: (low, high) where the grippers count the other way round and are turned over, x -> low + high - x;
    None leaves them. Here a larger value closes. instruction, rate_hz: instead of the
    dataset's, None leaves those. absolute_actions: positions to reach, not motions (see `Episode`). layout: the known
    layout it follows, or empty.
    """

    cameras: Mapped[str, Camera]
    state: tuple[Columns, ...]
    action: tuple[Columns, ...]
    gripper_range: tuple[float, float] | None = None
    instruction: str | None = None
    rate_hz: float | None = None
    layout: str = ""
    absolute_actions: bool = False
    grippers: tuple[int, ...] | None = None
    arms: tuple[int, ...] | None = None
    arms_are: str = "joints"

    def document(self) -> dict[str, Any]:
        """As plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain


@dataclass(frozen=True)
class Guess:
    """A mapping and why: `reasons` are sentences, one for every choice."""

    mapping: Mapping
    reasons: tuple[str, ...]


def parse(document: object) -> Mapping:
    """The mapping of plain JSON values. InputError names the field that is wrong."""
    if not isinstance(document, dict):
        raise InputError("A mapping is a JSON object; `python -m steering inspect PATH --mapping-out FILE` writes one.")
    names = {field.name for field in dataclasses.fields(Mapping)}
    if unknown := sorted(set(document) - names):
        raise InputError(f"A mapping has the fields {', '.join(sorted(names))}; there is no {unknown[0]!r}.")
    given = document.get("gripper_range")
    pair = None if given is None else _numbers(given, "gripper_range")
    if pair is not None and (len(pair) != 2 or pair[0] >= pair[1]):
        raise InputError("gripper_range of the mapping should be two numbers, the lower first.")
    rate = document.get("rate_hz")
    if rate is not None and (type(rate) not in (int, float) or not 0 < rate <= 10_000):
        raise InputError(f"rate_hz of the mapping should be frames a second, got {rate!r}.")
    arms_are = document.get("arms_are", "joints")
    if arms_are not in ARMS_ARE:
        raise InputError(f"arms_are of the mapping should be one of {', '.join(ARMS_ARE)}, got {arms_are!r}.")
    absolute = document.get("absolute_actions", False)
    if type(absolute) is not bool:
        raise InputError(f"absolute_actions of the mapping should be true or false, got {absolute!r}.")
    cameras = document.get("cameras", {})
    if not isinstance(cameras, dict) or len(cameras) > 8:
        raise InputError("cameras of the mapping should name up to eight roles, e.g. exterior and wrist.")
    return Mapping(
        cameras={str(role): _camera(camera, role) for role, camera in cameras.items()},
        state=_columns(document.get("state", []), "state"),
        action=_columns(document.get("action", []), "action"),
        gripper_range=None if pair is None else (pair[0], pair[1]),
        instruction=_text(document.get("instruction"), "instruction"),
        rate_hz=None if rate is None else float(rate),
        layout=_text(document.get("layout"), "layout") or "",
        absolute_actions=absolute,
        grippers=_places(document.get("grippers"), "grippers"),
        arms=_places(document.get("arms"), "arms"),
        arms_are=arms_are,
    )


def swapped(mapping: Mapping, roles: Collection[str]) -> Mapping:
    """The mapping with red and blue of these cameras (`all`: every one) stored swapped. Raises NotFound for others."""
    wanted = tuple(mapping.cameras) if "all" in roles else roles
    for role in wanted:
        if role not in mapping.cameras:
            raise unknown_name("camera of this dataset", role, [*mapping.cameras, "all"])
    cameras = {role: dataclasses.replace(one, bgr=one.bgr or role in wanted) for role, one in mapping.cameras.items()}
    return dataclasses.replace(mapping, cameras=cameras)


def corrected(mapping: Mapping, document: object) -> Mapping:
    """The mapping with the fields that a JSON object gives in place of its own."""
    if not isinstance(document, dict):
        raise InputError("A mapping is a JSON object with some of the fields of `Mapping`.")
    return parse({**mapping.document(), **document})


def read_document(path: Path) -> Any:
    """The JSON value in a mapping's file, which may give some fields only."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path.name} is larger than a mapping can be.")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.name} cannot be read as a mapping in JSON ({type(error).__name__}).") from None


def read(path: Path) -> Mapping:
    """The whole mapping in a JSON file."""
    return parse(read_document(path))


def write(path: Path, mapping: Mapping) -> None:
    """Write the mapping as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(mapping.document(), indent=1) + "\n", encoding="utf-8")


def remember(folder: Path, signature: str, mapping: Mapping) -> None:
    """Keep the mapping for the next dataset of this signature."""
    write(folder / f"{signature}.json", dataclasses.replace(mapping, instruction=None))


def remembered(folder: Path, signature: str) -> Mapping | None:
    """The mapping that was kept for this signature, or None."""
    path = folder / f"{signature}.json"
    return read(path) if path.is_file() else None


def _camera(given: object, role: object) -> Camera:
    if isinstance(given, str):
        return Camera(given)
    if not isinstance(given, dict) or not isinstance(given.get("feature"), str):
        raise InputError(f"The camera {role!r} of the mapping needs a feature, e.g. {{'feature': 'agentview_rgb'}}.")
    if set(given) - {"feature", "rotate", "mirror", "bgr"}:
        raise InputError(f"The camera {role!r} of the mapping has feature, rotate, mirror and bgr, not {set(given)}.")
    if given.get("rotate", 0) not in TURNS or not all(type(given.get(k, False)) is bool for k in ("mirror", "bgr")):
        raise InputError(f"The camera {role!r}: rotate is one of {TURNS}, mirror and bgr are true or false.")
    return Camera(given["feature"], int(given.get("rotate", 0)), given.get("mirror", False), given.get("bgr", False))


def _columns(given: object, what: str) -> tuple[Columns, ...]:
    if not isinstance(given, list) or len(given) > 64:
        raise InputError(f"{what} of the mapping should be a list of features with their columns.")
    columns = []
    for one in given:
        entry = {"feature": one} if isinstance(one, str) else one
        if not isinstance(entry, dict) or not isinstance(entry.get("feature"), str):
            raise InputError(f"{what} of the mapping: every entry needs a feature and may have indices.")
        indices = entry.get("indices")
        if indices is not None and not (isinstance(indices, list) and all(type(i) is int for i in indices)):
            raise InputError(f"{what} of the mapping: indices should be whole numbers, got {indices!r}.")
        columns.append(Columns(entry["feature"], None if indices is None else tuple(indices)))
    return tuple(columns)


def _places(given: object, what: str) -> tuple[int, ...] | None:
    if given is None:
        return None
    if not (isinstance(given, list | tuple) and len(given) <= 1024 and all(type(i) is int and i >= 0 for i in given)):
        raise InputError(f"{what} of the mapping should be a list of whole numbers from 0, got {given!r}.")
    return tuple(dict.fromkeys(given))


def _numbers(given: object, what: str) -> list[float]:
    if not isinstance(given, list) or not all(type(x) in (int, float) for x in given):
        raise InputError(f"{what} of the mapping should be a list of numbers, got {given!r}.")
    return [float(x) for x in given]


def _text(given: object, what: str) -> str | None:
    if given is not None and not isinstance(given, str):
        raise InputError(f"{what} of the mapping should be text, got {given!r}.")
    return given or None
