"""Small files that the browser fetches: sprite sheets, thumbnails, attention and copies of rollout recordings.

They lie in one media folder under the store, the only folder the server gives out, named by what they were made from,
so each is made once. A sprite sheet costs about 0.5 s, a thumbnail 0.1 s (decoding the episode's frames).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.views.frame_player import attention_file, encode, sheet_layout, sprite_sheet
from steering.store import Store
from steering.types import Attention

TILE_PX, ATLAS_COLUMNS, MOST_TILES = 64, 40, 4000


class Previews:
    """The media folder of a store."""

    def __init__(self, store: Store) -> None:
        self.folder = store.root / "media"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._store = store
        self._making: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def sprites(self, demonstrations_id: str, index: int, cameras: Iterable[str]) -> dict[str, str]:
        """Camera -> address of the sprite sheet of an episode, laid out by `sheet_layout`."""

        def make(camera: str) -> bytes:
            episode = self._store.load(demonstrations_id).episodes[index]
            return sprite_sheet(episode.cameras[camera], *sheet_layout(episode))

        return {
            camera: self._file(f"{demonstrations_id}-{index}-{camera}-squares.webp", partial(make, camera))
            for camera in cameras
        }

    def thumbnail(self, demonstrations_id: str, index: int, camera: str) -> str:
        """Address of the first frame of an episode."""
        return self._file(
            f"{demonstrations_id}-{index}-{camera}-first.webp",
            lambda: encode(self._store.load(demonstrations_id).episodes[index].cameras[camera][0]),
        )

    def atlas(self, demonstrations_id: str) -> dict[str, Any]:
        """Every frame of the set's first camera in one picture: its address, tile size, columns, frames between two
        tiles, and the first tile of every episode. About 3 s for 20 episodes, once.
        """
        episodes = self._store.load(demonstrations_id).episodes
        step = -(-sum(episode.frames for episode in episodes) // MOST_TILES)
        counts = [-(-episode.frames // step) for episode in episodes]

        def make() -> bytes:
            episodes = self._store.load(demonstrations_id).episodes
            frames = [frame for one in episodes for frame in next(iter(one.cameras.values()))[::step]]
            return sprite_sheet(frames, TILE_PX, ATLAS_COLUMNS)

        return {
            "url": self._file(f"{demonstrations_id}-atlas.webp", make),
            "tile": TILE_PX,
            "columns": ATLAS_COLUMNS,
            "step": step,
            "tiles": sum(counts),
            "starts": [sum(counts[:i]) for i in range(len(counts))],
        }

    def attention(self, attention_id: str, value: Attention) -> str:
        """Address of the attention file of an episode."""
        return self._file(f"{attention_id}-frames-last.gz", lambda: attention_file(value))

    def export(self, name: str, content: bytes) -> str:
        """Address of a file to keep, named by its content."""
        digest = hashlib.sha256(content).hexdigest()[:16]
        return self._file(f"{digest}-{name}", lambda: content)

    def recording(self, artefact_id: str, path: Path) -> str:
        """Address of a rollout's video or trace: a hard link in the media folder, or a copy where there can be none."""
        target = self.folder / f"{artefact_id}-{path.name}"
        if not target.exists():
            try:
                os.link(path, target)
            except FileExistsError:
                pass
            except OSError:
                shutil.copyfile(path, target)
        return _address(target)

    def _file(self, name: str, make: Callable[[], bytes]) -> str:
        target = self.folder / name
        if not target.exists():
            with self._making[name]:  # two visitors at once: the second finds the file
                if not target.exists():
                    draft = target.with_name(f"{uuid.uuid4().hex}.tmp")
                    draft.write_bytes(make())
                    draft.replace(target)
        return _address(target)


def _address(path: Path) -> str:
    return f"gradio_api/file={quote(path.as_posix())}"
