"""What a robot's message says in a policy's terms: its pictures under their roles, its state, its instruction.

Clients name things as their robots do: `observation/image` (LIBERO), `observation/exterior_image_1_left` and
`observation/joint_position` (DROID), `images/cam_high` and `state` (ALOHA), `observation.images.top` (lerobot), or as
the demonstrations that a policy was trained on. A picture that comes under the recording's own name is turned upright
as the recording's were; under any other name it is taken as it comes. Torch-free.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from steering.errors import InputError
from steering.types import Observation

ALSO_CALLED = {
    "exterior": ("image", "exterior_image_1_left", "cam_high", "base_0_rgb"),
    "wrist": ("wrist_image", "wrist_image_left", "cam_left_wrist", "left_wrist_0_rgb"),
}
"""Role -> what openpi's clients call that picture."""
STATE_PARTS = ("joint_position", "gripper_position")
"""DROID's state in openpi's order, where a message has no `state`."""
INSTRUCTION_KEYS = ("prompt", "task")
MOST_KEYS, MOST_DEPTH, MOST_SIDE_PX, MOST_CHARACTERS = 256, 4, 4096, 2000

Turn = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Wanted:
    """What a policy takes from a robot's message.

    cameras: role -> what the recording calls that picture; empty where the policy takes any. turns: role -> makes the
    recording's picture, uint8 [height, width, 3], upright. most_px: longest side of the pictures that it was trained
    on, to which larger ones are reduced; None leaves them. state: the recording's (feature, columns or None for all) in
    order; empty where it is not known. instruction: where the robot sends none, or empty.
    """

    cameras: Mapping[str, str] = field(default_factory=dict)
    turns: Mapping[str, Turn] = field(default_factory=dict)
    most_px: int | None = None
    state: Sequence[tuple[str, tuple[int, ...] | None]] = ()
    instruction: str = ""


def observation(message: Mapping[Any, Any], wanted: Wanted) -> Observation:
    """The observation, a batch of one, that a message holds. Raises InputError, in words, for what is not in it."""
    values = dict(_flat(message))
    pictures = {key: value for key, value in values.items() if isinstance(value, np.ndarray) and value.ndim == 3}
    cameras = _cameras(pictures, wanted)
    return Observation(
        cameras={role: image[None] for role, image in cameras.items()},
        state=_state(values, wanted)[None],
        instruction=(_instruction(values, wanted),),
    )


def _flat(given: Mapping[Any, Any], above: str = "", depth: int = 0) -> list[tuple[str, Any]]:
    """Keys of nested maps joined by slashes."""
    found: list[tuple[str, Any]] = []
    for key, value in given.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            if depth + 1 >= MOST_DEPTH:
                raise InputError(f"Expected an observation of at most {MOST_DEPTH} maps in each other.")
            found += _flat(value, f"{name}/", depth + 1)
        else:
            found.append((name, value))
        if len(found) > MOST_KEYS:
            raise InputError(f"Expected at most {MOST_KEYS} entries in an observation.")
    return found


def _last(key: str) -> str:
    return re.split(r"[/.]", key)[-1]


def _find(values: Mapping[str, Any], name: str) -> str | None:
    """The key that is `name`, or ends in its last part."""
    ends = (key for key in values if _last(key) == _last(name))
    return name if name in values else next(ends, None)


def _cameras(pictures: Mapping[str, np.ndarray], wanted: Wanted) -> dict[str, np.ndarray]:
    if not wanted.cameras:
        roles = {name: role for role, names in ALSO_CALLED.items() for name in names}
        found = {roles.get(_last(key), _last(key)): _picture(key, value) for key, value in pictures.items()}
        if not found:
            raise InputError("Expected at least one picture, an array of [height, width, 3]; there is none.")
        return found
    found = {}
    for role, recorded in wanted.cameras.items():
        key = _find(pictures, recorded) if recorded else None
        turn = wanted.turns.get(role) if key is not None else None
        for name in () if key is not None else (role, *ALSO_CALLED.get(role, ())):
            key = key or _find(pictures, name)
        if key is None:
            named = " or ".join(
                dict.fromkeys(name for name in (recorded, role, *ALSO_CALLED.get(role, ())[:2]) if name)
            )
            raise InputError(
                f"Expected the picture of the {role} camera as {named}; there are {', '.join(pictures) or 'none'}."
            )
        image = _picture(key, pictures[key])
        image = _smaller(image, wanted.most_px)
        found[role] = image if turn is None else turn(image)
    return found


def _smaller(image: np.ndarray, most_px: int | None) -> np.ndarray:
    """As demonstrations are made smaller when they are imported: antialiased bilinear, as openpi's clients do."""
    longest = max(image.shape[:2])
    if most_px is None or longest <= most_px:
        return image
    height, width = (max(1, round(side * most_px / longest)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _picture(key: str, image: np.ndarray) -> np.ndarray:
    """uint8 [height, width, 3]; also of [3, height, width], and of floats from 0 to 1, as openpi takes them."""
    if image.shape[-1] != 3 and image.shape[0] == 3:
        image = image.transpose(1, 2, 0)
    if image.shape[-1] != 3 or not 0 < max(image.shape[:2]) <= MOST_SIDE_PX or 0 in image.shape:
        raise InputError(
            f"Expected {key} as a picture of [height, width, 3], at most {MOST_SIDE_PX} a side; got "
            f"{list(image.shape)}."
        )
    if image.dtype.kind == "f":
        if not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
            raise InputError(f"Expected {key} as 8-bit colours, or as floats from 0 to 1.")
        image = (255 * image).astype(np.uint8)
    if image.dtype != np.uint8:
        raise InputError(f"Expected {key} as 8-bit colours (uint8), got {image.dtype}.")
    return np.ascontiguousarray(image)


def _state(values: Mapping[str, Any], wanted: Wanted) -> np.ndarray:
    """float32 [dim]"""
    numbers = {key: value for key, value in values.items() if _is_row(value)}
    whole = _find(numbers, "state")
    recorded = [(_find(numbers, name), columns) for name, columns in wanted.state]
    if recorded and all(key is not None for key, _ in recorded):
        parts = [_columns(str(key), numbers[str(key)], columns) for key, columns in recorded]
    elif whole is not None:
        parts = [np.atleast_1d(numbers[whole])]
    else:
        keys = [_find(numbers, name) for name in STATE_PARTS]
        if None in keys:
            named = ", ".join(name for name, _ in wanted.state) or "state"
            raise InputError(
                f"Expected the robot's state as {named} or {' and '.join(STATE_PARTS)}; the numbers are "
                f"{', '.join(numbers) or 'none'}."
            )
        parts = [np.atleast_1d(numbers[str(key)]) for key in keys]
    state = np.concatenate(parts).astype(np.float32)
    if not np.isfinite(state).all():
        raise InputError("Expected finite numbers in the robot's state.")
    return state


def _is_row(value: object) -> bool:
    return isinstance(value, np.ndarray | np.generic) and np.ndim(value) <= 1 and value.dtype.kind in "iuf"


def _columns(key: str, row: np.ndarray, columns: tuple[int, ...] | None) -> np.ndarray:
    row = np.atleast_1d(row)
    if columns is None:
        return row
    if max(columns, default=0) >= len(row):
        raise InputError(f"Expected at least {max(columns) + 1} numbers in {key}, got {len(row)}.")
    return row[list(columns)]


def _instruction(values: Mapping[str, Any], wanted: Wanted) -> str:
    given = next((values[key] for key in values if _last(key) in INSTRUCTION_KEYS), None)
    text = wanted.instruction if given is None else given
    if not isinstance(text, str) or not text.strip() or len(text) > MOST_CHARACTERS:
        raise InputError(f"Expected the instruction as prompt, a text of 1 to {MOST_CHARACTERS} characters.")
    return text
