"""Write demonstrations as a LeRobotDataset v3.0 folder, which `lerobot` reads as its own.

One table and one video a camera hold all episodes; every episode is one group of rows, and begins where the one before
it ended. Videos are H.264 with a keyframe every second frame, so that single frames are reached quickly, in 4:2:0
colours; `lossless` keeps every pixel at ten times the size. About 2 ms a frame of 192 px.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from steering.demonstrations.readers.lerobot import ROLE
from steering.errors import InputError
from steering.progress import Progress
from steering.types import Demonstrations, Episode, Robot

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
CRF = "18"
KEYFRAME_EVERY = 2
FILE = {"chunk_index": 0, "file_index": 0}
STATISTICS_FRAMES = 100  # of pictures, evenly over each episode
ROBOT = "panda"
IMAGES = "observation.images."


def write_lerobot(
    demonstrations: Demonstrations, folder: Path, *, lossless: bool = False, progress: Progress | None = None
) -> Path:
    """Write the demonstrations into `folder`, which must be empty or not there yet, and return it.

    What was recorded is written back: grippers that the mapping turned over are turned back (to float32's rounding),
    columns, robot and cameras keep their names. Pictures stay upright, and those that were turned are called by their
    role: `observation.images.<role>`; every camera's `info` says its role. Raises InputError for a folder in use, and
    where episodes differ in rate, camera size or dimensions, which this format cannot hold.
    """
    progress = progress or Progress()
    episodes = demonstrations.episodes
    rate_hz, cameras = _shared(episodes)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is in use; give an empty folder or a new name.")
    folder.mkdir(parents=True, exist_ok=True)
    robot = _robot(demonstrations)
    names = _camera_names(robot, cameras)
    tasks = list(dict.fromkeys(text for episode in episodes for text in episode.all_instructions))
    for at, camera in enumerate(cameras):
        part = progress.part(0.9 * at / max(len(cameras), 1), 0.9 * (at + 1) / max(len(cameras), 1))
        _write_video(folder / _video_name(names[camera]), episodes, camera, rate_hz, lossless, part)
    statistics = [_statistics(episode, index, tasks, names, robot) for index, episode in enumerate(episodes)]
    _write_rows(folder, episodes, tasks, robot)
    _write_episodes(folder, episodes, list(names.values()), statistics)
    _write_tasks(folder, tasks)
    document = {name: _plain(values) for name, values in _joined(statistics).items()}
    (folder / "meta/stats.json").write_text(json.dumps(document, indent=4), encoding="utf-8")
    info = _info(episodes, tasks, names, rate_hz, robot, lossless)
    (folder / "meta/info.json").write_text(json.dumps(info, indent=4), encoding="utf-8")
    progress.report(1.0, f"{len(episodes)} episodes written")
    return folder


def _shared(episodes: Sequence[Episode]) -> tuple[int, tuple[str, ...]]:
    """The whole rate and the cameras that all episodes share."""
    if not episodes:
        raise InputError("There are no episodes to write. Choose demonstrations with at least one.")
    first = episodes[0]
    for episode in episodes:
        same = (
            episode.rate_hz == first.rate_hz
            and set(episode.cameras) == set(first.cameras)
            and episode.state.shape[1:] == first.state.shape[1:]
            and episode.action.shape[1:] == first.action.shape[1:]
            and all(episode.cameras[c].shape[1:] == first.cameras[c].shape[1:] for c in first.cameras)
        )
        if not same or not episode.frames:
            raise InputError(
                f"{episode.name} differs from {first.name} in rate, cameras, picture size or dimensions, or is empty; "
                "a LeRobotDataset holds one of each. Export them apart."
            )
    if round(first.rate_hz) != first.rate_hz:
        raise InputError(f"A LeRobotDataset has a whole number of frames a second, not {first.rate_hz:g}.")
    return int(first.rate_hz), tuple(first.cameras)


def _robot(demonstrations: Demonstrations) -> Robot:
    """Whose the demonstrations are; of our own recordings the simulator's arm."""
    if demonstrations.robot is not None:
        return demonstrations.robot
    if not demonstrations.task:
        return Robot()
    sizes = [values.shape[1] for values in (demonstrations.episodes[0].state, demonstrations.episodes[0].action)]
    names = [Robot().names(what, size) for what, size in zip(("state", "action"), sizes, strict=True)]
    return Robot(ROBOT, names[0], names[1])


def _camera_names(robot: Robot, cameras: Sequence[str]) -> dict[str, str]:
    """Role -> feature: what the recording calls the camera where its pictures are as recorded, else by its role."""
    found: dict[str, str] = {}
    for camera in cameras:
        recorded = re.split(r"[/.]", robot.cameras.get(camera, ""))[-1]
        plain = bool(re.fullmatch(r"[\w-]{1,60}", recorded))
        found[camera] = f"{IMAGES}{recorded if plain else camera}"
    return found if len(set(found.values())) == len(found) else {camera: f"{IMAGES}{camera}" for camera in cameras}


def _video_name(key: str) -> str:
    return f"videos/{key}/chunk-000/file-000.mp4"


def _write_video(
    path: Path, episodes: Sequence[Episode], camera: str, rate_hz: int, lossless: bool, progress: Progress
) -> None:
    import av

    path.parent.mkdir(parents=True)
    height, width = episodes[0].cameras[camera].shape[1:3]
    options = {"g": str(KEYFRAME_EVERY), "crf": "0" if lossless else CRF, "preset": "veryfast", "bf": "0"}
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        name = "libx264rgb" if lossless else "libx264"
        stream: Any = container.add_stream(name, rate=Fraction(rate_hz), options=options)
        stream.width, stream.height = width, height
        stream.pix_fmt = _pixel_format(width, height, lossless)
        at = 0
        for done, episode in enumerate(episodes):
            progress.report(done / len(episodes), f"Writing {camera}, episode {done + 1} of {len(episodes)}")
            for image in episode.cameras[camera]:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame.pts, frame.time_base = at, Fraction(1, rate_hz)
                container.mux(stream.encode(frame))
                at += 1
        container.mux(stream.encode())


def _pixel_format(width: int, height: int, lossless: bool) -> str:
    if lossless:
        return "rgb24"
    return "yuv420p" if width % 2 == 0 and height % 2 == 0 else "yuv444p"  # 4:2:0 needs even sides


def _columns(episode: Episode, index: int, start: int, tasks: Sequence[str], robot: Robot) -> dict[str, np.ndarray]:
    frames = np.arange(episode.frames, dtype=np.int64)
    return {
        "observation.state": episode.state.astype(np.float32),
        "action": robot.as_recorded(episode.action),
        "timestamp": (frames / episode.rate_hz).astype(np.float32),
        "frame_index": frames,
        "episode_index": np.full(episode.frames, index, np.int64),
        "index": frames + start,
        "task_index": np.array(
            [tasks.index(episode.instruction_at(frame)) for frame in range(episode.frames)], np.int64
        ),
    }


def _write_rows(folder: Path, episodes: Sequence[Episode], tasks: Sequence[str], robot: Robot) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "data/chunk-000/file-000.parquet"
    path.parent.mkdir(parents=True)
    writer, start = None, 0
    try:
        for index, episode in enumerate(episodes):
            arrays = {}
            for name, values in _columns(episode, index, start, tasks, robot).items():
                flat = pa.array(values.reshape(-1))
                wide = values.ndim == 2
                arrays[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1]) if wide else flat
            table = pa.table(arrays)
            writer = writer or pq.ParquetWriter(path, table.schema, compression="snappy")
            writer.write_table(table)
            start += episode.frames
    finally:
        if writer is not None:
            writer.close()


def _write_episodes(
    folder: Path, episodes: Sequence[Episode], keys: Sequence[str], statistics: Sequence[Mapping[str, Any]]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, start = [], 0
    for index, episode in enumerate(episodes):
        row: dict[str, Any] = {
            "episode_index": index,
            "tasks": list(episode.all_instructions),
            "length": episode.frames,
        }
        row |= {f"data/{name}": number for name, number in FILE.items()}
        row |= {"dataset_from_index": start, "dataset_to_index": start + episode.frames}
        for key in keys:
            row |= {f"videos/{key}/{name}": number for name, number in FILE.items()}
            row[f"videos/{key}/from_timestamp"] = start / episode.rate_hz
            row[f"videos/{key}/to_timestamp"] = (start + episode.frames) / episode.rate_hz
        row |= {f"meta/episodes/{name}": number for name, number in FILE.items()}
        for name, values in statistics[index].items():
            row |= {f"stats/{name}/{key}": value.tolist() for key, value in values.items()}
        rows.append(row)
        start += episode.frames
    path = folder / "meta/episodes/chunk-000/file-000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def _write_tasks(folder: Path, tasks: Sequence[str]) -> None:
    """`meta/tasks.parquet` as pandas writes a frame whose index are the tasks."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = pa.array(range(len(tasks)), pa.int64())
    table = pa.table({"task_index": numbers, "task": pa.array(list(tasks), pa.string())})
    index: dict[str, Any] = {"index_columns": ["task"], "column_indexes": [], "pandas_version": "2.2.0"}
    index["columns"] = [
        {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"},
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object"},
    ]
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(index)}), folder / "meta/tasks.parquet")


def _statistics(
    episode: Episode, index: int, tasks: Sequence[str], cameras: Mapping[str, str], robot: Robot
) -> dict[str, dict[str, np.ndarray]]:
    """Feature -> statistic -> values, as lerobot's compute_stats: pictures by channel in 0..1, shape [3, 1, 1]."""
    found = {name: _moments(values) for name, values in _columns(episode, index, 0, tasks, robot).items()}
    chosen = np.unique(np.linspace(0, episode.frames - 1, min(STATISTICS_FRAMES, episode.frames)).astype(int))
    for camera, key in cameras.items():
        pixels = episode.cameras[camera][chosen][:, ::4, ::4].reshape(-1, 3) / 255.0
        moments = _moments(pixels)
        shaped = {name: value.reshape(3, 1, 1) for name, value in moments.items() if name != "count"}
        found[key] = shaped | {"count": np.array([len(chosen)])}
    return found


def _moments(values: np.ndarray) -> dict[str, np.ndarray]:
    rows = values.reshape(len(values), -1).astype(np.float64)
    moments = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}
    moments |= {name: np.quantile(rows, share, axis=0) for name, share in QUANTILES.items()}
    return moments | {"count": np.array([len(rows)])}


def _joined(statistics: Sequence[Mapping[str, Mapping[str, np.ndarray]]]) -> dict[str, dict[str, np.ndarray]]:
    """Statistics of all episodes from those of each, as lerobot's aggregate_stats (quantiles by weighted mean)."""
    found = {}
    for name in statistics[0]:
        parts = [one[name] for one in statistics]
        count = np.array([part["count"][0] for part in parts], np.float64)
        weight = (count / count.sum()).reshape(-1, *[1] * parts[0]["mean"].ndim)
        stacked = {key: np.stack([part[key] for part in parts]) for key in parts[0] if key != "count"}
        mean = (weight * stacked["mean"]).sum(0)
        square = (weight * (stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2)).sum(0)
        whole = {"min": stacked["min"].min(0), "max": stacked["max"].max(0), "mean": mean, "std": np.sqrt(square)}
        whole |= {key: (weight * stacked[key]).sum(0) for key in QUANTILES}
        found[name] = whole | {"count": np.array([int(count.sum())])}
    return found


def _plain(values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {key: value.tolist() for key, value in values.items()}


def _info(
    episodes: Sequence[Episode],
    tasks: Sequence[str],
    cameras: Mapping[str, str],
    rate_hz: int,
    robot: Robot,
    lossless: bool,
) -> dict[str, Any]:
    features: dict[str, Any] = {}
    for camera, key in cameras.items():
        height, width = episodes[0].cameras[camera].shape[1:3]
        about = {
            "video.height": height,
            "video.width": width,
            "video.codec": "h264",
            "video.pix_fmt": "gbrp" if lossless else _pixel_format(width, height, lossless),
            "video.is_depth_map": False,
            "video.fps": rate_hz,
            "video.channels": 3,
            "has_audio": False,
            ROLE: camera,
        }
        axes = ["height", "width", "channels"]
        features[key] = {"dtype": "video", "shape": [height, width, 3], "names": axes, "info": about}
    for name, known, values in (
        ("observation.state", robot.state_names, episodes[0].state),
        ("action", robot.action_names, episodes[0].action),
    ):
        size = values.shape[1]
        names = list(known) if size == len(known) else [f"{name.split('.')[-1]}_{i}" for i in range(size)]
        features[name] = {"dtype": "float32", "shape": [size], "names": names}
    single = {"timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64"}
    for name, dtype in (single | {"task_index": "int64"}).items():
        features[name] = {"dtype": dtype, "shape": [1], "names": None}
    return {
        "codebase_version": "v3.0",
        "robot_type": robot.name or None,
        "total_episodes": len(episodes),
        "total_frames": sum(episode.frames for episode in episodes),
        "total_tasks": len(tasks),
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": rate_hz,
        "splits": {"train": f"0:{len(episodes)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": features,
    }
