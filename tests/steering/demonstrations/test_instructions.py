"""An instruction that changes within an episode is that of every frame: read, kept, prompted with and written back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steering.demonstrations.guessing import guess
from steering.demonstrations.health import examine
from steering.demonstrations.importing import import_episodes
from steering.demonstrations.readers.registry import open_dataset
from steering.demonstrations.writing import write_lerobot
from steering.store import Store
from steering.types import Demonstrations

FIRST, SECOND = "reach and grasp the cube", "release it into the bowl"
AT = 12


def texts(frames: int) -> list[str]:
    return [FIRST] * AT + [SECOND] * (frames - AT)


def lerobot(files: ModuleType, folder: Path, version: int) -> Path:
    """LeRobotDataset whose task changes at frame AT; the episode's list has the second one first."""
    (files.lerobot_v3 if version == 3 else files.lerobot_v2)(folder)
    for path in folder.glob("data/**/*.parquet"):
        table = pq.read_table(path)
        tasks = (np.asarray(table["frame_index"]) < AT).astype(np.int64)  # 1 first, then 0
        at = table.schema.get_field_index("task_index")
        pq.write_table(table.set_column(at, "task_index", pa.array(tasks)), path)
    if version == 3:
        pq.write_table(pa.table({"task_index": [0, 1], "task": [SECOND, FIRST]}), folder / "meta/tasks.parquet")
        for path in folder.glob("meta/episodes/**/*.parquet"):
            rows = [row | {"tasks": [SECOND, FIRST]} for row in pq.read_table(path).to_pylist()]
            pq.write_table(pa.Table.from_pylist(rows), path)
        return folder
    lines = [json.dumps({"task_index": i, "task": text}) for i, text in enumerate((SECOND, FIRST))]
    (folder / "meta/tasks.jsonl").write_text("\n".join(lines))
    listed = [json.loads(line) for line in (folder / "meta/episodes.jsonl").read_text().splitlines()]
    lines = [json.dumps(line | {"tasks": [SECOND, FIRST]}) for line in listed]
    (folder / "meta/episodes.jsonl").write_text("\n".join(lines))
    return folder


def npz(files: ModuleType, path: Path) -> Path:
    arrays = dict(np.load(files.npz(path)))
    for key in [key for key in arrays if key.endswith("/instruction")]:
        arrays[key] = np.array(texts(len(arrays[key.replace("instruction", "action")])))
    np.savez(path, **arrays)
    return path


def robomimic(files: ModuleType, path: Path) -> Path:
    with h5py.File(files.robomimic(path), "a") as file:
        for group in file["data"].values():
            group["obs/language_instruction"] = texts(len(group["actions"]))
    return path


def droid(files: ModuleType, folder: Path) -> Path:
    for path in files.droid(folder).glob("**/trajectory.h5"):
        with h5py.File(path, "a") as file:
            file["observation/language_instruction"] = np.array(texts(len(file["action/joint_velocity"])), "S40")
    return folder


MAKERS: dict[str, Callable[[ModuleType, Path], Path]] = {
    "lerobot_v2": lambda files, folder: lerobot(files, folder / "set", 2),
    "lerobot_v3": lambda files, folder: lerobot(files, folder / "set", 3),
    "npz": lambda files, folder: npz(files, folder / "set.npz"),
    "robomimic": lambda files, folder: robomimic(files, folder / "set.hdf5"),
    "droid": lambda files, folder: droid(files, folder / "set"),
}


def imported(path: Path) -> Demonstrations:
    with open_dataset(path) as dataset:
        return import_episodes(dataset, guess(dataset).mapping).demonstrations


@pytest.mark.parametrize("kind", MAKERS)
def test_every_frame_has_its_instruction_and_keeps_it(kind: str, files: ModuleType, tmp_path: Path) -> None:
    path = MAKERS[kind](files, tmp_path)
    with open_dataset(path) as dataset:
        problems = {problem.kind for problem in examine(dataset, guess(dataset)).problems}
        part = dataset.episode(0, guess(dataset).mapping, frames=[AT - 1, AT])
        whole = guess(dataset).mapping
    assert {"changing_instruction", "several_tasks"} <= problems
    assert [part.instruction_at(0), part.instruction_at(1)] == [FIRST, SECOND]
    made = imported(path)
    store = Store(tmp_path / "store")
    again = store.load(store.save("demonstrations", made))
    exported = imported(write_lerobot(made, tmp_path / "out"))
    for found in (made, again, exported):
        for episode in found.episodes:
            assert [episode.instruction_at(frame) for frame in range(episode.frames)] == texts(episode.frames)
            assert (episode.instruction, episode.all_instructions) == (FIRST, (FIRST, SECOND))
    listed = pq.read_table(tmp_path / "out/meta/episodes/chunk-000/file-000.parquet")["tasks"].to_pylist()
    assert listed == [[FIRST, SECOND]] * 3
    with open_dataset(store.folder(store.find("demonstrations")[0].id)) as dataset:
        kept = dataset.episode(1, guess(dataset).mapping)
        assert kept.told is not None and kept.instruction_at(AT) == SECOND
    assert whole.instruction is None


def test_one_instruction_for_all_takes_the_place_of_those_of_frames(files: ModuleType, tmp_path: Path) -> None:
    from dataclasses import replace

    with open_dataset(lerobot(files, tmp_path / "set", 2)) as dataset:
        episode = dataset.episode(0, replace(guess(dataset).mapping, instruction="tidy up"))
    assert episode.told is None and episode.all_instructions == ("tidy up",)


def test_a_task_that_is_named_nowhere_is_that_of_the_episode(files: ModuleType, tmp_path: Path) -> None:
    folder = lerobot(files, tmp_path / "set", 2)
    (folder / "meta/tasks.jsonl").write_text(json.dumps({"task_index": 1, "task": FIRST}))
    with open_dataset(folder) as dataset:
        assert dataset.episode(0, guess(dataset).mapping).all_instructions == (FIRST, SECOND)
    (folder / "meta/tasks.jsonl").unlink()
    with open_dataset(folder) as dataset:
        assert dataset.episode(0, guess(dataset).mapping).all_instructions == (SECOND,)


def test_an_instruction_of_robocasa_is_read(files: ModuleType, tmp_path: Path) -> None:
    path = files.robomimic(tmp_path / "set.hdf5")
    with h5py.File(path, "a") as file:
        file["data/demo_1"].attrs["ep_meta"] = json.dumps({"lang": "close the drawer"})
    with open_dataset(path) as dataset:
        assert [one.instruction for one in dataset.episodes] == ["", "close the drawer", ""]
