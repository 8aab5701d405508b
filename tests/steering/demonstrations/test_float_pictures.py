"""Pictures that were recorded as other numbers than 8 bits come out as those, in every format that holds arrays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steering.demonstrations import pictures
from steering.demonstrations.dataset import Dataset
from steering.demonstrations.guessing import guess
from steering.demonstrations.health import examine
from steering.demonstrations.mapping import corrected
from steering.demonstrations.readers.registry import open_dataset
from steering.errors import InputError

RANGES = {"0 to 1": (1 / 255, np.float32), "0 to 255": (1.0, np.float64), "whole numbers": (1.0, np.int64)}
KINDS = ("libero", "robomimic", "authors", "aloha", "npz", "lerobot")


def scaled(truth: list, scale: float, dtype: Any) -> list:
    return [replace(one, cameras={c: (v * scale).astype(dtype) for c, v in one.cameras.items()}) for one in truth]


def written(kind: str, files: ModuleType, path: Path, truth: list, scale: float, dtype: Any) -> Path:
    path = path.with_suffix(".npz") if kind == "npz" else path
    if kind == "lerobot":
        folder = files.lerobot_v2(path, truth)
        info = json.loads((folder / "meta/info.json").read_text())
        info["features"]["observation.images.wrist"]["dtype"] = np.dtype(dtype).name
        (folder / "meta/info.json").write_text(json.dumps(info))
        for file, one in zip(sorted(folder.glob("data/**/*.parquet")), scaled(truth, scale, dtype), strict=True):
            table = pq.read_table(file).drop_columns("observation.images.wrist")
            cells = pa.array(one.cameras["wrist"].tolist())
            pq.write_table(table.append_column("observation.images.wrist", cells), file)
        return folder
    if kind == "aloha":
        one = truth[0]
        floats = {"exterior": (one.cameras["exterior"] * scale).astype(dtype)}
        files.aloha(path, replace(one, cameras=one.cameras | floats))
        return path
    return getattr(files, kind)(path, scaled(truth, scale, dtype))


@pytest.mark.parametrize(
    ("kind", "given"),
    [(kind, given) for kind in KINDS for given in RANGES if (kind, given) != ("lerobot", "whole numbers")],
)
def test_pictures_of_other_numbers_are_brought_to_8_bits(
    kind: str, given: str, files: ModuleType, tmp_path: Path
) -> None:
    truth = files.episodes(2, frames=8)
    truth[0].cameras["wrist"][0] = 0  # a dark picture fits both ranges
    with open_dataset(written(kind, files, tmp_path / "set", truth, *RANGES[given])) as dataset:
        guessed = guess(dataset)
        episode = dataset.episode(0, guessed.mapping)
        role = "wrist" if kind == "lerobot" else "exterior"
        np.testing.assert_array_equal(episode.cameras[role], truth[0].cameras[role])
        found = examine(dataset, guessed).problems
        assert any(one.kind == "float_pictures" and one.severity == "note" for one in found), found


def opened(images: np.ndarray, path: Path) -> Dataset:
    rows = np.linspace(0, 1, len(images), dtype=np.float32)[:, None]
    np.savez(path, action=rows, state=rows, rate_hz=10, **{"image.front": images})
    return open_dataset(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda images: images * 2 - 1, "image.front holds pictures of float32 from -1 to 1"),
        (lambda images: images * 4095, "from 0 to 4095"),
        (lambda images: np.where(images > 0.5, np.nan, images), "from nan to nan"),
    ],
)
def test_another_range_is_one_sentence(change: Any, words: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((6, 16, 16, 3), np.float32)
    images[..., 0, 0, 0], images[..., 1, 0, 0] = 0, 1
    with opened(change(images), tmp_path / "set.npz") as dataset:
        with pytest.raises(InputError, match=f"{words}.*from 0 to 1 or from 0 to 255 are read"):
            dataset.images(0, "image.front")
        report = examine(dataset, guess(dataset))
        assert report.usable == "no" and any(words in one.words for one in report.problems)


def test_one_picture_beyond_the_others_is_named(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((9, 16, 16, 3), np.float32)
    images[1] *= 255
    with (
        opened(images, tmp_path / "set.npz") as dataset,
        pytest.raises(InputError, match="beyond the range of its other pictures, 0 to 1"),
    ):
        dataset.images(0, "image.front")


def test_channels_first_are_pictures_and_distances_are_not(files: ModuleType, tmp_path: Path) -> None:
    one = files.episodes(1, frames=6)[0]
    first = (one.cameras["exterior"] / 255).astype(np.float32).transpose(0, 3, 1, 2)
    with opened(first, tmp_path / "set.npz") as dataset:
        mapping = corrected(guess(dataset).mapping, {"cameras": {"exterior": "image.front"}})
        np.testing.assert_array_equal(dataset.episode(0, mapping).cameras["exterior"], one.cameras["exterior"])
    for shape in ((6, 24, 32, 1), (6, 24, 32), (6, 4, 4, 4), (6, 2, 3, 8)):
        assert not pictures.are_pictures(shape, np.dtype("float32")), shape
    assert pictures.are_pictures((6, 24, 32, 1), np.dtype("uint8"))
