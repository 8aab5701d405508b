"""Every reader gives back the episodes that the format's own library wrote, by content and not by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from steering.demonstrations.guessing import guess
from steering.demonstrations.readers.registry import open_dataset
from steering.demonstrations.recording import record
from steering.errors import InputError, NotFound
from steering.store import Store

FORMATS = {
    "lerobot_v3": "LeRobotDataset v3.0",
    "lerobot_v2": "LeRobotDataset v2.1",
    "libero": "LIBERO HDF5",
    "robomimic": "robomimic HDF5",
    "authors": "Robotic Steering HDF5",
    "droid": "DROID HDF5",
    "npz": "NPZ",
}
RATES = {"authors": 15.0, "droid": 15.0}


def build(files: ModuleType, kind: str, folder: Path) -> Path:
    """A dataset of that kind, whose name says nothing of its format."""
    single = kind in ("libero", "robomimic", "authors", "npz")
    made: Path = getattr(files, kind)(folder / ("data.npz" if kind == "npz" else "data") if single else folder / "set")
    return made.rename(made.with_name("something.bin")) if single else made


@pytest.mark.parametrize("kind", FORMATS)
def test_a_reader_gives_what_was_written(kind: str, files: ModuleType, tmp_path: Path) -> None:
    path = build(files, kind, tmp_path)
    truth = files.episodes()
    with open_dataset(path) as dataset:
        assert dataset.format == FORMATS[kind]
        assert [episode.frames for episode in dataset.episodes] == [len(one.state) for one in truth]
        assert dataset.rate_hz == RATES.get(kind, files.RATE_HZ)
        mapping = guess(dataset).mapping
        for index, one in enumerate(truth):
            episode = dataset.episode(index, mapping)
            assert episode.instruction == ("" if kind == "robomimic" else files.INSTRUCTION)
            assert set(episode.cameras) == {"exterior", "wrist"}
            for camera, images in one.cameras.items():
                np.testing.assert_array_equal(episode.cameras[camera], images, err_msg=f"{camera} of {index}")
            np.testing.assert_allclose(episode.state, one.state, rtol=1e-6)
            np.testing.assert_allclose(episode.action, one.action, rtol=1e-6)
            assert episode.state.dtype == episode.action.dtype == np.float32


@pytest.mark.parametrize("kind", FORMATS)
def test_only_the_frames_asked_for_are_given(kind: str, files: ModuleType, tmp_path: Path) -> None:
    with open_dataset(build(files, kind, tmp_path)) as dataset:
        mapping = guess(dataset).mapping
        episode = dataset.episode(1, mapping, frames=[0, 7, 8, 30], image_px=16)
        one = files.episodes()[1]
        assert episode.cameras["wrist"].shape == (4, 12, 16, 3)
        np.testing.assert_allclose(episode.state, one.state[[0, 7, 8, 30]], rtol=1e-6)
        whole = dataset.images(1, mapping.cameras["wrist"].feature)
        part = dataset.images(1, mapping.cameras["wrist"].feature, [3, 21])
        np.testing.assert_array_equal(part, whole[[3, 21]])
        with pytest.raises(InputError, match="rising frames of 0 to 30"):
            dataset.images(1, mapping.cameras["wrist"].feature, [3, 31])


def test_aloha_has_two_arms_and_packed_pictures(files: ModuleType, tmp_path: Path) -> None:
    one = files.episodes(1)[0]
    with open_dataset(files.aloha(tmp_path / "episode_0.hdf5")) as dataset:
        guessed = guess(dataset)
        assert (dataset.format, guessed.mapping.layout, dataset.rate_hz) == ("ALOHA HDF5", "ALOHA", 50.0)
        episode = dataset.episode(0, guessed.mapping)
    assert episode.state.shape[1] == episode.action.shape[1] == 14
    np.testing.assert_array_equal(episode.cameras["exterior"], one.cameras["exterior"])
    difference = np.abs(episode.cameras["wrist"].astype(int) - one.cameras["wrist"])
    assert difference.mean() < 1.5, "JPEG of the best quality"


@pytest.mark.parametrize("inside", ("", "my_dataset/"))
def test_a_zip_is_read_like_its_folder_and_leaves_nothing(
    inside: str, files: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    path = files.zipped(files.lerobot_v3(tmp_path / "set"), tmp_path / "set.zip", inside=inside)
    with open_dataset(path) as dataset:
        episode = dataset.episode(2, guess(dataset).mapping)
        np.testing.assert_array_equal(episode.cameras["exterior"], files.episodes()[2].cameras["exterior"])
        assert len(list(scratch.iterdir())) == 1
    assert not list(scratch.iterdir())


def test_a_folder_of_hdf5_files_is_one_dataset_in_natural_order(files: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    for number in (10, 2):
        files.libero(tmp_path / f"suite/task_{number}.hdf5", files.episodes(2, seed=number))
    with open_dataset(tmp_path / "suite") as dataset:
        names = [episode.name for episode in dataset.episodes]
        assert names == ["task_2/demo_0", "task_2/demo_1", "task_10/demo_0", "task_10/demo_1"]
        action = dataset.episode(3, guess(dataset).mapping).action
    np.testing.assert_allclose(action, files.episodes(2, seed=10)[1].action, rtol=1e-6)


def test_a_recording_of_ours_keeps_what_only_it_knows(tmp_path: Path) -> None:
    recorded = record("press_button", 1)
    store = Store(tmp_path)
    made = store.save("demonstrations", recorded)
    with open_dataset(store.folder(made)) as dataset:
        assert (dataset.format, dataset.task) == ("workbench recording", "press_button")
        episode = dataset.episode(0, guess(dataset).mapping)
    first = recorded.episodes[0]
    assert (episode.seed, episode.success) == (first.seed, True)
    np.testing.assert_array_equal(episode.phase, first.phase)
    np.testing.assert_array_equal(episode.cameras["wrist"], first.cameras["wrist"])
    np.testing.assert_array_equal(episode.ground_truth["button"], first.ground_truth["button"])
    with pytest.raises(InputError, match=f"give one of its folders in artefacts: {made}"):
        open_dataset(tmp_path)


def test_a_video_encoded_again_at_another_rate_is_refused(files: ModuleType, tmp_path: Path) -> None:
    folder = files.lerobot_v3(tmp_path / "set")
    place = folder / "videos/observation.images.wrist/chunk-000/file-001.mp4"
    files.video(place, files.episodes()[2].cameras["wrist"][::2], rate=10)
    with open_dataset(folder) as dataset:
        mapping = guess(dataset).mapping
        assert dataset.episode(1, mapping).frames == 31
        with pytest.raises(InputError, match=r"has no frame at 0.050 s .* encoded again at another rate than 20"):
            dataset.episode(2, mapping)


def test_a_damaged_episode_does_not_spoil_the_others(files: ModuleType, tmp_path: Path) -> None:
    folder = files.lerobot_v2(tmp_path / "set")
    (folder / "data/chunk-000/episode_000001.parquet").unlink()
    with open_dataset(folder) as dataset:
        mapping = guess(dataset).mapping
        assert dataset.episode(2, mapping).frames == 32
        with pytest.raises(InputError, match="no file 'data/chunk-000/episode_000001.parquet'"):
            dataset.episode(1, mapping)


def test_metadata_that_promises_more_frames_is_refused(files: ModuleType, tmp_path: Path) -> None:
    folder = files.lerobot_v3(tmp_path / "set")
    place = folder / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(place).to_pylist()
    table[0]["length"] += 1
    import pyarrow as pa

    files.write_table(place, pa.Table.from_pylist(table))
    with (
        open_dataset(folder) as dataset,
        pytest.raises(InputError, match="should have 31 frames by the metadata, but its table has 30"),
    ):
        dataset.episode(0, guess(dataset).mapping)


def test_what_is_not_demonstrations_is_said(files: ModuleType, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "activations.h5", "w") as file:
        file["task/episode_000/frame_0000/action_label"] = np.zeros(7)
    with pytest.raises(InputError, match="Activations are imported as such"):
        open_dataset(tmp_path / "activations.h5")
    video = tmp_path / "film.mp4"
    files.video(video, files.episodes(1)[0].cameras["wrist"])
    with pytest.raises(InputError, match="is a video alone"):
        open_dataset(video)
    shutil.copy(files.lerobot_v3(tmp_path / "set") / "data/chunk-000/file-000.parquet", tmp_path / "table")
    with pytest.raises(InputError, match="is one table of a dataset"):
        open_dataset(tmp_path / "table")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="none of the formats that are read"):
        open_dataset(tmp_path / "notes.txt")
    with pytest.raises(NotFound, match="There is no file or folder"):
        open_dataset(tmp_path / "nothing")


def test_a_hub_id_without_a_network_is_one_clear_sentence() -> None:
    with pytest.raises(InputError, match="the hub cannot be reached to fetch a dataset of that name"):
        open_dataset("lerobot/no_such_dataset_here")


def test_an_unknown_version_of_lerobot_is_refused(files: ModuleType, tmp_path: Path) -> None:
    folder = files.lerobot_v2(tmp_path / "set")
    info = json.loads((folder / "meta/info.json").read_text())
    (folder / "meta/info.json").write_text(json.dumps(info | {"codebase_version": "v1.6"}))
    with pytest.raises(InputError, match="version 'v1.6'; v2.0 to v3.0 are read"):
        open_dataset(folder)
