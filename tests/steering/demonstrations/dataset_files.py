"""Small datasets in every format that is read, written by the formats' own libraries: h5py, pyarrow, PyAV, numpy.

Every builder writes the same episodes (`episodes()`), so that one comparison serves all readers. Nothing of
`steering.demonstrations` is used here.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

INSTRUCTION = "pick up the cube"
RATE_HZ = 20
SIZE = (24, 32)


@dataclass(frozen=True)
class Truth:
    """One episode as it was: state [frame, 8], action [frame, 7], camera -> uint8 [frame, height, width, 3]."""

    state: np.ndarray
    action: np.ndarray
    cameras: dict[str, np.ndarray]


def episodes(count: int = 3, frames: int = 30, seed: int = 0) -> list[Truth]:
    """Episodes of smooth motion whose actions cause the state's changes; every picture differs from every other."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    found = []
    mixing = rng.standard_normal((7, 8))
    for index in range(count):
        n = frames + index
        action = np.tanh(np.cumsum(rng.standard_normal((n, 7)) * 0.3, axis=0) / 4)
        action[:, 6] = np.where(np.arange(n) > n // 2, 1.0, -1.0)
        moved = np.concatenate([np.zeros((1, 8)), action[:-1] @ mixing])
        state = np.cumsum(moved, axis=0) * 0.05 + rng.standard_normal(8)
        cameras = {}
        for at, name in enumerate(("exterior", "wrist")):
            images = np.zeros((n, *SIZE, 3), np.uint8)
            for t in range(n):
                images[t, ..., 0] = rows * 5 + at * 60
                images[t, ..., 1] = columns * 4 + 2 * t
                images[t, ..., 2] = 8 * index + 3 * t
                images[t, 2 : 5 + at, t % 20 : t % 20 + 4] = 255
            cameras[name] = images
        found.append(Truth(state.astype(np.float32), action.astype(np.float32), cameras))
    return found


def video(
    path: Path, images: np.ndarray, *, rate: int = RATE_HZ, keyframes: int = 10, codec: str = "libx264rgb"
) -> None:
    """A video of the pictures; lossless by default, with frames that depend on later ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate), options={"crf": "0", "g": str(keyframes), "bf": "2"})
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = "rgb24" if codec == "libx264rgb" else "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def lerobot_v3(folder: Path, truth: list[Truth] | None = None, *, robot: str = "panda") -> Path:
    """LeRobotDataset v3.0: the first two episodes share a table and videos, the rest have their own."""
    truth = truth or episodes()
    groups = [list(range(min(2, len(truth)))), list(range(2, len(truth)))]
    rows, start = [], 0
    for file, indices in enumerate(group for group in groups if group):
        tables, at = [], 0
        for index in indices:
            one, n = truth[index], len(truth[index].state)
            tables.append(_rows(one, index, start))
            row = {"episode_index": index, "tasks": [INSTRUCTION], "length": n}
            row |= {"data/chunk_index": 0, "data/file_index": file}
            row |= {"dataset_from_index": start, "dataset_to_index": start + n}
            for camera in one.cameras:
                key = f"videos/observation.images.{camera}"
                row |= {f"{key}/chunk_index": 0, f"{key}/file_index": file}
                row |= {f"{key}/from_timestamp": at / RATE_HZ, f"{key}/to_timestamp": (at + n) / RATE_HZ}
            rows.append(row)
            start, at = start + n, at + n
        write_table(folder / f"data/chunk-000/file-{file:03d}.parquet", pa.concat_tables(tables))
        for camera in truth[0].cameras:
            images = np.concatenate([truth[index].cameras[camera] for index in indices])
            video(folder / f"videos/observation.images.{camera}/chunk-000/file-{file:03d}.mp4", images)
    write_table(folder / "meta/episodes/chunk-000/file-000.parquet", pa.Table.from_pylist(rows))
    info = _info("v3.0", truth, robot) | {
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }
    (folder / "meta/info.json").write_text(json.dumps(info))
    return folder


def lerobot_v2(folder: Path, truth: list[Truth] | None = None) -> Path:
    """LeRobotDataset v2.1: the exterior camera as videos, the wrist camera as PNG bytes in the table."""
    truth = truth or episodes()
    start, lines = 0, []
    for index, one in enumerate(truth):
        table = _rows(one, index, start)
        cells = [{"bytes": png(image), "path": f"frame-{i:06d}.png"} for i, image in enumerate(one.cameras["wrist"])]
        table = table.append_column("observation.images.wrist", pa.array(cells))
        write_table(folder / f"data/chunk-000/episode_{index:06d}.parquet", table)
        place = folder / f"videos/chunk-000/observation.images.exterior/episode_{index:06d}.mp4"
        video(place, one.cameras["exterior"])
        lines.append({"episode_index": index, "tasks": [INSTRUCTION], "length": len(one.state)})
        start += len(one.state)
    info = _info("v2.1", truth, "panda") | {
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    info["features"]["observation.images.wrist"]["dtype"] = "image"
    (folder / "meta").mkdir()
    (folder / "meta/info.json").write_text(json.dumps(info))
    (folder / "meta/episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def libero(path: Path, truth: list[Truth] | None = None) -> Path:
    """LIBERO's HDF5, pictures turned by 180°; more than ten episodes would show the order of their names."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["problem_info"] = json.dumps({"language_instruction": [f'"{INSTRUCTION}"']})
        data.attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": RATE_HZ}})
        for index, one in enumerate(truth or episodes()):
            group = data.create_group(f"demo_{index}")
            group["actions"] = one.action.astype(np.float64)
            group["rewards"] = np.eye(1, len(one.action), len(one.action) - 1, dtype=np.uint8)[0]
            group["obs/ee_states"], group["obs/gripper_states"] = one.state[:, :6], one.state[:, 6:]
            group["obs/joint_states"] = one.state[:, :7]
            for key, camera in (("agentview_rgb", "exterior"), ("eye_in_hand_rgb", "wrist")):
                turned = one.cameras[camera][:, ::-1, ::-1]
                group.create_dataset(f"obs/{key}", data=turned, chunks=(1, *turned.shape[1:]), compression="gzip")
    return path


def robomimic(path: Path, truth: list[Truth] | None = None) -> Path:
    """robomimic's HDF5, with a filter key, which is a link within the file."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "env_kwargs": {"control_freq": RATE_HZ}})
        data.attrs["total"] = 93
        for index, one in enumerate(truth or episodes()):
            group = data.create_group(f"demo_{index}")
            group.attrs["num_samples"] = len(one.action)
            group["actions"], group["states"] = one.action, np.zeros((len(one.action), 32))
            group["obs/robot0_eef_pos"], group["obs/robot0_eef_quat"] = one.state[:, :3], one.state[:, 3:7]
            group["obs/robot0_gripper_qpos"] = one.state[:, 7:]
            group["obs/agentview_image"] = one.cameras["exterior"]
            group["obs/robot0_eye_in_hand_image"] = one.cameras["wrist"]
        file["mask/train"] = np.array([b"demo_0", b"demo_1"])
    return path


def authors(path: Path, truth: list[Truth] | None = None) -> Path:
    """The Robotic Steering release's demonstrations: arrays `ep_<i>_<name>` in a group named by the prompt."""
    with h5py.File(path, "w") as file:
        group = file.create_group(INSTRUCTION)
        for index, one in enumerate(truth or episodes()):
            group[f"ep_{index}_actions"] = one.action
            group[f"ep_{index}_joint_positions"], group[f"ep_{index}_gripper_positions"] = (
                one.state[:, :7],
                one.state[:, 7],
            )
            group[f"ep_{index}_view_0"], group[f"ep_{index}_view_2"] = one.cameras["exterior"], one.cameras["wrist"]
    return path


def droid(folder: Path, truth: list[Truth] | None = None) -> Path:
    """DROID's raw folders: a `trajectory.h5` and a video a camera, called by serial numbers."""
    for index, one in enumerate(truth or episodes()):
        place = folder / f"episode_{index}"
        place.mkdir(parents=True)
        n = len(one.action)
        with h5py.File(place / "trajectory.h5", "w") as file:
            file["action/joint_velocity"], file["action/gripper_position"] = one.action[:, :6], one.action[:, 6]
            file["observation/robot_state/joint_positions"] = one.state[:, :7]
            file["observation/robot_state/gripper_position"] = one.state[:, 7]
            for serial, kind in (("1111", 1), ("2222", 0)):
                file[f"observation/camera_type/{serial}"] = np.full(n, kind)
        for serial, camera in (("1111", "exterior"), ("2222", "wrist")):
            video(place / f"recordings/MP4/{serial}.mp4", one.cameras[camera])
        (place / f"metadata_{index}.json").write_text(json.dumps({"current_task": INSTRUCTION}))
    return folder


def aloha(path: Path, truth: Truth | None = None) -> Path:
    """ACT's HDF5 of one ALOHA episode: 14 joints, one camera as an array and one as padded JPEG bytes."""
    one = truth or episodes(1)[0]
    packed = [jpeg(image) for image in one.cameras["wrist"]]
    width = max(map(len, packed)) + 1024  # longer than any number feature
    with h5py.File(path, "w") as file:
        file["action"], file["observations/qpos"] = np.tile(one.action, 2), np.tile(one.action, 2) + 0.5
        file["observations/images/cam_high"] = one.cameras["exterior"]
        rows = [np.frombuffer(data.ljust(width, b"\0"), np.uint8) for data in packed]
        file["observations/images/cam_left_wrist"] = np.stack(rows)
    return path


def npz(path: Path, truth: list[Truth] | None = None, *, compressed: bool = True) -> Path:
    """Several episodes in one NPZ file, by the documented keys."""
    arrays: dict[str, np.ndarray] = {}
    for index, one in enumerate(truth or episodes()):
        arrays |= {f"episode_{index}/action": one.action, f"episode_{index}/state": one.state}
        arrays |= {f"episode_{index}/image.{camera}": images for camera, images in one.cameras.items()}
        arrays[f"episode_{index}/instruction"] = np.array(INSTRUCTION)
        arrays[f"episode_{index}/rate_hz"] = np.array(RATE_HZ)
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


def zipped(folder: Path, path: Path, *, inside: str = "") -> Path:
    """The files of a folder as a zip, below the folder `inside`."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{inside}{file.relative_to(folder).as_posix()}")
    return path


def write_table(path: Path, table: pa.Table) -> None:
    """A Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def png(image: np.ndarray) -> bytes:
    """A picture as PNG."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def jpeg(image: np.ndarray) -> bytes:
    """A picture as JPEG of the best quality."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=100, subsampling=0)
    return stream.getvalue()


def _rows(one: Truth, index: int, start: int) -> pa.Table:
    n = len(one.state)
    frames = np.arange(n)
    return pa.table(
        {
            "observation.state": pa.array(one.state.tolist(), pa.list_(pa.float32())),
            "action": pa.array(one.action.tolist(), pa.list_(pa.float32(), one.action.shape[1])),
            "timestamp": (frames / RATE_HZ).astype(np.float32),
            "frame_index": frames,
            "episode_index": np.full(n, index),
            "index": frames + start,
            "task_index": np.zeros(n, np.int64),
        }
    )


def _info(version: str, truth: list[Truth], robot: str) -> dict:
    features = {
        f"observation.images.{camera}": {
            "dtype": "video",
            "shape": [*SIZE, 3],
            "names": ["height", "width", "channels"],
        }
        for camera in truth[0].cameras
    }
    features["observation.state"] = {"dtype": "float32", "shape": [truth[0].state.shape[1]], "names": None}
    names = {"motors": [f"joint_{i}" for i in range(truth[0].action.shape[1])]}
    features["action"] = {"dtype": "float32", "shape": [truth[0].action.shape[1]], "names": names}
    for name in ("timestamp", "frame_index", "episode_index", "index", "task_index"):
        features[name] = {"dtype": "float32" if name == "timestamp" else "int64", "shape": [1], "names": None}
    return {
        "codebase_version": version,
        "robot_type": robot,
        "fps": RATE_HZ,
        "total_episodes": len(truth),
        "total_frames": sum(len(one.state) for one in truth),
        "chunks_size": 1000,
        "features": features,
    }
