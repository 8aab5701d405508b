"""HDF5 files from anywhere: only plain groups and arrays of the file itself are read.

Soft, external and virtual links are refused, and shapes are checked before anything is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steering.demonstrations.limits import Limits
from steering.errors import InputError

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_CHUNK_BYTES = 256 << 20
MAX_OBJECTS = 2_000_000
SAID = ("instruction", "instructions", "language_instruction", "language_instructions", "language", "task")
"""What arrays of instructions are called."""
COLOUR_ORDER = ("encoding", "color_space", "color_order", "channel_order", "color_format", "pixel_format")
"""What attributes are called that say `rgb` or `bgr`, as messages of ROS do."""
ERRORS = (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError, UnicodeDecodeError)
"""What h5py raises for damaged files."""


def open_file(path: Path) -> Any:
    """The file, open for reading."""
    import h5py

    try:
        return h5py.File(path, "r", locking=False)
    except ERRORS:
        raise InputError(
            f"{path.name} cannot be read as HDF5; it is damaged or cut short. Copy the file again."
        ) from None


def members(group: Any, file: str) -> dict[str, Any]:
    """Name -> group or array of every member, in natural order. Refuses links and names that are not text."""
    import h5py

    try:
        if len(group) > MAX_OBJECTS:
            raise InputError(f"{file}: {group.name} has {len(group)} members; at most {MAX_OBJECTS} are read.")
        if not all(isinstance(name, str) for name in group):  # h5py gives bytes then
            raise InputError(f"{file}: {group.name} has members whose names are not UTF-8 text. Rename them.")
        names = sorted(group, key=natural)
        found = {}
        for name in names:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(
                    f"{file}: {name!r} in {group.name} is a link to elsewhere, which is refused. "
                    "Copy what it points to into the file."
                )
            found[name] = group[name]
        return found
    except ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: {group.name} cannot be read; the file is damaged. Copy it again.") from None


def arrays(group: Any, file: str, depth: int = 6) -> Iterator[tuple[str, Any]]:
    """Name, with slashes, and array of every array below `group`, at most `depth` groups down."""
    import h5py

    if depth == 0:
        raise InputError(f"{file}: {group.name} lies too deep; episodes have at most six levels of groups.")
    for name, member in members(group, file).items():
        if isinstance(member, h5py.Group):
            yield from ((f"{name}/{below}", array) for below, array in arrays(member, file, depth - 1))
        elif isinstance(member, h5py.Dataset):
            yield name, checked(member, file)


def checked(array: Any, file: str) -> Any:
    """The array itself, if it lies in this file and its chunks are of bearable size."""
    try:
        if array.is_virtual or array.external:
            raise InputError(f"{file}: {array.name} lies in another file, which is refused. Write one plain file.")
        if array.chunks and int(np.prod(array.chunks, dtype=np.float64)) * array.dtype.itemsize > MAX_CHUNK_BYTES:
            raise InputError(f"{file}: {array.name} has chunks above {MAX_CHUNK_BYTES >> 20} MB. Write it again.")
    except ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: {array.name} cannot be read; the file is damaged. Copy it again.") from None
    return array


def numbers(array: Any, file: str, limits: Limits) -> np.ndarray:
    """The whole array of numbers. Raises InputError for other kinds, and for more than `limits.array_bytes`."""
    checked(array, file)
    size = int(np.prod(array.shape, dtype=np.float64)) * array.dtype.itemsize
    if array.dtype.kind not in "biuf" or size > limits.array_bytes:
        raise InputError(
            f"{file}: {array.name} holds {array.dtype} {list(array.shape)}; expected numbers or booleans of at most "
            f"{limits.array_bytes >> 20} MB."
        )
    return read(array, (), file)


def read(array: Any, where: Any, file: str) -> np.ndarray:
    """A part of an array."""
    try:
        return np.asarray(array[where])
    except ERRORS:
        raise InputError(
            f"{file}: {array.name} cannot be read; the file is damaged, or compressed with a filter that is not here."
        ) from None


def said(arrays: Mapping[str, Any], frames: int, file: str, limits: Limits) -> tuple[str, ...]:
    """The instruction of every frame, or one for all, of an array of text that is called so; else nothing."""
    for key, array in arrays.items():
        if key.rpartition("/")[2].lower() not in SAID or not is_text(array) or array.shape not in ((), (1,), (frames,)):
            continue
        checked(array, file)
        texts = np.atleast_1d(read(array, (), file))
        found = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in texts.tolist()]
        return tuple(one[: limits.instruction_characters] for one in found)
    return ()


def is_text(array: Any) -> bool:
    """Whether an array holds text and not numbers."""
    import h5py

    return array.dtype.kind == "S" or h5py.check_string_dtype(array.dtype) is not None


def attribute(holder: Any, name: str) -> str:
    """A text attribute, or the empty text."""
    try:
        found = holder.attrs.get(name, "")
    except ERRORS:
        return ""
    if isinstance(found, bytes):
        found = found.decode("utf-8", "replace")
    return found if isinstance(found, str) else ""


def is_bgr(*holders: Any) -> bool | None:
    """Whether red and blue are swapped by what the first of the arrays and files says; None where none does."""
    for holder in holders:
        for said in (attribute(holder, name).lower() for name in COLOUR_ORDER):
            if "bgr" in said or "rgb" in said:
                return "bgr" in said
    return None


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts `demo_2` before `demo_10`."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d{1,18})", name) if part]
