"""Small files that the browser fetches: sprite sheets, thumbnails, attention and copies of rollout recordings.

They lie in one media folder under the store, named by what they were made from, so each is made once. What comes from
an artefact is made when its address is first fetched, or `ahead`, so that no answer of the page waits for it. A sprite
sheet costs 5 ms a frame (decoding), a thumbnail 0.02 s, attention up to 3 s.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from app.answers.heads import Atlas
from app.answers.report import File, Run
from app.views.frame_player import attention_file, encode, sheet_layout, sprite_sheet, thumbnail
from app.views.report import report
from app.words import duration, without_places
from steering.demonstrations.videos import frames_counted, frames_promised
from steering.errors import InputError, NotFound, SteeringError
from steering.progress import Progress, Report
from steering.store import Store
from steering.types import Attention, Demonstrations, Episode

TILE_PX, ATLAS_COLUMNS, MOST_TILES = 64, 40, 4000
MEDIA_TYPES = {".webp": "image/webp", ".gz": "application/gzip"}
SHOWN_TYPES = {**MEDIA_TYPES, ".mp4": "video/mp4", ".json": "application/json"}
KEPT = {"Cache-Control": "private, max-age=604800, immutable"}  # another layout gets another address
_OF_EPISODE = re.compile(r"previews/([^/]+)/(\d{1,6})/(.+)/(squares|first)\.webp")
_OF_ARTEFACT = re.compile(r"previews/([^/]+)/(atlas\.webp|levels\.gz)")
_CONTENT = re.compile(r"^[0-9a-f]{16}-")  # what `export` puts before a name
SHEETS_AT_ONCE, ATLASES_AT_ONCE = 1, 1
"""Each computes, and holds its picture twice: 45 MB of an episode, 77 of all. More at once would be later."""
FREE = nullcontext()
PATIENCE_S = 1.0
"""How long a fetch of pictures waits, which may take a minute: a browser keeps six requests open, all in all."""


@dataclass
class _Making:
    """A file that is being made. report: how far it is, once that is known."""

    done: Future[None] = field(default_factory=Future)
    report: Report | None = None

    def progress(self) -> Progress:
        return Progress(partial(setattr, self, "report"))


class NotYet(Exception):
    """A file is still being made; says how far it is."""

    def __init__(self, report: Report | None) -> None:
        left = "" if report is None or report.left_s is None else f", {duration(report.left_s)} left"
        super().__init__(f"{'Preparing frames' if report is None else report.message}{left}")


class Media:
    """The media folder of a store. routes: what gives out the files that come from artefacts."""

    def __init__(self, store: Store) -> None:
        self.folder = store.root / "media"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.routes = [Route("/previews/{rest:path}", self._answer), Route("/media/{name}", self._give)]
        self._store = store
        self._lock = threading.Lock()
        self._making: dict[str, _Making] = {}
        self._ahead: set[str] = set()
        self._sheets, self._atlases = threading.Semaphore(SHEETS_AT_ONCE), threading.Semaphore(ATLASES_AT_ONCE)

    def sprites(self, demonstrations_id: str, index: int, cameras: Iterable[str]) -> dict[str, str]:
        """Camera -> address of the sprite sheet of an episode, laid out by `sheet_layout`."""
        return {camera: f"{_of_camera(demonstrations_id, index, camera)}/squares.webp" for camera in cameras}

    def thumbnail(self, demonstrations_id: str, index: int, camera: str) -> str:
        """Address of the first frame of an episode, small."""
        return f"{_of_camera(demonstrations_id, index, camera)}/first.webp"

    def atlas(self, demonstrations_id: str) -> Atlas:
        """Every frame of the set's first camera in one picture: its address, tile size, columns, frames between two
        tiles, and the first tile of every episode.
        """
        step, counts = _atlas_layout(self._demonstrations(demonstrations_id).episodes)
        return {
            "url": f"previews/{demonstrations_id}/atlas.webp",
            "tile": TILE_PX,
            "columns": ATLAS_COLUMNS,
            "step": step,
            "starts": [sum(counts[:i]) for i in range(len(counts))],
        }

    def attention(self, attention_id: str) -> str:
        """Address of the attention file of an episode."""
        return f"previews/{attention_id}/levels.gz"

    def ahead(self, name: str, addresses: Callable[[], Iterable[str]]) -> None:
        """Begin to make the files of `addresses`, which somebody is about to fetch; once for each `name`."""
        if name not in self._ahead:
            self._ahead.add(name)
            threading.Thread(target=self._make_ahead, args=(addresses,), daemon=True).start()

    def file(self, address: str, patience_s: float | None = PATIENCE_S) -> Path:
        """The file of an address of an artefact's, made where it is not there yet.

        Raises SteeringError, and NotYet where pictures take longer than `patience_s`; None waits for them.
        """
        if found := _OF_EPISODE.fullmatch(address):
            demonstrations_id, index, camera = found[1], int(found[2]), found[3]
            sheet = found[4] == "squares"
            make = partial(self._sheet if sheet else self._first, demonstrations_id, index, camera)
            name = f"{demonstrations_id}-{index}-{quote(camera, safe='')}-{found[4]}.webp"
            return self._file(name, make, patience_s, self._sheets if sheet else FREE)
        if found := _OF_ARTEFACT.fullmatch(address):
            artefact_id, is_atlas = found[1], found[2] == "atlas.webp"
            whole, wait_s = (self._atlas, patience_s) if is_atlas else (self._attention, None)
            turn = self._atlases if is_atlas else self._sheets
            return self._file(f"{artefact_id}-{found[2]}", partial(whole, artefact_id), wait_s, turn)
        raise NotFound("There is no such picture. Reload the page.")

    def forget(self, artefact_id: str) -> None:
        """Remove the files that were made from an artefact which is about to be deleted."""
        for path in self.folder.glob(f"{artefact_id}[-.]*"):
            path.unlink(missing_ok=True)
        for path in self._store.folder(artefact_id).rglob("*"):
            self._recording(artefact_id, path).unlink(missing_ok=True)

    def export(self, name: str, content: bytes) -> str:
        """Address of a file to keep, named by its content."""
        digest = hashlib.sha256(content).hexdigest()[:16]
        return _address(self._file(f"{digest}-{name}", lambda _: content))

    def report(self, name: str, run: Run) -> File:
        """A run as one page that opens offline."""
        return File(self.export(name, report(run).encode()), name)

    def poster(self, film: Path) -> bytes:
        """The last picture of a film, as WebP: how it ended. Empty where there is none."""
        count = frames_promised(film)
        last = list(frames_counted(film, [count - 1])) if count else []
        return encode(last[0]) if last else b""

    def recording(self, artefact_id: str, path: Path) -> str:
        """Address of a rollout's video or trace: a hard link in the media folder, or a copy where there can be none.

        The address does not say the method, which a blind vote hides.
        """
        target = self._recording(artefact_id, path)
        if not target.exists():
            try:
                os.link(path, target)
            except FileExistsError:
                pass
            except OSError:
                shutil.copyfile(path, target)
        return _address(target)

    def _recording(self, artefact_id: str, path: Path) -> Path:
        digest = hashlib.sha256(f"{artefact_id}/{path.name}".encode()).hexdigest()[:24]
        return self.folder / f"recording-{digest}{path.suffix}"

    def _answer(self, request: Request) -> Response:
        try:
            found = self.file(f"previews/{request.path_params['rest']}")
        except SteeringError as error:
            return PlainTextResponse(without_places(str(error)), 404 if isinstance(error, NotFound) else 422)
        except NotYet as error:
            return PlainTextResponse(str(error), 503)
        return FileResponse(found, media_type=MEDIA_TYPES[found.suffix], headers=KEPT)

    def _give(self, request: Request) -> Response:
        """A file of the media folder; what a browser would open as a page is only ever kept."""
        found = self.folder / Path(request.path_params["name"]).name
        if not found.is_file():
            return PlainTextResponse("There is no such file any more. Reload the page.", 404)
        shown = found.suffix in SHOWN_TYPES
        return FileResponse(
            found,
            media_type=SHOWN_TYPES.get(found.suffix, "application/octet-stream"),
            headers=KEPT,
            filename=None if shown else _CONTENT.sub("", found.name),
        )

    def _make_ahead(self, addresses: Callable[[], Iterable[str]]) -> None:
        with suppress(SteeringError):  # whoever fetches it is told
            for address in addresses():
                with suppress(NotYet):
                    self.file(unquote(address))

    def _sheet(self, demonstrations_id: str, index: int, camera: str, progress: Progress) -> bytes:
        episode = self._episode(demonstrations_id, index, camera)
        frames = _counted(episode.pictures(camera), episode.frames, progress)
        return sprite_sheet(frames, episode.frames, *sheet_layout(episode))

    def _first(self, demonstrations_id: str, index: int, camera: str, _: Progress) -> bytes:
        return thumbnail(self._episode(demonstrations_id, index, camera).first_picture(camera))

    def _atlas(self, demonstrations_id: str, progress: Progress) -> bytes:
        episodes = self._demonstrations(demonstrations_id).episodes
        step, counts = _atlas_layout(episodes)
        camera = next(iter(episodes[0].cameras))

        def frames() -> Iterator[np.ndarray]:
            for episode in episodes:
                yield from islice(episode.pictures(camera), 0, None, step)

        total = sum(counts)
        return sprite_sheet(_counted(frames(), total, progress), total, TILE_PX, ATLAS_COLUMNS)

    def _attention(self, attention_id: str, _: Progress) -> bytes:
        value = self._store.load(attention_id)
        if not isinstance(value, Attention):
            raise InputError(f"{attention_id} holds no attention weights. Reload the page.")
        return attention_file(value)

    def _episode(self, demonstrations_id: str, index: int, camera: str) -> Episode:
        episodes = self._demonstrations(demonstrations_id).episodes
        if index >= len(episodes) or camera not in episodes[index].cameras:
            raise NotFound(f"There is no camera {camera!r} of episode {index} there. Reload the page.")
        return episodes[index]

    def _demonstrations(self, demonstrations_id: str) -> Demonstrations:
        value = self._store.load(demonstrations_id)
        if not isinstance(value, Demonstrations):
            raise InputError(f"{demonstrations_id} holds no demonstrations. Reload the page.")
        return value

    def _file(
        self,
        name: str,
        make: Callable[[Progress], bytes],
        wait_s: float | None = None,
        turn: AbstractContextManager[object] = FREE,
    ) -> Path:
        """turn: what is held while the file is made."""
        target = self.folder / name
        if not target.exists():
            with self._lock:  # two visitors at once: the second waits for what the first began
                making = self._making.get(name)
                if making is None:
                    making = self._making[name] = _Making()
                    threading.Thread(target=self._make, args=(target, make, making, turn), daemon=True).start()
            try:
                making.done.result(wait_s)
            except TimeoutError:
                raise NotYet(making.report) from None
        return target

    def _make(
        self, target: Path, make: Callable[[Progress], bytes], making: _Making, turn: AbstractContextManager[object]
    ) -> None:
        draft = target.with_name(f"{uuid.uuid4().hex}.tmp")
        try:
            with turn:
                content = make(making.progress())
            draft.write_bytes(content)
            draft.replace(target)
            making.done.set_result(None)
        except Exception as error:  # for those who wait
            making.done.set_exception(error)
        finally:
            del self._making[target.name]


def _counted(frames: Iterable[np.ndarray], count: int, progress: Progress) -> Iterator[np.ndarray]:
    for i, frame in enumerate(frames):
        progress.report(i / count, "Preparing frames")
        yield frame


def _atlas_layout(episodes: Iterable[Episode]) -> tuple[int, list[int]]:
    """Frames between two tiles, and how many tiles each episode has."""
    frames = [episode.frames for episode in episodes]
    step = -(-sum(frames) // MOST_TILES)
    return step, [-(-count // step) for count in frames]


def _of_camera(demonstrations_id: str, index: int, camera: str) -> str:
    return f"previews/{demonstrations_id}/{index}/{quote(camera, safe='')}"


def _address(path: Path) -> str:
    return f"media/{quote(path.name)}"
