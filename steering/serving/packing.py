"""Messages in the format of openpi's clients: msgpack, with NumPy arrays and numbers as small maps. Torch-free.

An array is `{b"__ndarray__": True, b"data": bytes, b"dtype": "<f4", b"shape": [2, 3]}`, a NumPy number
`{b"__npgeneric__": True, b"data": 1.5, b"dtype": "<f4"}` (openpi-client, `msgpack_numpy`). What comes in is not
trusted: numbers alone, as many as their bytes say, and nothing is run.
"""

from __future__ import annotations

import math
from typing import Any

import msgpack
import numpy as np

from steering.errors import InputError

KINDS = "biuf"
"""Of dtypes that travel: truth values, whole numbers and floats."""
MOST_AXES = 8


def pack(value: object) -> bytes:
    """The message that openpi's clients read as `value`: texts, numbers, arrays, and maps and lists of them."""
    packed: bytes = msgpack.packb(value, default=_as_map)
    return packed


def unpack(message: bytes) -> Any:
    """What a client sent; its arrays are read-only. Raises InputError, in words, for what is no such message."""
    try:
        return msgpack.unpackb(message, object_hook=_as_array, strict_map_key=False)
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError, MemoryError, msgpack.UnpackException) as error:
        raise InputError(
            f"Expected a message of msgpack with NumPy arrays, as openpi-client packs it; it cannot be read "
            f"({type(error).__name__})."
        ) from None


def _as_map(value: object) -> dict[bytes, Any]:
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind not in KINDS:
        raise InputError(f"A {type(value).__name__} cannot be sent; numbers, texts and arrays of numbers can.")
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}


def _as_array(given: dict[Any, Any]) -> Any:
    if b"__ndarray__" not in given and b"__npgeneric__" not in given:
        return given
    dtype = np.dtype(str(given[b"dtype"]))
    if dtype.kind not in KINDS:
        raise InputError(f"Expected arrays of numbers, got one of {dtype}.")
    if b"__npgeneric__" in given:
        return dtype.type(given[b"data"])
    shape, data = given[b"shape"], given[b"data"]
    if not (isinstance(shape, list) and len(shape) <= MOST_AXES and all(type(n) is int and n >= 0 for n in shape)):
        raise InputError("Expected the shape of an array as a list of whole numbers.")
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
        raise InputError(f"Expected {math.prod(shape)} numbers of {dtype} for an array of {shape}; its bytes differ.")
    return np.frombuffer(data, dtype).reshape(shape)
