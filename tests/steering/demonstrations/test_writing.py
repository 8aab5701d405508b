"""What is written as a LeRobotDataset v3.0 is what pyarrow and PyAV read; `scripts/check_lerobot.py` asks lerobot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from steering import pipeline
from steering.demonstrations.guessing import guess
from steering.demonstrations.importing import import_episodes
from steering.demonstrations.readers.registry import open_dataset
from steering.demonstrations.writing import write_lerobot
from steering.errors import InputError
from steering.store import Store
from steering.types import Demonstrations, Episode

pytestmark = pytest.mark.usefixtures("read_here")


@pytest.fixture
def demonstrations(files: ModuleType) -> Demonstrations:
    texts = ("press it", "press it", "lift it")
    episodes = [
        Episode(f"e{i}", text, 20.0, one.cameras, one.state, one.action)
        for i, (one, text) in enumerate(zip(files.episodes(3), texts, strict=True))
    ]
    return Demonstrations("three", "", (), tuple(episodes))


def test_lossless_writing_comes_back_bit_for_bit(demonstrations: Demonstrations, tmp_path: Path) -> None:
    write_lerobot(demonstrations, tmp_path / "set", lossless=True)
    with open_dataset(tmp_path / "set") as dataset:
        assert dataset.format == "LeRobotDataset v3.0" and dataset.notices == ()
        mapping = guess(dataset).mapping
        for index, episode in enumerate(demonstrations.episodes):
            again = dataset.episode(index, mapping)
            assert again.instruction == episode.instruction
            np.testing.assert_array_equal(again.state, episode.state)
            np.testing.assert_array_equal(again.action, episode.action)
            for camera, images in episode.cameras.items():
                np.testing.assert_array_equal(again.cameras[camera], images)


@pytest.mark.parametrize("side", (32, 31))
def test_the_small_encoding_is_near_and_exact_in_time(
    side: int, demonstrations: Demonstrations, tmp_path: Path
) -> None:
    cut = [replace(e, cameras={c: i[:, :, :side] for c, i in e.cameras.items()}) for e in demonstrations.episodes]
    write_lerobot(replace(demonstrations, episodes=tuple(cut)), tmp_path / "set")
    with open_dataset(tmp_path / "set") as dataset:
        again = dataset.episode(1, guess(dataset).mapping).cameras["exterior"].astype(int)
    truth = cut[1].cameras["exterior"].astype(int)
    distance = np.abs(again[:, None] - truth[None]).mean(axis=(2, 3, 4))  # [frame, frame]
    assert (distance.argmin(axis=1) == np.arange(len(truth))).all(), "every frame is nearest to its own"
    assert np.diag(distance).max() < 8


def test_the_tables_are_those_of_the_format(demonstrations: Demonstrations, tmp_path: Path) -> None:
    folder = write_lerobot(demonstrations, tmp_path / "set")
    rows = pq.read_table(folder / "data/chunk-000/file-000.parquet").to_pydict()
    lengths = [episode.frames for episode in demonstrations.episodes]
    assert rows["episode_index"] == sum(([i] * n for i, n in enumerate(lengths)), [])
    assert rows["frame_index"] == sum((list(range(n)) for n in lengths), [])
    assert rows["index"] == list(range(sum(lengths)))
    assert rows["task_index"][:1] + rows["task_index"][-1:] == [0, 1]
    episodes = pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [e["dataset_from_index"] for e in episodes] == [0, lengths[0], lengths[0] + lengths[1]]
    assert [e["tasks"] for e in episodes] == [["press it"], ["press it"], ["lift it"]]
    assert episodes[1]["videos/observation.images.wrist/from_timestamp"] == pytest.approx(lengths[0] / 20)
    tasks = pq.read_table(folder / "meta/tasks.parquet").to_pandas()
    assert tasks.loc["lift it", "task_index"] == 1
    info = json.loads((folder / "meta/info.json").read_text())
    assert (info["total_episodes"], info["total_frames"], info["fps"]) == (3, sum(lengths), 20)
    with av.open(str(folder / "videos/observation.images.wrist/chunk-000/file-000.mp4")) as container:
        stream = container.streams.video[0]
        times = [float(frame.pts * stream.time_base) for frame in container.decode(stream)]
    np.testing.assert_allclose(times, np.arange(sum(lengths)) / 20, atol=1e-4)


def test_statistics_are_those_of_all_frames(demonstrations: Demonstrations, tmp_path: Path) -> None:
    folder = write_lerobot(demonstrations, tmp_path / "set")
    stats = json.loads((folder / "meta/stats.json").read_text())
    action = np.concatenate([episode.action for episode in demonstrations.episodes]).astype(np.float64)
    for name, expected in (("mean", action.mean(0)), ("std", action.std(0)), ("min", action.min(0))):
        np.testing.assert_allclose(stats["action"][name], expected, rtol=1e-6)
    assert stats["action"]["count"] == [len(action)]
    assert np.shape(stats["observation.images.wrist"]["mean"]) == (3, 1, 1)
    assert 0 < stats["observation.images.wrist"]["mean"][0][0][0] < 1


def test_what_the_format_cannot_hold_is_refused(demonstrations: Demonstrations, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used/x").touch()
    with pytest.raises(InputError, match="is in use"):
        write_lerobot(demonstrations, tmp_path / "used")
    first = demonstrations.episodes[0]
    for other in (
        replace(first, rate_hz=10.0),
        replace(first, action=first.action[:, :3]),
        replace(first, cameras={"wrist": first.cameras["wrist"]}),
    ):
        with pytest.raises(InputError, match="differs from e0"):
            write_lerobot(replace(demonstrations, episodes=(first, other)), tmp_path / "set")
    with pytest.raises(InputError, match="no episodes to write"):
        write_lerobot(replace(demonstrations, episodes=()), tmp_path / "set")
    with pytest.raises(InputError, match="whole number of frames"):
        write_lerobot(replace(demonstrations, episodes=(replace(first, rate_hz=12.5),)), tmp_path / "set")
    assert not (tmp_path / "set").exists()


SO101 = ("shoulder_pan.pos", "shoulder_lift.pos", "elbow_flex.pos", "wrist_flex.pos", "wrist_roll.pos", "gripper.pos")


def so101(files: ModuleType, folder: Path) -> Path:
    """A recording of an SO-101 as lerobot names it; its gripper is open at 100."""
    truth = []
    for one in files.episodes():
        action = one.action[:, 1:].astype(np.float32) * 50
        action[:, -1] = np.where(one.action[:, -1] > 0, 3.1, 97.3)
        cameras = {"top": one.cameras["exterior"], "wrist": one.cameras["wrist"]}
        truth.append(files.Truth(action + 0.25, action, cameras))
    files.lerobot_v3(folder, truth, robot="so101_follower")
    info = json.loads((folder / "meta/info.json").read_text())
    for key in ("action", "observation.state"):
        info["features"][key]["names"] = list(SO101)
    (folder / "meta/info.json").write_text(json.dumps(info))
    return folder


def recorded(folder: Path, key: str) -> np.ndarray:
    parts = [pq.read_table(path)[key].to_pylist() for path in sorted(folder.glob("data/**/*.parquet"))]
    return np.array(sum(parts, []), np.float32)


def test_what_was_recorded_is_exported(files: ModuleType, tmp_path: Path) -> None:
    source, store = so101(files, tmp_path / "so101"), Store(tmp_path / "store")
    made = pipeline.import_demonstrations(store, path=source)
    taken = store.load(made)
    assert taken.episodes[0].action[0, -1] == pytest.approx(2.7, abs=1e-4), "turned over, so that a larger value closes"
    out = pipeline.export_demonstrations(store, demonstrations_id=made, folder=tmp_path / "out")
    info, before = (json.loads((folder / "meta/info.json").read_text()) for folder in (out, source))
    assert info["robot_type"] == before["robot_type"] == "so101_follower"
    for key in ("action", "observation.state"):
        assert info["features"][key]["names"] == list(SO101)
        np.testing.assert_allclose(recorded(out, key), recorded(source, key), atol=1e-5)
    assert {key for key in info["features"] if "images" in key} == {
        key for key in before["features"] if "images" in key
    }
    stats = json.loads((out / "meta/stats.json").read_text())["action"]
    assert stats["max"][-1] == pytest.approx(97.3) and stats["min"][-1] == pytest.approx(3.1)
    again = store.load(pipeline.import_demonstrations(store, path=out))
    assert again.robot == taken.robot
    for one, other in zip(again.episodes, taken.episodes, strict=True):
        np.testing.assert_allclose(one.action, other.action, atol=1e-5)


def test_what_an_older_version_imported_is_turned_back_too(files: ModuleType, tmp_path: Path) -> None:
    source, store = so101(files, tmp_path / "so101"), Store(tmp_path / "store")
    taken = store.load(pipeline.import_demonstrations(store, path=source))
    with store.new_folder("demonstrations") as folder:
        (folder / "mapping.json").write_text(json.dumps({"gripper_range": [0, 100]}))
        older = store.save("demonstrations", replace(taken, robot=None), folder=folder)
    out = pipeline.export_demonstrations(store, demonstrations_id=older, folder=tmp_path / "out")
    np.testing.assert_allclose(recorded(out, "action"), recorded(source, "action"), atol=1e-5)


def test_turned_pictures_are_called_by_their_role(files: ModuleType, tmp_path: Path) -> None:
    with open_dataset(files.libero(tmp_path / "set.hdf5")) as dataset:
        made = import_episodes(dataset, guess(dataset).mapping).demonstrations
    info = json.loads((write_lerobot(made, tmp_path / "out") / "meta/info.json").read_text())
    assert {"observation.images.exterior", "observation.images.wrist"} <= set(info["features"])
    assert info["features"]["observation.state"]["names"][-1] == "gripper_states_1"
