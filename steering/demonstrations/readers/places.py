"""A folder of somebody else's files: paths stay inside it, links are refused, a zip is unpacked into one of its own.

The hub's cache is the one exception: its snapshots link to `blobs` beside them, which is followed.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from steering.demonstrations.limits import Limits
from steering.errors import InputError
from steering.hub import refuse_pointer

_PART = 1 << 20
_ERRORS = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


class Elsewhere(Protocol):
    """The files of a folder that lie elsewhere until they are fetched. Names are relative, with slashes."""

    @property
    def names(self) -> Collection[str] | None:
        """All of them; None where that cannot be asked for."""
        ...

    def fetch(self, name: str) -> None:
        """Bring a file into the folder; nothing where there is none of that name. Raises InputError in words."""
        ...


class Place:
    """A folder. temporary: it is ours and goes when the place is closed. elsewhere: files that are fetched by name."""

    def __init__(self, root: Path, *, temporary: Path | None = None, elsewhere: Elsewhere | None = None) -> None:
        self.root = root.resolve()
        self._temporary, self._elsewhere = temporary, elsewhere
        snapshot = self.root.parent.name == "snapshots" and (self.root.parent.parent / "blobs").is_dir()
        self._blobs = (self.root.parent.parent / "blobs") if snapshot else None

    def close(self) -> None:
        """Remove what was unpacked."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def file(self, name: str) -> Path:
        """The file of that relative name. InputError where it is missing or not inside the folder."""
        if "\x00" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(
                f"The dataset names the file {name[:120]!r}, which is outside its folder; that is refused."
            )
        if self._elsewhere is not None and not (self.root / name).exists():
            self._elsewhere.fetch(name)
        path = self.checked(self.root / name)
        refuse_pointer(path)
        return path

    def has(self, name: str) -> bool:
        """Whether there is a file of that name, or may be one elsewhere."""
        if (self.root / name).exists() or self._elsewhere is None:
            return (self.root / name).exists()
        names = self._elsewhere.names
        return names is None or name in names

    def names(self, below: str, suffix: str, limits: Limits) -> list[str]:
        """Names for `file` of every file with that ending below a folder, sorted; nothing is fetched."""
        names = None if self._elsewhere is None else self._elsewhere.names
        if names is not None:
            return sorted(name for name in names if name.startswith(f"{below}/") and name.endswith(suffix))
        return [path.relative_to(self.root).as_posix() for path in self.glob(below, suffix, limits)]

    def checked(self, path: Path) -> Path:
        """`path` itself, when it is a plain file inside the folder."""
        try:
            real = path.resolve(strict=True)
            inside = real.is_relative_to(self.root) or (self._blobs is not None and real.is_relative_to(self._blobs))
            if inside and stat.S_ISREG(real.stat().st_mode):
                return path
        except (OSError, RuntimeError, ValueError):
            name = os.path.relpath(path, self.root)[:120]
            raise InputError(f"The dataset has no file {name!r}. Copy it again, or leave those episodes out.") from None
        name = os.path.relpath(path, self.root)[:120]
        raise InputError(f"{name!r} is a link to outside the dataset, or no plain file; that is refused.")

    def glob(self, below: str, suffix: str, limits: Limits) -> list[Path]:
        """Every file with that ending below a folder, sorted by path; links to folders are not followed."""
        found = []
        for count, path in enumerate(_walk(self.root / below)):
            if count > limits.files:
                raise InputError(f"{below or 'The folder'} holds more than {limits.files} files; split the dataset.")
            if path.name.lower().endswith(suffix):
                found.append(self.checked(path))
        return sorted(found)

    def json(self, name: str, limits: Limits) -> Any:
        """A JSON file of bounded size."""
        path = self.file(name)
        try:
            if path.stat().st_size > limits.text_bytes:
                raise InputError(
                    f"{name} has {path.stat().st_size >> 20} MB; at most {limits.text_bytes >> 20} are read."
                )
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{name} cannot be read as JSON ({type(error).__name__}). Copy the dataset again."
            ) from None

    def json_lines(self, name: str, limits: Limits) -> Iterator[dict[str, Any]]:
        """The objects of a JSON-lines file of bounded size."""
        path = self.file(name)
        if path.stat().st_size > limits.text_bytes:
            raise InputError(f"{name} has {path.stat().st_size >> 20} MB; at most {limits.text_bytes >> 20} are read.")
        try:
            with path.open(encoding="utf-8") as file:
                for line in file:
                    if line.strip():
                        found = json.loads(line)
                        if not isinstance(found, dict):
                            raise ValueError("a line is not an object")
                        yield found
        except (OSError, ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{name} cannot be read as JSON lines ({type(error).__name__}).") from None


def unpacked(path: Path, limits: Limits) -> Place:
    """A zip in a temporary folder of its own. Names that lead outside, links and bombs are refused."""
    folder = Path(tempfile.mkdtemp(prefix="steering-dataset-"))
    try:
        _unpack(path, folder, limits)
        inner = folder
        while len(children := list(inner.iterdir())) == 1 and children[0].is_dir():  # zipped with its folder
            inner = children[0]
        return Place(inner, temporary=folder)
    except _ERRORS as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path.name} cannot be unpacked ({type(error).__name__}); it is damaged or encrypted. Zip it again."
        ) from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _unpack(path: Path, folder: Path, limits: Limits) -> None:
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.filename.startswith("__MACOSX/")]
        if len(infos) > limits.files:
            raise InputError(f"{path.name} holds {len(infos)} files; at most {limits.files} are unpacked.")
        claimed, free = sum(info.file_size for info in infos), shutil.disk_usage(folder).free
        if claimed > limits.unpacked_bytes:
            raise _too_large(path, limits)
        if claimed > free:
            raise InputError(
                f"{path.name} unpacks to {claimed >> 20} MB, and {free >> 20} MB are free here. Make room."
            )
        total = 0
        for info in infos:
            name = PurePosixPath(info.filename.replace("\\", "/"))
            mode = info.external_attr >> 16
            if name.is_absolute() or ".." in name.parts or ":" in info.filename or not name.parts:
                raise InputError(f"{path.name} holds {info.filename[:120]!r}, which leads outside; that is refused.")
            if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_IFMT(mode) == 0):
                raise InputError(f"{path.name}: {info.filename[:120]!r} is a link or device, which is refused.")
            target = folder.joinpath(*name.parts)
            if info.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, target.open("xb") as sink:
                while part := source.read(_PART):
                    total += len(part)
                    if total > limits.unpacked_bytes:  # the sizes that it claims may be lies
                        raise _too_large(path, limits)
                    sink.write(part)


def _too_large(path: Path, limits: Limits) -> InputError:
    most = f"{limits.unpacked_bytes >> 20} MB"
    return InputError(f"{path.name} unpacks to more than {most}, which is refused. Leave out episodes or cameras.")


def _walk(folder: Path) -> Iterator[Path]:
    if not folder.is_dir() or folder.is_symlink():
        return
    for place, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        yield from (Path(place) / name for name in sorted(files))
