"""Receives files from the browser: announced first, then streamed to disk one by one, bounded in size and number.

`PUT uploads/<upload>/<number>` carries file `number` of an upload that `Uploads.begin` was told of, to its announced
size and no further; only who began an upload sends to it. Every upload has a folder of its own under the store, named
by a random id; names of files are made safe first and lead nowhere else. Nothing is opened here. PUT makes a browser
ask before another site's page may send it.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.visitors import may_act_on
from steering.errors import InputError, NotFound
from steering.keeping import check_room
from steering.pipeline.uploads import FILES, HUB, upload_folder
from steering.public import is_public
from steering.serialisation import read_json
from steering.store import Store

MOST_FILES = 20_000
MOST_BYTES = 4 << 30
PUBLIC_MOST_BYTES = 1 << 30
"""Of one upload; on a server for strangers."""
ALL_BYTES = 20 << 30
MOST_UPLOADS = 200
SPARE_BYTES = 1 << 30
KEEP_S = 24 * 3600.0
_UNSAFE = re.compile(r"[^\w .()+,=@-]")
_MOST_PARTS, _MOST_CHARACTERS = 16, 100
_ABOUT = "upload.json"


OVER = "This upload is over. Send the files again."


@dataclass(frozen=True)
class _Announced:
    """Files that are to come. files: safe path and bytes of each."""

    owner: str
    files: tuple[tuple[str, int], ...]


def most_bytes() -> int:
    """Of one upload on this server."""
    return PUBLIC_MOST_BYTES if is_public() else MOST_BYTES


def limits_in_words() -> str:
    """What may be sent, for the page."""
    most = f"Up to {most_bytes() >> 30} GB in {MOST_FILES // 1000} 000 files."
    return f"{most} Uploads are kept a day, or until the next one."


class Uploads:
    """The uploads of a store. An owner has one at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._announced: dict[str, _Announced] = {}
        self._arriving: set[tuple[str, int]] = set()
        self.routes = [Route("/uploads/{upload}/{number:int}", self.receive, methods=["PUT"])]

    def begin(self, owner: str, files: object) -> str:
        """The id of a new upload of `files`, [{name, size}], name: with its folders. Raises InputError for too much."""
        wanted = _announced(files)
        total = sum(size for _, size in wanted)
        if total > most_bytes():
            raise InputError(
                f"These files have {total / (1 << 30):.1f} GB, and {most_bytes() >> 30} GB is the most. Send fewer "
                "episodes, or import them from the command line: python -m steering import PATH."
            )
        self._make_room(owner, total)
        check_room(self._store, owner, total)
        first = wanted[0][0].split("/")[0]
        same = all(path.split("/")[0] == first for path, _ in wanted)
        upload = self._new(owner, first if same else f"{len(wanted)} files", total)
        (upload_folder(self._store, upload) / FILES).mkdir()
        self._announced[upload] = _Announced(owner, tuple(wanted))
        return upload

    def of_hub(self, owner: str, dataset: str, account: str = "") -> str:
        """An upload of nothing: a dataset that lies on the hub. account: of an owner who is signed in there."""
        self._make_room(owner, 0)
        upload = self._new(owner, dataset, 0)
        asked = {"id": dataset, "account": account}
        (upload_folder(self._store, upload) / HUB).write_text(json.dumps(asked), encoding="utf-8")
        return upload

    def finish(self, upload: str) -> None:
        """All files are said to be here. Raises InputError where they are not."""
        announced = self._announced.pop(upload, None)
        place = upload_folder(self._store, upload) / FILES
        if announced is None or not all(_size(place / path) == size for path, size in announced.files):
            self.remove(upload)
            raise InputError("Not every file arrived. Send them again.")

    def of_owner(self, owner: str) -> tuple[str, str] | None:
        """(id, name) of the owner's upload that has arrived, or None."""
        for folder, about in self._all():
            if about["owner"] == owner and folder.name not in self._announced:
                return folder.name, str(about["name"])
        return None

    def bytes_of(self, owner: str) -> int:
        """What an owner's uploads take, as announced."""
        return sum(int(about["bytes"]) for _, about in self._all() if about["owner"] == owner)

    def check_owner(self, owner: str, upload: str) -> None:
        """Raises NotFound where an upload is not this owner's."""
        if not any(folder.name == upload and about["owner"] == owner for folder, about in self._all()):
            raise NotFound("There is no such upload of yours. Send the files again.")

    def remove(self, upload: str) -> None:
        """Remove an upload with its files."""
        self._announced.pop(upload, None)
        shutil.rmtree(upload_folder(self._store, upload), ignore_errors=True)

    def remove_of(self, owner: str) -> None:
        """Remove whatever an owner has sent."""
        for folder, about in self._all():
            if about["owner"] == owner:
                self.remove(folder.name)

    async def receive(self, request: Request) -> Response:
        """Take one file. Answers 204, or what is wrong in words."""
        upload, number = request.path_params["upload"], request.path_params["number"]
        announced = self._announced.get(upload)
        expected = announced is not None and number < len(announced.files) and may_act_on(announced.owner)
        if announced is None or not expected or (upload, number) in self._arriving:
            return _refused(404, OVER)
        path, size = announced.files[number]
        target = upload_folder(self._store, upload) / FILES / path
        draft = upload_folder(self._store, upload) / f"part-{uuid.uuid4().hex}"
        self._arriving.add((upload, number))
        try:
            arrived = 0
            with draft.open("wb") as sink:
                async for part in request.stream():
                    arrived += len(part)
                    if arrived > size:
                        return _refused(413, f"{path} is larger than it was said to be. Send the files again.")
                    await run_in_threadpool(sink.write, part)
            if arrived < size:
                return _refused(400, f"{path} arrived in part only. Send the files again.")
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(target)
            return Response(status_code=204)
        except ClientDisconnect:
            return _refused(400, "Stopped.")
        except OSError as error:
            return _refused(507, f"{path} could not be kept ({type(error).__name__}). Is the disk full?")
        finally:
            self._arriving.discard((upload, number))
            draft.unlink(missing_ok=True)

    def _new(self, owner: str, name: str, total: int) -> str:
        upload = secrets.token_hex(16)
        folder = upload_folder(self._store, upload)
        folder.mkdir(parents=True)
        about = {"owner": owner, "name": name, "bytes": total, "created_s": time.time()}
        (folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        return upload

    def _make_room(self, owner: str, total: int) -> None:
        """Remove the owner's own and what is old; refuse where the others' leave no room."""
        others = []
        for folder, about in self._all():
            if about["owner"] == owner or time.time() - about["created_s"] > KEEP_S:
                self.remove(folder.name)
            else:
                others.append(about["bytes"])
        free = shutil.disk_usage(self._store.root).free - SPARE_BYTES
        if total > free or sum(others) + total > ALL_BYTES or len(others) >= MOST_UPLOADS:
            raise InputError(
                f"There is no room for {max(total >> 20, 1)} MB here now. Send fewer episodes, or try again tomorrow."
            )

    def _all(self) -> list[tuple[Path, dict[str, Any]]]:
        """Folder and description of every upload, newest first."""
        found = []
        for place in (self._store.root / "uploads").glob("*"):
            try:
                about = read_json(place / _ABOUT)
                found.append((upload_folder(self._store, place.name), about))
            except (InputError, NotFound):
                continue  # being removed
        return sorted(found, key=lambda one: -one[1]["created_s"])


def safe_path(path: str) -> str:
    """A browser's relative path with every part made safe: letters, digits and a few signs, no leading dots."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if not parts or len(parts) > _MOST_PARTS:
        raise InputError(f"{path[:80]!r} is no file in a folder of at most {_MOST_PARTS} levels. Leave it out.")
    return "/".join(_safe_name(part) for part in parts)


def _safe_name(name: str) -> str:
    name = _UNSAFE.sub("_", name)
    stem, dot, ending = name.rpartition(".")
    name = f"{stem[: _MOST_CHARACTERS - 10]}{dot}{ending[:9]}" if stem else name[:_MOST_CHARACTERS]
    return re.sub(r"^[.\s]+", "_", name).rstrip(". ") or "_"


def _announced(files: object) -> list[tuple[str, int]]:
    if not isinstance(files, list) or not files:
        raise InputError("No file was chosen. Choose a file, or a folder that holds some.")
    if len(files) > MOST_FILES:
        raise InputError(
            f"{len(files)} files are more than {MOST_FILES}. Zip the folder, or send fewer episodes; the command line "
            "takes any number: python -m steering import PATH."
        )
    wanted: dict[str, int] = {}
    for one in files:
        path, size = (one.get("name"), one.get("size")) if isinstance(one, dict) else (None, None)
        if not isinstance(path, str) or type(size) is not int or size < 0:
            raise InputError("The browser sent a list of files that cannot be read. Reload the page and try again.")
        safe = safe_path(path)
        if safe in wanted:
            raise InputError(f"Two files would both be called {safe!r}. Rename one, or zip the folder.")
        wanted[safe] = size
    if not any(wanted.values()):
        raise InputError("These files are empty. Choose others.")
    return list(wanted.items())


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _refused(status: int, words: str) -> Response:
    return JSONResponse({"words": words}, status_code=status)
