"""Pictures are bounded by what they become, in every format, before they are decoded."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from steering.demonstrations import pictures, videos
from steering.demonstrations.limits import LIMITS
from steering.demonstrations.readers import hdf5, npz
from steering.demonstrations.readers.registry import open_dataset
from steering.errors import InputError
from steering.store import Store
from steering.types import Demonstrations, Episode

SMALL = replace(LIMITS, side_px=16)
TOO_LARGE = "at most 16 px a side are read|has the shape"


@pytest.mark.parametrize(
    "kind", ["lerobot_v3", "lerobot_v2", "libero", "robomimic", "authors", "droid", "aloha", "npz"]
)
def test_every_format_refuses_large_pictures_before_reading_them(
    kind: str, files: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_dataset(
        getattr(files, kind)(tmp_path / "set.npz" if kind == "npz" else tmp_path / "set"), SMALL
    ) as dataset:
        for module, name in ((npz, "_take"), (videos, "_decoded"), (hdf5, "read")):
            monkeypatch.setattr(module, name, lambda *_: pytest.fail("it was read"))
        in_arrays = [name for name in dataset.cameras if dataset.features[name].dtype != "JPEG"]
        assert in_arrays
        for camera in in_arrays:
            with pytest.raises(InputError, match=TOO_LARGE):
                dataset.images(0, camera, [0])


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [5000, 20_000, 100_000])
def test_a_packed_picture_is_judged_by_its_header(side: int) -> None:
    with pytest.raises(InputError, match="at most 4096 px a side are read"):
        pictures.decoded(png_header(side, side), "camera", LIMITS.side_px)


def test_a_video_cannot_grow_while_it_is_decoded(
    files: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the container says another size than its frames have."""
    files.video(tmp_path / "a.mp4", np.zeros((4, 48, 64, 3), np.uint8))
    monkeypatch.setattr(videos, "_check_size", lambda *_: None)
    assert len(list(videos.frames_at(tmp_path / "a.mp4", [0, 1], 10.0, side_px=64))) == 2
    for read in (
        lambda: videos.frames_at(tmp_path / "a.mp4", [0], 10.0, side_px=32),
        lambda: videos.frames_counted(tmp_path / "a.mp4", [0], side_px=32),
    ):
        with pytest.raises(InputError, match="cannot be decoded as video"):
            list(read())


def test_a_recording_is_not_decoded_where_it_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = {"exterior": np.zeros((5, 32, 32, 3), np.uint8)}
    episode = Episode("0", "x", 10.0, cameras, np.zeros((5, 8), np.float32), np.zeros((5, 7), np.float32))
    store = Store(tmp_path)
    folder = store.folder(store.save("demonstrations", Demonstrations("mine", "", (), (episode,))))
    monkeypatch.setattr("steering.serialisation.each_frame", lambda *_, **__: pytest.fail("it was decoded"))
    small_arrays = replace(LIMITS, array_bytes=1000)
    with open_dataset(folder, small_arrays) as dataset, pytest.raises(InputError, match="at most 0 MB an episode"):
        dataset.images(0, "exterior", [0])
    with open_dataset(folder, SMALL) as dataset, pytest.raises(InputError, match="at most 16 px"):
        dataset.images(0, "exterior", [0])
