"""Datasets as users bring them: what each kind of fault is answered with, the same in every format it comes in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from steering import pipeline
from steering.demonstrations.guessing import guess
from steering.demonstrations.health import examine
from steering.demonstrations.readers.registry import open_dataset
from steering.errors import InputError
from steering.models.checkpoint import read_header
from steering.store import Store

pytestmark = pytest.mark.usefixtures("read_here")

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 12345\n"


def described(folder: Path, **changes: object) -> None:
    info = folder / "meta/info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | changes))


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("lerobot_v3", "meta/episodes/**/*.parquet"),
        ("lerobot_v3", "data/**/*.parquet"),
        ("lerobot_v3", "videos/**/*.mp4"),
        ("lerobot_v3", "meta/info.json"),
        ("lerobot_v2", "data/**/*.parquet"),
        ("lerobot_v2", "videos/**/*.mp4"),
        ("droid", "**/trajectory.h5"),
        ("droid", "**/*.mp4"),
    ],
)
def test_a_git_lfs_pointer_is_named_in_every_file_of_a_folder(
    kind: str, pattern: str, files: ModuleType, tmp_path: Path
) -> None:
    folder = getattr(files, kind)(tmp_path / "set")
    found = list(folder.glob(pattern))
    assert found
    for path in found:
        path.write_text(POINTER)
    with pytest.raises(InputError, match="is a Git LFS pointer.*git lfs pull"), open_dataset(folder) as dataset:
        mapping = guess(dataset).mapping
        dataset.episode(0, mapping)


@pytest.mark.parametrize("name", ["demo.hdf5", "act.h5", "set.npz", "weights.safetensors"])
def test_a_git_lfs_pointer_is_named_as_a_single_file_and_in_its_folder(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(POINTER)
    if name.endswith(".safetensors"):
        with pytest.raises(InputError, match="is a Git LFS pointer.*git lfs pull"):
            read_header(path)
        return
    for given in (path, tmp_path):
        with pytest.raises(InputError, match=f"{name} is a Git LFS pointer.*git lfs pull"):
            open_dataset(given)


def test_a_pointer_to_a_picture_of_the_readme_does_not_spoil_the_dataset(files: ModuleType, tmp_path: Path) -> None:
    files.libero(tmp_path / "demo.hdf5")
    (tmp_path / "teaser.png").write_text(POINTER)
    with open_dataset(tmp_path) as dataset:
        assert len(dataset.episodes) == 3


@pytest.mark.parametrize("flag", ["is_depth_map", "video.is_depth_map"])
def test_a_depth_video_is_no_camera(flag: str, files: ModuleType, tmp_path: Path) -> None:
    folder = files.lerobot_v3(tmp_path / "set")
    features = json.loads((folder / "meta/info.json").read_text())["features"]
    features["observation.images.exterior"]["info"] = {flag: True, "depth_unit": "mm"}
    features["observation.images.wrist"]["info"] = {flag: False}
    described(folder, features=features)
    with open_dataset(folder) as dataset:
        assert dataset.cameras == ("observation.images.wrist",)
        assert "exterior" not in guess(dataset).mapping.cameras
        assert any("exterior is a depth video" in notice for notice in dataset.notices)


@pytest.mark.parametrize("listed", [True, False])
def test_a_recording_that_was_ended_before_its_end_says_so(listed: bool, files: ModuleType, tmp_path: Path) -> None:
    folder = files.lerobot_v3(tmp_path / "set")
    if not listed:
        shutil.rmtree(folder / "meta/episodes")
    for path in folder.glob("data/**/*.parquet"):
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="ended before it was finalised.*finalize"), open_dataset(folder) as dataset:
        dataset.numbers(0, "action")


def test_files_of_v2_under_the_name_of_v3_are_read_as_what_they_are(files: ModuleType, tmp_path: Path) -> None:
    folder = files.lerobot_v2(tmp_path / "set")
    described(folder, codebase_version="v3.0", data_path="data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet")
    with open_dataset(folder) as dataset:
        assert dataset.format == "LeRobotDataset v2.1"
        assert "says v3.0, but the files are v2.1" in dataset.notices[0]
        episode = dataset.episode(1, guess(dataset).mapping)
        np.testing.assert_array_equal(episode.cameras["exterior"], files.episodes()[1].cameras["exterior"])


def test_a_droid_video_without_its_last_frame_costs_the_last_row(files: ModuleType, tmp_path: Path) -> None:
    folder, truth = files.droid(tmp_path / "set"), files.episodes()
    name = sorted(folder.glob("**/trajectory.h5"))[1].parent
    for video in name.glob("recordings/MP4/*.mp4"):
        camera = "wrist" if np.array_equal(_first(video), truth[1].cameras["wrist"][0]) else "exterior"
        files.video(video, truth[1].cameras[camera][:-1])
    with open_dataset(folder) as dataset:
        assert [one.frames for one in dataset.episodes] == [30, 30, 32]
        assert any("one frame shorter" in notice and "1 of 3" in notice for notice in dataset.notices)
        episode = dataset.episode(1, guess(dataset).mapping)
        np.testing.assert_array_equal(episode.cameras["wrist"], truth[1].cameras["wrist"][:-1])
        np.testing.assert_allclose(episode.action, truth[1].action[:-1], rtol=1e-6)


def _first(video: Path) -> np.ndarray:
    from steering.demonstrations.videos import frames_counted

    return next(frames_counted(video, [0]))


def test_rows_that_are_not_in_the_named_table_are_looked_for_in_the_others(files: ModuleType, tmp_path: Path) -> None:
    """A resumed recording lists the table before the one that was begun (lerobot issue 2401)."""
    folder, truth = files.lerobot_v3(tmp_path / "set", files.episodes(5)), files.episodes(5)
    for path in folder.glob("meta/episodes/**/*.parquet"):
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            row["data/file_index"] = {0: 1, 2: 0}.get(row["episode_index"], row["data/file_index"])
        pq.write_table(pa.Table.from_pylist(rows), path)
    with open_dataset(folder) as dataset:
        mapping = guess(dataset).mapping
        for index, one in enumerate(truth):
            episode = dataset.episode(index, mapping)
            np.testing.assert_allclose(episode.action, one.action, rtol=1e-6)
            np.testing.assert_array_equal(episode.cameras["exterior"], one.cameras["exterior"])
    with pytest.raises(InputError, match="should have 30 frames.*its table has 0"), open_dataset(folder) as dataset:
        for path in folder.glob("data/**/*.parquet"):
            table = pq.read_table(path)
            pq.write_table(table.filter(pc.not_equal(table["episode_index"], 0)), path)
        dataset.numbers(0, "action")


def _without_a_video(files: ModuleType, folder: Path) -> Path:
    files.lerobot_v3(folder)
    (folder / "videos/observation.images.exterior/chunk-000/file-000.mp4").unlink()  # of episodes 0 and 1
    return folder


def _with_nan(files: ModuleType, folder: Path) -> Path:
    arrays = dict(np.load(files.npz(folder)))
    for index in (0, 1):
        arrays[f"episode_{index}/action"] = arrays[f"episode_{index}/action"] * np.nan
    np.savez(folder, **arrays)
    return folder


@pytest.mark.parametrize("make", [_without_a_video, _with_nan])
def test_episodes_that_cannot_be_read_are_skipped_where_asked(make, files: ModuleType, tmp_path: Path) -> None:
    path, store = make(files, tmp_path / "set.npz"), Store(tmp_path / "store")
    with pytest.raises(InputError, match="Episode 0 cannot be imported.*--skip-unreadable"):
        pipeline.import_demonstrations(store, path=path)
    made = pipeline.import_demonstrations(store, path=path, skip_unreadable=True)
    (episode,) = store.load(made).episodes
    np.testing.assert_allclose(episode.action, files.episodes()[2].action, rtol=1e-6)
    assert store.manifest(made).params["episodes"] == [2]
    report = pipeline.health(store, made)
    assert report is not None
    assert "Episodes 0, 1 could not be read and are left out." in [problem["words"] for problem in report["problems"]]
    with pytest.raises(InputError, match="None of 2 episodes can be read"):
        pipeline.import_demonstrations(store, path=path, episodes=[0, 1], skip_unreadable=True)


def _without_pictures_of_one(kind: str, files: ModuleType, path: Path) -> Path:
    """Four episodes, of which episode 1 lacks its exterior camera."""
    truth = files.episodes(4, frames=8)
    path = getattr(files, kind)(path.with_suffix(".npz") if kind == "npz" else path, truth)
    if kind == "droid":
        (path / "episode_1/recordings/MP4/1111.mp4").unlink()
    elif kind == "npz":
        arrays = dict(np.load(path))
        arrays["episode_1/image.exterior"] = arrays["episode_1/image.exterior"][:-1]
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "a") as file:
            name = "data/demo_1/obs/agentview_rgb" if kind == "libero" else f"{files.INSTRUCTION}/ep_1_view_0"
            del file[name]
    return path


@pytest.mark.parametrize("kind", ["droid", "libero", "authors", "npz"])
def test_an_episode_without_a_camera_does_not_take_it_from_the_others(
    kind: str, files: ModuleType, tmp_path: Path
) -> None:
    path, store = _without_pictures_of_one(kind, files, tmp_path / "set"), Store(tmp_path / "store")
    with open_dataset(path) as dataset:
        assert list(dataset.absent) == [1]
        found = guess(dataset)
        assert set(found.mapping.cameras) == {"exterior", "wrist"}
        assert any(one.episodes == (1,) and "for every frame" in one.words for one in examine(dataset, found).problems)
    with pytest.raises(InputError, match="Episode 1 cannot be imported.*for every frame.*--skip-unreadable"):
        pipeline.import_demonstrations(store, path=path)
    made = pipeline.import_demonstrations(store, path=path, skip_unreadable=True)
    assert [one.frames for one in store.load(made).episodes] == [8, 10, 11]


def test_a_camera_of_depth_by_its_name_is_not_guessed(files: ModuleType, tmp_path: Path) -> None:
    one = files.episodes(1)[0]
    cameras = {"image.depth": one.cameras["exterior"], "image.wrist": one.cameras["wrist"]}
    np.savez(tmp_path / "set.npz", action=one.action, state=one.state, rate_hz=10, **cameras)
    with open_dataset(tmp_path / "set.npz") as dataset:
        found = guess(dataset)
    assert set(found.mapping.cameras) == {"wrist"} and any("image.depth is left out" in one for one in found.reasons)


def test_episodes_without_their_video_are_named(files: ModuleType, tmp_path: Path) -> None:
    with open_dataset(_without_a_video(files, tmp_path / "set")) as dataset:
        assert list(dataset.absent) == [0, 1]
        found = [problem for problem in examine(dataset, guess(dataset)).problems if problem.kind == "unreadable"]
    assert found[0].episodes == (0, 1) and found[0].severity == "warning"
    assert "Episodes 0, 1 cannot be read." in found[0].words and "file-000.mp4" in found[0].words


def test_sets_below_a_folder_are_named(files: ModuleType, tmp_path: Path) -> None:
    for name in ("two", "one"):
        files.lerobot_v2(tmp_path / "mine" / name)
    with pytest.raises(InputError, match="mine holds several datasets: one, two. Give the folder of one"):
        open_dataset(tmp_path / "mine")
    cache = tmp_path / "cache" / "datasets--me--pick" / "snapshots" / "abc"
    cache.parent.mkdir(parents=True)
    files.lerobot_v2(cache)
    with pytest.raises(InputError, match="cache holds a dataset: datasets--me--pick/snapshots/abc"):
        open_dataset(tmp_path / "cache")
    (tmp_path / "home").mkdir()
    (tmp_path / "cache").rename(tmp_path / "home" / "hub")
    with pytest.raises(InputError, match="home holds a dataset: hub/datasets--me--pick/snapshots/abc"):
        open_dataset(tmp_path / "home")


@pytest.mark.parametrize("file", ["config.json", "adapter_config.json"])
def test_a_policy_is_no_set(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text("{}")
    with pytest.raises(InputError, match="is a policy or an adapter, not demonstrations"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("data.zarr/.zgroup", "is a zarr store.*LeRobotDataset"),
        ("1.0.0/bridge-train.tfrecord-00000-of-00512", "is part of an RLDS dataset"),
        ("run.mcap", "which is a log of MCAP"),
        ("run.bag", "which is a bag of ROS"),
    ],
)
def test_what_is_known_but_not_read_is_named(name: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "set" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"some")
    with pytest.raises(InputError, match=words):
        open_dataset(tmp_path / "set")
    if path.suffix in (".mcap", ".bag"):
        with pytest.raises(InputError, match=f"{name} is a "):
            open_dataset(path)


def test_robotwin_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "episode0.hdf5", "w") as file:
        file["joint_action/vector"], file["observation/head_camera/rgb"] = np.zeros((4, 14)), np.zeros(4)
    with pytest.raises(InputError, match="episode0.hdf5 is an episode of RoboTwin. Convert"):
        open_dataset(tmp_path / "episode0.hdf5")
