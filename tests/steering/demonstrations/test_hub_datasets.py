"""Datasets on the hub are fetched by what is needed: the metadata, then the files of the episodes that are read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from steering.demonstrations.guessing import guess
from steering.demonstrations.health import examine
from steering.demonstrations.importing import import_episodes
from steering.demonstrations.limits import LIMITS
from steering.demonstrations.readers.registry import open_dataset
from steering.errors import InputError
from steering.progress import Progress, Report


class Hub:
    """Answers for the hub with the files of a folder, and notes what is fetched."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.here = folder, cache / "datasets--me--set" / "snapshots" / "abc"
        self.fetched: list[str] = []
        self.listed, self.offline = 0, False

    def files(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())

    def info(self, name: str, **_: Any) -> SimpleNamespace:
        self._reach()
        self.listed += 1
        sizes = ((name, (self.folder / name).stat().st_size) for name in self.files())
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name, size=size) for name, size in sizes])

    def snapshot(self, name: str, *, allow_patterns: list[str], local_files_only: bool, **_: Any) -> str:
        if local_files_only and not self.here.exists():
            raise LocalEntryNotFoundError("not here")
        if not local_files_only:
            self._reach()
            for file in self.files():
                if any(fnmatch(file, pattern) for pattern in allow_patterns):
                    self._copy(file)
        return str(self.here)

    def file(self, name: str, filename: str, *, revision: str, **_: Any) -> str:
        assert revision == "abc"
        self._reach()
        self._copy(filename)
        return str(self.here / filename)

    def _copy(self, file: str) -> None:
        self.fetched.append(file)
        (self.here / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / file, self.here / file)

    def _reach(self) -> None:
        if self.offline:
            raise OfflineModeIsEnabled("offline")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Hub]:
    def made(folder: Path) -> Hub:
        found = Hub(folder, tmp_path / "cache")
        monkeypatch.setattr("huggingface_hub.HfApi", lambda token: SimpleNamespace(dataset_info=found.info))
        monkeypatch.setattr("huggingface_hub.snapshot_download", found.snapshot)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", found.file)
        return found

    return made


@pytest.mark.parametrize("kind", ["lerobot_v2", "lerobot_v3"])
def test_the_metadata_then_the_episode_asked_for(
    kind: str, files: ModuleType, tmp_path: Path, hub: Callable[[Path], Hub]
) -> None:
    truth = files.episodes(4, frames=8)
    online = hub(getattr(files, kind)(tmp_path / "set", truth))
    reports: list[Report] = []
    with open_dataset("hub:me/set", episodes=[3], progress=Progress(reports.append)) as dataset:
        assert len(dataset.episodes) == 4 and not dataset.absent
        assert online.fetched and all(name.startswith("meta/") for name in online.fetched)
        guessed = guess(dataset)
        report = examine(dataset, guessed)
        assert (report.episodes, report.examined) == (4, 1)
        found = import_episodes(dataset, guessed.mapping, episodes=[3]).demonstrations.episodes[0]
        np.testing.assert_array_equal(found.cameras["exterior"], truth[3].cameras["exterior"])
        np.testing.assert_allclose(found.action, truth[3].action, rtol=1e-6)
    rest = [name for name in online.fetched if not name.startswith("meta/")]
    own = "episode_000003" if kind == "lerobot_v2" else "file-001"
    assert rest and len(rest) == len(set(rest)) and all(own in name for name in rest), rest
    assert all(any(name in one.message for one in reports) for name in rest), "progress names what is fetched"
    assert online.listed <= 2

    online.offline = True
    with open_dataset("hub:me/set", episodes=[3]) as dataset:
        np.testing.assert_array_equal(dataset.numbers(3, "action"), truth[3].action)
        with pytest.raises(InputError, match="'me/set' is not here, and the hub cannot be reached"):
            dataset.numbers(0, "action")


def test_a_few_episodes_are_looked_at_where_none_are_named(
    files: ModuleType, tmp_path: Path, hub: Callable[[Path], Hub]
) -> None:
    online = hub(files.lerobot_v2(tmp_path / "set", files.episodes(20, frames=3)))
    with open_dataset("hub:me/set") as dataset:
        assert dataset.among == (0, 3, 5, 8, 11, 14, 16, 19)
        assert examine(dataset, guess(dataset)).examined == 8
        assert {int(name[-14:-8]) for name in online.fetched if name.startswith("data/")} == set(dataset.among)


def test_what_is_missing_on_the_hub_or_too_large_is_said(
    files: ModuleType, tmp_path: Path, hub: Callable[[Path], Hub]
) -> None:
    online = hub(files.lerobot_v2(tmp_path / "set", files.episodes(3, frames=8)))
    next(online.folder.glob("videos/**/episode_000001.mp4")).unlink()
    with open_dataset("hub:me/set") as dataset:
        assert list(dataset.absent) == [1]
    (online.folder / "data/chunk-000/episode_000000.parquet").write_bytes(b"\0" * (2 << 20))
    with (
        open_dataset("hub:me/set", replace(LIMITS, download_bytes=1 << 20)) as dataset,
        pytest.raises(InputError, match="me/set: 2 MB would be fetched; at most 1 MB are. Name fewer episodes"),
    ):
        dataset.numbers(0, "action")


def test_a_format_without_metadata_is_fetched_whole(
    files: ModuleType, tmp_path: Path, hub: Callable[[Path], Hub]
) -> None:
    (tmp_path / "set").mkdir()
    files.npz(tmp_path / "set" / "mine.npz")
    (tmp_path / "set" / "README.md").write_text("# Mine")
    online = hub(tmp_path / "set")
    with open_dataset("hub:me/set") as dataset:
        assert len(dataset.episodes) == 3 and dataset.among is None
    assert online.fetched == ["mine.npz"]
