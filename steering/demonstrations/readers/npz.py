"""NPZ files: one of several episodes, or a folder of them, with documented keys.

    action          float [frame, dim]                      needed
    state           float [frame, dim]                      needed; more as state.<name>
    image.<camera>  uint8 [frame, height, width, 3]         as many as there are cameras; or float, 0 to 1 or 255
    instruction     text, or one a frame
    rate_hz         one number, frames a second

Several episodes in one file put a name and a slash before each key: `episode_0/action`. Any other array of numbers with
one row a frame is a feature too, which a mapping may choose. Made by `numpy.savez(path, **arrays)`.

Headers alone are read when a file is opened; pictures are read one at a time. Pickled arrays are refused.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from steering.demonstrations import pictures
from steering.demonstrations.dataset import Dataset, EpisodeSummary, Feature
from steering.demonstrations.limits import Limits
from steering.demonstrations.readers.hdf5 import natural
from steering.demonstrations.readers.shared import of_episode, shared
from steering.errors import InputError

IMAGE = "image."
TEXT_BYTES = 1 << 16
_ERRORS: tuple[type[Exception], ...] = (
    *(OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, SyntaxError, tokenize.TokenError),  # the last two from an array's header
)


@dataclass(frozen=True)
class _Array:
    file: Path
    member: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool


def is_npz(path: Path) -> bool:
    """Whether a zip file holds arrays at its top, as numpy writes them."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        return bool(names) and all(name.endswith(".npy") for name in names)
    except _ERRORS:
        return False


def open_npz(files: Sequence[Path], name: str, limits: Limits) -> Dataset:
    """The dataset of one or several NPZ files."""
    found: dict[str, dict[str, _Array]] = {}
    for file in files:
        for key, array in _headers(file, limits).items():
            prefix, _, short = key.rpartition("/")
            label = prefix or file.stem
            found.setdefault(f"{file.stem}/{label}" if prefix and len(files) > 1 else label, {})[short] = array
    summaries, kept, by_frame = [], [], []
    for label, arrays in sorted(found.items(), key=lambda item: natural(item[0])):
        for needed in ("action", "state"):
            if not any(key == needed or key.startswith(f"{needed}.") for key in arrays):
                raise InputError(
                    f"{name}: episode {label!r} has no {needed!r}, but {', '.join(sorted(arrays)[:8])}. Expected the "
                    f"keys action, state, {IMAGE}<camera>, instruction and rate_hz."
                )
        rows = [array.shape[0] for key, array in arrays.items() if key.split(".")[0] == "action" and array.shape]
        if not rows:
            raise InputError(f"{name}: the action of episode {label!r} is one number; expected [frame, dim].")
        frames = rows[0]
        rate = _scalar(arrays["rate_hz"], limits) if "rate_hz" in arrays else None
        texts = _texts(arrays["instruction"], frames, limits) if "instruction" in arrays else ("",)
        different = tuple(dict.fromkeys(texts)) if len(set(texts)) > 1 else ()
        summaries.append(EpisodeSummary(label, frames, texts[0], rate, instructions=different))
        by_frame.append(texts if different else None)
        kept.append({k: a for k, a in arrays.items() if a.dtype.kind in "biuf" and a.shape[:1] == (frames,)})
    features, absent = shared([{key: _feature(key, array) for key, array in arrays.items()} for arrays in kept])
    return Dataset(name, "NPZ", features, tuple(summaries), _Source(kept, limits, by_frame), limits, absent=absent)


class _Source:
    def __init__(
        self, episodes: Sequence[dict[str, _Array]], limits: Limits, by_frame: Sequence[Sequence[str] | None]
    ) -> None:
        self._episodes, self._limits, self._by_frame = episodes, limits, by_frame

    def told(self, episode: int) -> Sequence[str] | None:
        """The instruction of every frame, where it changes."""
        return self._by_frame[episode]

    def numbers(self, episode: int, feature: str) -> np.ndarray:
        return _read(self._episodes[episode][feature], self._limits)

    def images(self, episode: int, feature: str, frames: Sequence[int]) -> Iterator[np.ndarray]:
        own = self._episodes[episode]
        array = of_episode(own, feature, next(iter(own.values())).file.name)
        size = int(np.prod(array.shape[1:])) * array.dtype.itemsize
        if array.fortran or array.dtype.kind not in "iuf":
            raise InputError(f"{array.file.name}: {array.member} should be numbers in C order, got {array.dtype}.")
        with _opened(array) as stream:
            at = 0
            for frame in frames:
                _skip(stream, (frame - at) * size, array)
                yield np.frombuffer(_take(stream, size, array), array.dtype).reshape(array.shape[1:])
                at = frame + 1

    def close(self) -> None:
        pass


def _feature(key: str, array: _Array) -> Feature:
    picture = pictures.are_pictures(array.shape, array.dtype)
    return Feature(key, "image" if picture else "number", array.shape[1:], str(array.dtype))


def _headers(path: Path, limits: Limits) -> dict[str, _Array]:
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if len(infos) > limits.files:
                raise InputError(f"{path.name} holds {len(infos)} arrays; at most {limits.files} are read.")
            for info in infos:
                if not info.filename.endswith(".npy"):
                    continue
                with archive.open(info) as stream:
                    shape, fortran, dtype = _header(stream)
                if dtype.hasobject:
                    raise InputError(
                        f"{path.name}: {info.filename} is pickled Python objects, which is refused, since opening "
                        "them can run code. Save plain arrays of numbers."
                    )
                size = int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
                if not 0 <= size <= info.file_size:
                    raise InputError(f"{path.name}: {info.filename} is cut short; it should hold {size} bytes.")
                arrays[info.filename.removesuffix(".npy")] = _Array(path, info.filename, shape, dtype, fortran)
    except _ERRORS as error:
        raise _worded(error, path) from None
    return arrays


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError("unknown version of the array format")


@contextmanager
def _opened(array: _Array) -> Iterator[IO[bytes]]:
    """The bytes of an array, after its header."""
    try:
        with zipfile.ZipFile(array.file) as archive, archive.open(array.member) as stream:
            _header(stream)
            yield stream
    except _ERRORS as error:
        raise _worded(error, array.file) from None


def _read(array: _Array, limits: Limits) -> np.ndarray:
    size = int(np.prod(array.shape, dtype=np.float64)) * array.dtype.itemsize
    if size > limits.array_bytes:
        raise InputError(f"{array.file.name}: {array.member} has {size >> 20} MB; split it.")
    with _opened(array) as stream:
        flat = np.frombuffer(_take(stream, size, array), array.dtype)
    return flat.reshape(array.shape, order="F" if array.fortran else "C")


def _take(stream: IO[bytes], size: int, array: _Array) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise InputError(f"{array.file.name}: {array.member} is cut short. Copy the file again.")
    return data


def _skip(stream: IO[bytes], size: int, array: _Array) -> None:
    while size > 0:
        size -= len(_take(stream, min(size, 1 << 24), array))


def _scalar(array: _Array, limits: Limits) -> float | None:
    if array.dtype.kind not in "iuf" or int(np.prod(array.shape)) != 1:
        raise InputError(f"{array.file.name}: {array.member} should be one number, got {array.dtype} {array.shape}.")
    value = float(_read(array, limits).reshape(()))
    return value if np.isfinite(value) and 0 < value <= 10_000 else None


def _texts(array: _Array, frames: int, limits: Limits) -> tuple[str, ...]:
    """One text, or one a frame."""
    count, size = int(np.prod(array.shape)), int(np.prod(array.shape)) * array.dtype.itemsize
    most = TEXT_BYTES if count == 1 else limits.array_bytes
    if array.dtype.kind not in "US" or not (count == 1 or array.shape == (frames,)) or not 0 < size <= most:
        raise InputError(
            f"{array.file.name}: {array.member} should be one text, or one for each of {frames} frames, got "
            f"{array.dtype} {array.shape}."
        )
    with _opened(array) as stream:
        values = np.frombuffer(_take(stream, size, array), array.dtype).tolist()
    texts = (one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in values)
    return tuple(one[: limits.instruction_characters] for one in texts)


def _worded(error: Exception, path: Path) -> InputError:
    if isinstance(error, InputError):
        return error
    return InputError(
        f"{path.name} cannot be read as NPZ ({type(error).__name__}); it is damaged or encrypted. Save it again."
    )
