"""Frozen dataclasses of `steering.types` to a folder and back, without pickle.

`value.json` holds the structure; arrays lie in `arrays.npz` (allow_pickle=False), camera frames in lossless `.mp4`
files, and paths are relative to the folder. Everything read is checked against the dataclass's annotations, so a
hostile folder is refused with words. Camera frames are decoded when first touched. Whether a file is as it was written
is for the caller to say, before it is read (`steering.integrity`).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
import struct
import tokenize
import types
import typing
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import steering.types
from steering.errors import InputError
from steering.lossless_video import LazyArrays, each_frame, is_video, whole, write_video

MAX_ARRAY_BYTES = 8 << 30
MAX_JSON_BYTES = 16 << 20
_RESERVED = re.compile(r"value\.json|manifest\.json|arrays\.npz|a\d+\.mp4")
_KINDS = "biuf"  # dtypes that may be stored: bool, signed, unsigned, float


@functools.cache
def known_types() -> dict[str, type]:
    """Every dataclass of `steering.types` by name: the only types that are written or read."""
    classes = (cls for cls in vars(steering.types).values() if isinstance(cls, type))
    return {cls.__name__: cls for cls in classes if dataclasses.is_dataclass(cls)}


class Encoded:
    """A value taken apart: `document` (JSON) and `arrays` by name. `digest` is a SHA-256 over both, not over files."""

    def __init__(self, value: object, folder: Path) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._folder = folder
        self.document = self._encode(value, "value")
        text = json.dumps(self.document, sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()

    def write(self) -> None:
        """Write `value.json`, `arrays.npz` and the videos into the folder."""
        taken = sorted(path.name for path in self._folder.iterdir() if _RESERVED.fullmatch(path.name))
        if taken:
            raise InputError(f"An artefact's own files may not be called {', '.join(taken)}; choose other names.")
        (self._folder / "value.json").write_text(json.dumps(self.document, indent=1), encoding="utf-8")
        plain = {name: array for name, array in self.arrays.items() if not is_video(array)}
        for name, array in self.arrays.items():
            if is_video(array):
                write_video(self._folder / f"{name}.mp4", array)
        if plain:
            _write_npz(self._folder / "arrays.npz", plain)

    def _encode(self, value: object, where: str) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.ndarray):
            return self._encode_array(value, where)
        if isinstance(value, Path):
            return {"$path": self._relative(value)}
        if isinstance(value, tuple | list):
            return [self._encode(item, f"{where}.{i}") for i, item in enumerate(value)]
        if isinstance(value, Mapping):
            if not all(isinstance(key, str) for key in value):
                raise InputError(f"{where}: the keys of a stored mapping must be strings.")
            return {"$map": {key: self._encode(item, f"{where}.{key}") for key, item in value.items()}}
        name = type(value).__name__
        if known_types().get(name) is type(value):
            fields = {}
            for key, hint in typing.get_type_hints(type(value)).items():
                item = getattr(value, key)
                item = float(item) if hint is float and isinstance(item, int) else item  # 20 and 20.0 are one value
                fields[key] = self._encode(item, f"{where}.{key}")
            return {"$type": name, "fields": fields}
        raise InputError(f"{where} is a {name}; only the dataclasses of steering.types and plain values can be stored.")

    def _encode_array(self, array: np.ndarray, where: str) -> dict[str, Any]:
        if array.dtype.kind not in _KINDS:
            raise InputError(f"{where} has dtype {array.dtype}; only numbers and booleans can be stored.")
        name = f"a{len(self.arrays):04d}"
        self.arrays[name] = array
        digest = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
        tag = "$video" if is_video(array) else "$array"
        return {tag: name, "dtype": array.dtype.str, "shape": list(array.shape), "sha256": digest}

    def _relative(self, path: Path) -> str:
        try:
            return path.resolve().relative_to(self._folder.resolve()).as_posix()
        except ValueError:
            raise InputError(
                f"{path.name} lies outside the artefact's folder; write it into the folder that new_folder() gives."
            ) from None


def read_json(path: Path) -> Any:
    """Read a JSON file of bounded size; InputError when it is missing or not JSON."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{path.name} is larger than {MAX_JSON_BYTES >> 20} MB; this is not an artefact of ours.")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.parent.name}/{path.name} cannot be read as JSON ({type(error).__name__}).") from None


def content_digest(folder: Path, without: Collection[str] = ()) -> str:
    """SHA-256 (hex) of what a stored dataclass holds, whatever it was made from, without the fields named `without`.

    Arrays and camera frames count by the hashes of their bytes that `value.json` keeps, so nothing else is read. Fields
    at their default count as absent, so that what was stored before a field was added compares.
    """

    def content(node: Any) -> Any:
        if isinstance(node, list):
            return [content(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "sha256" in node:
            return [node["dtype"], node["shape"], node["sha256"]]
        if "$type" in node and isinstance(node.get("fields"), dict):
            node = {"$type": node["$type"], "fields": _beyond_defaults(node)}
        return {name: content(item) for name, item in node.items() if name not in without}

    document = content(read_json(folder / "value.json"))
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _beyond_defaults(node: dict[str, Any]) -> dict[str, Any]:
    """The stored fields without those at a plain default: what was stored before a field was added lacks it."""
    cls = known_types().get(str(node["$type"]))
    fields = dataclasses.fields(cls) if cls is not None else ()
    simple = [f for f in fields if f.default is None or isinstance(f.default, bool | int | float | str)]
    plain: dict[str, Any] = {f.name: f.default for f in simple} | {f.name: [] for f in fields if f.default == ()}
    return {name: item for name, item in node["fields"].items() if name not in plain or item != plain[name]}


def decode(folder: Path, check: Callable[[Path], None] = lambda _: None) -> Any:
    """The dataclass stored in `folder`. InputError when the folder is not what `Encoded.write` makes.

    check: called with every file before it is read, also with those that are read later; raises where it may not be.
    """
    check(folder / "value.json")
    document = read_json(folder / "value.json")
    if not (isinstance(document, dict) and isinstance(document.get("$type"), str)):
        raise InputError(f"{folder.name}/value.json does not name a stored type.")
    cls = known_types().get(document["$type"])
    if cls is None:
        raise InputError(f"{folder.name}/value.json names the type {document['$type']!r}, which is not stored here.")
    return _Decoder(folder, check).decode(document, cls, document["$type"])


class _Decoder:
    """Decodes JSON against type annotations. `_bad` is the one way out for everything that does not fit."""

    def __init__(self, folder: Path, check: Callable[[Path], None]) -> None:
        self._folder, self._check = folder, check
        check(folder / "arrays.npz")
        self._arrays = _read_npz(folder / "arrays.npz")

    def decode(self, node: Any, hint: Any, where: str) -> Any:
        origin = typing.get_origin(hint)
        if origin in (types.UnionType, typing.Union):
            choices = [arg for arg in typing.get_args(hint) if arg is not type(None)]
            if node is None and len(choices) < len(typing.get_args(hint)):
                return None
            return self.decode(node, choices[0], where)
        if origin is tuple:
            return self._tuple(node, typing.get_args(hint), where)
        if origin is not None and issubclass(origin, Mapping):
            return self._mapping(node, typing.get_args(hint)[1], where)
        if hint in (bool, int, float, str):
            fits = type(node) is hint or (hint is float and type(node) is int)
            return hint(node) if fits else self._bad(where, hint.__name__, node)
        if hint is np.ndarray:
            return whole(self._array(node, where)())
        if hint is Path:
            return self._path(node, where)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return self._dataclass(node, hint, where)
        return self._bad(where, str(hint), node)

    def _bad(self, where: str, expected: str, found: Any) -> typing.NoReturn:
        text = json.dumps(found)[:60]
        raise InputError(f"{self._folder.name}: {where} should be {expected}, but value.json holds {text}.")

    def _dataclass(self, node: Any, cls: type, where: str) -> Any:
        if not (isinstance(node, dict) and node.get("$type") == cls.__name__ and isinstance(node.get("fields"), dict)):
            self._bad(where, cls.__name__, node)
        hints, stored = typing.get_type_hints(cls), node["fields"]
        fields = {f.name: f for f in dataclasses.fields(cls)}
        values = {n: self.decode(v, hints[n], f"{where}.{n}") if n in fields else v for n, v in stored.items()}
        if hasattr(cls, "completed"):  # from what an older version stored
            values = cls.completed(values)
        unknown = sorted(set(values) - set(fields))
        required = {
            name
            for name, f in fields.items()
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        }
        missing = sorted(required - set(values))
        if unknown or missing:
            raise InputError(
                f"{self._folder.name}: {where} has unknown fields {unknown} and lacks {missing}; "
                "it was written by another version."
            )
        return cls(**values)

    def _tuple(self, node: Any, args: tuple[Any, ...], where: str) -> tuple[Any, ...]:
        if not isinstance(node, list):
            self._bad(where, "a list", node)
        item_hints = [args[0]] * len(node) if len(args) == 2 and args[1] is Ellipsis else list(args)
        if len(item_hints) != len(node):
            self._bad(where, f"a list of {len(item_hints)}", node)
        return tuple(self.decode(x, h, f"{where}[{i}]") for i, (x, h) in enumerate(zip(node, item_hints, strict=True)))

    def _mapping(self, node: Any, hint: Any, where: str) -> Mapping[str, Any]:
        if not (isinstance(node, dict) and isinstance(node.get("$map"), dict)):
            self._bad(where, "a mapping", node)
        items = node["$map"].items()
        if hint is np.ndarray and any("$video" in item for _, item in items if isinstance(item, dict)):
            readers = {name: self._array(item, f"{where}.{name}") for name, item in items}
            return LazyArrays(readers, {name: tuple(item["shape"]) for name, item in items})
        return {name: self.decode(item, hint, f"{where}.{name}") for name, item in items}

    def _array(self, node: Any, where: str) -> typing.Callable[[], typing.Iterable[np.ndarray]]:
        if not isinstance(node, dict):
            self._bad(where, "an array", node)
        shape = node.get("shape")
        if not (isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)):
            self._bad(where, "an array with a shape", node)
        if "$video" in node:
            name = node["$video"]
            if not (isinstance(name, str) and name.isalnum() and len(shape) == 4 and shape[3] == 3):
                self._bad(where, "camera frames", node)
            return functools.partial(self._video, self._folder / f"{name}.mp4", tuple(shape))
        array = self._arrays.get(str(node.get("$array")))
        if array is None or list(array.shape) != shape or array.dtype.str != node.get("dtype"):
            self._bad(where, "an array that arrays.npz holds in this shape and dtype", node)
        return lambda: array

    def _video(self, path: Path, shape: tuple[int, int, int, int]) -> typing.Iterable[np.ndarray]:
        self._check(path)
        return each_frame(path, shape)

    def _path(self, node: Any, where: str) -> Path:
        if not (isinstance(node, dict) and isinstance(node.get("$path"), str)):
            self._bad(where, "a path", node)
        path = (self._folder / node["$path"]).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            self._bad(where, "a path inside the artefact's folder", node)
        return path


def _write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Like np.savez, but deflates what shrinks (integers, booleans) and leaves floats alone."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_STORED if array.dtype.kind == "f" else zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_ARRAY_BYTES:
            raise InputError(f"{path.parent.name}/{path.name} would unpack to {size >> 20} MB; that is refused.")
        with np.load(path, allow_pickle=False) as arrays:
            loaded = {name: arrays[name] for name in arrays.files}
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        RuntimeError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
        SyntaxError,
        tokenize.TokenError,  # as the one before, from an array's header
    ) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.parent.name}/{path.name} cannot be read as arrays ({type(error).__name__}).") from None
    return {name: array for name, array in loaded.items() if isinstance(array, np.ndarray)}
