"""Files that were made to do harm, or are plainly wrong: one sentence each, and nothing outside their folder."""

from __future__ import annotations

import json
import os
import pickle
import stat
import time
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pyarrow as pa
import pytest

from steering.demonstrations.guard import guarded
from steering.demonstrations.guessing import guess
from steering.demonstrations.importing import import_episodes
from steering.demonstrations.limits import LIMITS
from steering.demonstrations.readers.registry import open_dataset
from steering.errors import Cancelled, InputError, SteeringError
from steering.progress import Progress


def read_all(path: Path) -> None:
    """Open, guess and import everything."""
    with open_dataset(path) as dataset:
        import_episodes(dataset, guess(dataset).mapping)


@pytest.mark.parametrize(
    "name", ("../outside.txt", "/tmp/outside.txt", "a/../../outside.txt", "..\\outside.txt", "C:\\x")
)
def test_a_zip_that_leads_outside_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "gotcha")
        archive.writestr("meta/info.json", "{}")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="leads outside; that is refused"):
        open_dataset(path)
    assert sorted(tmp_path.rglob("*")) == before and not Path("/tmp/outside.txt").exists()


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("meta")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc")
        archive.writestr("other.txt", "x")
    with pytest.raises(InputError, match="is a link or device, which is refused"):
        open_dataset(path)


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", bytes(64 << 20))
        archive.writestr("b.bin", bytes(64 << 20))
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("it began to unpack"))
    with pytest.raises(InputError, match="unpacks to more than 32 MB"):
        open_dataset(path, replace(LIMITS, unpacked_bytes=32 << 20))
    assert not list(scratch.iterdir()), "what was unpacked is gone"


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", bytes(8 << 20))
    lie = path.read_bytes().replace((8 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(lie)
    with pytest.raises(InputError, match="cannot be unpacked"):
        open_dataset(path, replace(LIMITS, unpacked_bytes=1 << 20))


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for index in range(50):
            archive.writestr(f"{index}.txt", "")
    with pytest.raises(InputError, match="holds 50 files; at most 20"):
        open_dataset(tmp_path / "many.zip", replace(LIMITS, files=20))


def test_an_encrypted_zip_is_refused(files: ModuleType, tmp_path: Path) -> None:
    path = files.zipped(files.lerobot_v2(tmp_path / "set"), tmp_path / "set.zip")
    data = bytearray(path.read_bytes())
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 8] |= 1  # the flag of encryption in the directory
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged or encrypted"):
        open_dataset(path)


@pytest.mark.parametrize(
    "template", ("../{episode_index}.parquet", "/etc/passwd", "{episode_index.__class__}", "{x:9}")
)
def test_a_path_template_that_leads_outside_is_refused(template: str, files: ModuleType, tmp_path: Path) -> None:
    folder = files.lerobot_v2(tmp_path / "set")
    info = json.loads((folder / "meta/info.json").read_text())
    (folder / "meta/info.json").write_text(json.dumps(info | {"data_path": template}))
    with pytest.raises(InputError, match="outside its folder|no template of LeRobotDataset"):
        read_all(folder)


def test_links_out_of_a_folder_are_refused(files: ModuleType, tmp_path: Path) -> None:
    folder = files.lerobot_v2(tmp_path / "set")
    place = folder / "data/chunk-000/episode_000000.parquet"
    outside = place.rename(tmp_path / "outside.parquet")
    place.symlink_to(outside)
    with pytest.raises(InputError, match="is a link to outside the dataset"):
        read_all(folder)


def test_links_of_the_hub_s_cache_are_followed(files: ModuleType, tmp_path: Path) -> None:
    snapshot = tmp_path / "datasets--a--b" / "snapshots" / "0123"
    blobs = tmp_path / "datasets--a--b" / "blobs"
    blobs.mkdir(parents=True)
    snapshot.parent.mkdir()
    files.lerobot_v2(snapshot)
    for index, file in enumerate(sorted(p for p in snapshot.rglob("*") if p.is_file())):
        blob = file.rename(blobs / str(index))
        file.symlink_to(os.path.relpath(blob, file.parent))
    read_all(snapshot)


@pytest.mark.parametrize("kind", ("external", "soft", "virtual", "storage"))
def test_hdf5_that_points_elsewhere_is_refused(kind: str, files: ModuleType, tmp_path: Path) -> None:
    path = files.robomimic(tmp_path / "set.hdf5")
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.zeros((30, 7))
    with h5py.File(path, "a") as file:
        group = file["data/demo_0"]
        del group["actions"]
        if kind == "external":
            group["actions"] = h5py.ExternalLink(str(secret), "/x")
        elif kind == "soft":
            group["actions"] = h5py.SoftLink("/data/demo_1/actions")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((30, 7), float)
            layout[:] = h5py.VirtualSource(str(secret), "x", (30, 7))
            group.create_virtual_dataset("actions", layout)
        else:
            group.create_dataset("actions", (30, 7), float, external=[(str(secret), 0, 30 * 7 * 8)])
    with pytest.raises(InputError, match="link to elsewhere, which is refused|lies in another file"):
        read_all(path)


def test_pickles_are_refused_and_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Harm:
        def __reduce__(self) -> tuple:
            return (Path.touch, (ran,))

    (tmp_path / "set.pkl").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(InputError, match="is a pickle, which is refused"):
        read_all(tmp_path / "set.pkl")
    np.savez(tmp_path / "set.npz", action=np.array([Harm()], dtype=object), state=np.zeros((1, 2)))
    with pytest.raises(InputError, match="pickled Python objects, which is refused"):
        read_all(tmp_path / "set.npz")
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file.create_dataset("data/demo_0/actions", data=np.array([b"abc"] * 5, dtype=object), dtype=h5py.string_dtype())
    with pytest.raises(SteeringError):
        read_all(tmp_path / "set.h5")
    assert not ran.exists()


def test_a_million_rows_are_read_in_bounded_time(files: ModuleType, tmp_path: Path) -> None:
    folder = files.lerobot_v3(tmp_path / "set", files.episodes(1))
    rows = 1_000_000
    place = folder / "data/chunk-000/file-000.parquet"
    columns = {
        "observation.state": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(8 * rows, np.float32)), 8),
        "action": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(7 * rows, np.float32)), 7),
        "episode_index": pa.array(np.zeros(rows, np.int64)),
    }
    files.write_table(place, pa.table(columns))
    began_s = time.monotonic()
    with pytest.raises(InputError, match="should have 30 frames by the metadata, but its table has more"):
        read_all(folder)
    assert time.monotonic() - began_s < 60
    with (
        open_dataset(folder, replace(LIMITS, rows=1000)) as dataset,
        pytest.raises(InputError, match="has 1000000 rows; at most 1000 are read"),
    ):
        dataset.numbers(0, "action")


def test_arrays_that_claim_more_than_they_hold_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("data/demo_0/actions", (10_000_000_000, 7), np.float64, chunks=(1000, 7))
        file["data/demo_0/obs/state"] = np.zeros((5, 3))
    with (
        open_dataset(tmp_path / "huge.h5") as dataset,
        pytest.raises(InputError, match="claims 10000000000 frames"),
    ):
        dataset.numbers(0, "actions")
    header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 7)}".ljust(
        118
    )
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("action.npy", header)
        archive.writestr("state.npy", header)
    with pytest.raises(InputError, match="is cut short; it should hold"):
        read_all(tmp_path / "huge.npz")


@pytest.mark.parametrize(
    ("arrays", "words"),
    (
        ({}, "no episodes to import|none of the formats"),
        ({"action": np.zeros((0, 7)), "state": np.zeros((0, 8)), "image.a": np.zeros((0, 8, 8, 3), np.uint8)},
         "has no frames"),
        ({"action": np.zeros((5, 7))}, "has no 'state'"),
        ({"action": np.zeros((5, 7)), "state": np.zeros((5, 8))}, "names no cameras"),
        ({"action": np.zeros((5, 7)), "state": np.zeros((6, 8)), "image.a": np.zeros((5, 8, 8, 3), np.uint8)},
         "names no state"),
        ({"action": np.zeros((5, 4000)), "state": np.zeros((5, 8)), "image.a": np.zeros((5, 8, 8, 3), np.uint8)},
         "names no action"),
        ({"action": np.full((5, 7), np.nan), "state": np.zeros((5, 8)), "image.a": np.zeros((5, 8, 8, 3), np.uint8)},
         "NaN or infinity"),
        ({"action": np.float64(3), "state": np.zeros((5, 8))}, "is one number"),
    ),
)  # fmt: skip
def test_wrong_shapes_are_one_sentence(arrays: dict, words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(SteeringError, match=words):
        read_all(tmp_path / "set.npz")


def test_one_frame_is_read_as_it_is(files: ModuleType, tmp_path: Path) -> None:
    one = files.episodes(1)[0]
    first = files.Truth(one.state[:1], one.action[:1], {name: images[:1] for name, images in one.cameras.items()})
    with open_dataset(files.lerobot_v3(tmp_path / "set", [first])) as dataset:
        episode = import_episodes(dataset, guess(dataset).mapping).demonstrations.episodes[0]
    np.testing.assert_array_equal(episode.cameras["wrist"], first.cameras["wrist"])


def test_a_video_cut_short_is_refused(files: ModuleType, tmp_path: Path) -> None:
    folder = files.lerobot_v3(tmp_path / "set")
    place = folder / "videos/observation.images.exterior/chunk-000/file-000.mp4"
    data = place.read_bytes()
    place.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cannot be decoded as video|has no frame at|cut short"):
        read_all(folder)


@pytest.mark.skipif(os.name != "posix", reason="other systems do not take such names")
def test_names_that_are_no_text_are_survived(files: ModuleType, tmp_path: Path) -> None:
    folder = files.lerobot_v2(tmp_path / "set")
    odd = folder / os.fsdecode(b"\xff\xfe")
    odd.mkdir()
    (odd / os.fsdecode(b"\xfa.parquet")).write_bytes(b"x")
    read_all(folder)
    (folder / "meta/episodes.jsonl").write_bytes(b'{"episode_index": 0, "length": 30, "tasks": ["\xff"]}\n')
    with pytest.raises(InputError, match="cannot be read as JSON lines"):
        read_all(folder)
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file.create_group(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_all(tmp_path / "set.h5")


LIBRARY = """
import os, tempfile, time
import numpy as np

def hang(progress):
    time.sleep(60)

def crash(progress):
    tempfile.mkstemp()
    os.abort()

def devour(progress):
    np.ones(40 << 30, np.uint8)
"""


@pytest.mark.parametrize(
    ("function", "words"),
    (("hang", "not read within 1 s"), ("crash", r"crash \(SIGABRT\)"), ("devour", "more memory than is allowed")),
)
def test_a_library_that_hangs_crashes_or_devours_ends_in_a_sentence(
    function: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bad_library.py").write_text(LIBRARY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    limits = replace(LIMITS, seconds=1.0 if function == "hang" else 60.0, memory_bytes=8 << 30)
    with pytest.raises(InputError, match=words):
        guarded(f"bad_library:{function}", {}, name="set", limits=limits, scratch=tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["bad_library.py"]


def test_stopping_ends_the_reading_process(files: ModuleType, tmp_path: Path) -> None:
    path = files.npz(tmp_path / "set.npz")
    stop = Progress(should_cancel=lambda: True)
    arguments = {"path": str(path), "mapping": None, "policy": None, "memory": None, "limits": asdict(LIMITS)}
    with pytest.raises(Cancelled):
        guarded("steering.pipeline.importing:inspect_in_child", arguments, name="set", progress=stop)
