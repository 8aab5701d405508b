"""LeRobotDataset v3.0 and v2.x folders, as `lerobot` writes them.

v3 keeps many episodes in a file: `meta/episodes/**.parquet` says in which table and at which second of which video an
episode lies. v2 has a table and videos an episode, listed in `meta/episodes.jsonl`. Pictures are videos, or PNG bytes
in the table. Opening reads the metadata alone; an episode costs its rows and the frames asked for. Where info.json says
v3 and the files are v2's, the files are believed.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from steering.demonstrations import pictures, videos
from steering.demonstrations.dataset import Dataset, EpisodeSummary, Feature
from steering.demonstrations.limits import Limits
from steering.demonstrations.readers import tables
from steering.demonstrations.readers.places import Place
from steering.errors import InputError

TASK = "task_index"
ROLE = "steering.role"  # in the info of a camera: what an export of ours says that it is
IN_COLUMNS = ("uint8", "float16", "float32", "float64")  # pictures that were written as plain numbers
OWN_COLUMNS = ("timestamp", "frame_index", "episode_index", "index", TASK)
PATHS = {
    3: (
        "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    ),
    2: (
        "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    ),
}
MOST_LOOKED_FOR = 20_000  # episodes whose videos are looked for
MOST_TASKS = 100  # of one episode
_FIELD = re.compile(r"\{(\w+)(?::0?(\d{1,2})d)?\}")


@dataclass(frozen=True)
class _Entry:
    """Where an episode lies. values: for the path templates; videos: camera -> (values, second at which it starts)."""

    index: int
    values: Mapping[str, int]
    videos: Mapping[str, tuple[Mapping[str, int], float]] = field(default_factory=dict)


def open_lerobot(place: Place, name: str, limits: Limits) -> Dataset:
    """The dataset in a folder with `meta/info.json`."""
    info = _object(place.json("meta/info.json", limits), "meta/info.json")
    version = str(info.get("codebase_version", ""))
    major = 3 if version.startswith("v3") else 2 if version.startswith("v2") else None
    if major is None:
        raise InputError(
            f"{name} is a LeRobotDataset of version {version[:20] or 'unknown'!r}; v2.0 to v3.0 are read. "
            "Convert it with lerobot's own script."
        )
    mistaken = major == 3 and _is_v2(place)
    rate: Any = info.get("fps")
    if type(rate) not in (int, float) or not 0 < rate <= 10_000:
        raise InputError(f"meta/info.json gives {rate!r} frames a second; expected a number above 0.")
    features = {key: _feature(key, spec) for key, spec in _object(info.get("features"), "features").items()}
    kept = {key: f for key, f in features.items() if f is not None and key not in OWN_COLUMNS}
    in_video = {key for key, spec in info["features"].items() if key in kept and spec["dtype"] == "video"}
    major = 2 if mistaken else major
    given = [t if isinstance(t, str) else "" for t in (info.get("data_path"), info.get("video_path"))]
    given = ["" if mistaken and "{file_index" in t else t for t in given]
    paths = [t or default for t, default in zip(given, PATHS[major], strict=True)]
    if major == 3:
        entries, summaries = _episodes_v3(place, in_video, float(rate), limits)
    else:
        chunk = info.get("chunks_size")
        entries, summaries = _episodes_v2(place, chunk if isinstance(chunk, int) and chunk > 0 else 1000, rate, limits)
    source = _Source(place, paths[0], paths[1], entries, summaries, kept, in_video, float(rate), limits)
    source.tasks = _tasks(place, major, limits)
    robot = info.get("robot_type")
    notices = [_left_out(key, info["features"][key]) for key, f in features.items() if f is None]
    if mistaken:
        notices.insert(0, f"meta/info.json says {version[:8]}, but the files are v2.1, and are read as those.")
    promised = info.get("total_episodes")
    if isinstance(promised, int) and promised != len(summaries):
        notices.append(f"meta/info.json promises {promised} episodes, but {len(summaries)} are listed.")
    label = f"LeRobotDataset {'v2.1' if mistaken else version[:8]}"
    robot = robot[:60] if isinstance(robot, str) else ""
    shown = tuple(notices[:20])
    return Dataset(name, label, kept, tuple(summaries), source, limits, robot, shown, absent=source.absent())


class _Source:
    def __init__(
        self,
        place: Place,
        data_path: str,
        video_path: str,
        entries: Sequence[_Entry],
        summaries: Sequence[EpisodeSummary],
        features: Mapping[str, Feature],
        in_video: set[str],
        rate_hz: float,
        limits: Limits,
    ) -> None:
        self._place, self._limits, self._rate_hz = place, limits, rate_hz
        self._data_path, self._video_path = data_path, video_path
        self._entries, self._summaries = entries, summaries
        self.tasks: Mapping[int, str] = {}
        self._in_video = in_video
        self._columns = [key for key, f in features.items() if f.kind == "number" and f.size <= limits.dims]
        self._features = features
        self._rows = functools.lru_cache(maxsize=2)(self._read_rows)
        self._table = functools.lru_cache(maxsize=2)(self._open_table)

    def numbers(self, episode: int, feature: str) -> np.ndarray:
        values = self._rows(episode)[feature]
        shape = self._features[feature].shape
        if values.ndim == 2 and values.shape[1] == 1 and shape == ():
            return values[:, 0]
        return values[:, None] if values.ndim == 1 and shape == (1,) else values

    def images(self, episode: int, feature: str, frames: Sequence[int]) -> Iterator[np.ndarray]:
        if feature in self._in_video:
            entry = self._entries[episode]
            values, start_s = entry.videos.get(feature, (entry.values, 0.0))
            path = self._place.file(filled(self._video_path, {**values, "video_key": feature}))
            side_px = self._limits.side_px
            yield from videos.frames_at(path, frames, self._rate_hz, start_s=start_s, side_px=side_px)
            return
        waiting, row = list(frames)[::-1], 0
        for batch, path in self._batches(episode, [feature]):
            column = batch.column(0)
            while waiting and waiting[-1] < row + batch.num_rows:
                at = waiting.pop() - row
                if self._features[feature].dtype in IN_COLUMNS:
                    yield tables.plain(column.slice(at, 1), feature, path)[0]
                else:
                    yield self._picture(column[at].as_py(), feature, path)
            row += batch.num_rows
            if not waiting:
                return

    def absent(self) -> dict[int, str]:
        """Episode -> which of its videos is not there; of the first MOST_LOOKED_FOR episodes."""
        there: dict[str, bool] = {}
        found: dict[int, str] = {}
        for index, entry in enumerate(self._entries[:MOST_LOOKED_FOR]):
            for camera in sorted(self._in_video):
                values = entry.videos.get(camera, (entry.values, 0.0))[0]
                name = filled(self._video_path, {**values, "video_key": camera})
                if name not in there:
                    there[name] = self._place.has(name)
                if not there[name]:
                    found.setdefault(index, f"The dataset has no file {name[:120]!r}.")
        return found

    def told(self, episode: int) -> list[str] | None:
        """The instruction of every frame by its task_index; None where the tables or meta/tasks do not say."""
        index = self._rows(episode).get(TASK)
        if index is None or not self.tasks:
            return None
        first = self._summaries[episode].instruction
        return [self.tasks.get(int(one), first) for one in index.reshape(len(index), -1)[:, 0]]

    def close(self) -> None:
        self._table.cache_clear()
        self._place.close()

    def _picture(self, cell: Any, feature: str, path: Path) -> np.ndarray:
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(data, bytes):
            raise InputError(f"{path.name} holds no bytes of a picture in {feature}. Export the dataset with them.")
        return pictures.decoded(data, feature, self._limits.side_px)

    def _open_table(self, path: Path) -> Any:
        return tables.opened(path, self._limits)

    def _batches(self, episode: int, columns: Sequence[str]) -> Iterator[tuple[Any, Path]]:
        """Rows of an episode: of the table that the metadata names, and, where it has too few, of those after it.

        Recordings that were resumed name the table before the one that was begun (lerobot issue 2401).
        """
        entry, frames, rows = self._entries[episode], self._summaries[episode].frames, 0
        only = ("episode_index", entry.index)
        for path in self._tables(entry):
            file = self._table(path)
            if missing := [name for name in (*columns, "episode_index") if name not in file.schema_arrow.names]:
                raise InputError(f"{path.name} has no column {missing[0]!r}, which meta/info.json promises.")
            for batch in tables.batches(file, path, columns, self._limits, only=only):
                rows += batch.num_rows
                yield batch, path
            if rows >= frames:
                return

    def _tables(self, entry: _Entry) -> Iterator[Path]:
        """The table that holds an episode by the metadata, then the others of v3, those after it first."""
        named = filled(self._data_path, entry.values)
        yield self._place.file(named)
        if "file_index" in entry.values:
            every = self._place.names("data", ".parquet", self._limits)
            at = every.index(named) if named in every else 0
            yield from (self._place.file(name) for name in (*every[at:], *every[:at]) if name != named)

    def _read_rows(self, episode: int) -> dict[str, np.ndarray]:
        """Every number feature of an episode, and its tasks where there are some."""
        rows, summary = 0, self._summaries[episode]
        named = self._table(self._place.file(filled(self._data_path, self._entries[episode].values)))
        columns = self._columns + [TASK] * (TASK in named.schema_arrow.names)
        parts: dict[str, list[np.ndarray]] = {name: [] for name in columns}
        for batch, path in self._batches(episode, columns):
            rows += batch.num_rows
            if rows > summary.frames:
                break
            for name in columns:
                parts[name].append(tables.plain(batch.column(name), name, path))
        if rows != summary.frames or not rows:
            more = "more" if rows > summary.frames else str(rows)
            raise InputError(
                f"{summary.name} should have {summary.frames} frames by the metadata, but its table has {more}. "
                "Copy the dataset again, or leave this episode out."
            )
        try:
            return {name: np.concatenate(found) for name, found in parts.items()}
        except ValueError:
            raise InputError(f"The lists in the table of {summary.name} differ in length.") from None


def filled(template: str, values: Mapping[str, Any]) -> str:
    """A path template of meta/info.json with its fields filled in; only plain whole-number fields are taken."""
    if set(_FIELD.sub("", template)) & {"{", "}"}:
        raise InputError(f"meta/info.json gives the path {template[:80]!r}, which is no template of LeRobotDataset.")

    def one(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise InputError(f"The path {template[:80]!r} asks for {match[1]!r}, which the metadata does not give.")
        value = values[match[1]]
        return str(value).zfill(int(match[2] or 0))

    return _FIELD.sub(one, template)


def _feature(key: str, spec: object) -> Feature | None:
    if not isinstance(spec, dict):
        raise InputError(f"The feature {key[:60]!r} of meta/info.json is not described by an object.")
    dtype, shape = spec.get("dtype"), spec.get("shape")
    if not (isinstance(dtype, str) and isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)):
        raise InputError(f"The feature {key[:60]!r} of meta/info.json needs a dtype and a shape of whole numbers.")
    if dtype in ("video", "image"):
        if _is_depth(spec):
            return None
        role = spec["info"].get(ROLE) if isinstance(spec.get("info"), dict) else None
        known = role if isinstance(role, str) and re.fullmatch(r"\w{1,40}", role) else ""
        return Feature(key, "image", tuple(shape), dtype, role=known)
    if not re.fullmatch(r"bool|u?int\d+|float\d+", dtype):
        return None
    if dtype in IN_COLUMNS and pictures.are_pictures((1, *shape), np.dtype(dtype)):
        return Feature(key, "image", tuple(shape), dtype)
    return Feature(key, "number", tuple(shape), dtype, _component_names(spec.get("names")))


def _is_depth(spec: Mapping[str, Any]) -> bool:
    """Whether pictures are distances: `is_depth_map` since lerobot 0.6, `video.is_depth_map` before."""
    described = spec.get("info") or spec.get("video_info")
    return isinstance(described, dict) and any(described.get(k) for k in ("is_depth_map", "video.is_depth_map"))


def _left_out(key: str, spec: Mapping[str, Any]) -> str:
    what = "a depth video, which no policy here takes," if _is_depth(spec) else "neither numbers nor pictures"
    return f"{key} is {what} and is left out."


def _is_v2(place: Place) -> bool:
    """Whether the files are those of v2: episodes are listed in lines, and in no table."""
    return (place.root / "meta" / "episodes.jsonl").is_file() and not (place.root / "meta" / "episodes").exists()


def _component_names(names: object) -> tuple[str, ...]:
    """Names of components: a list, or an object of lists such as `{"motors": [...]}`."""
    if isinstance(names, dict):
        lists = [value for value in names.values() if isinstance(value, list)]
        names = lists[0] if lists else list(names)
    return tuple(str(name)[:60] for name in names[:1024]) if isinstance(names, list) else ()


def _episodes_v3(
    place: Place, cameras: set[str], rate_hz: float, limits: Limits
) -> tuple[list[_Entry], list[EpisodeSummary]]:
    entries: dict[int, _Entry] = {}
    summaries: dict[int, EpisodeSummary] = {}
    for path in place.glob("meta/episodes", ".parquet", limits):
        file = tables.opened(path, limits)
        names = file.schema_arrow.names
        video = {c: [f"videos/{c}/{k}" for k in ("chunk_index", "file_index", "from_timestamp")] for c in cameras}
        needed = ["episode_index", "length", "data/chunk_index", "data/file_index", *sum(video.values(), [])]
        if missing := [name for name in needed if name not in names]:
            raise InputError(f"{path.name} in meta/episodes has no column {missing[0]!r}. Copy the dataset again.")
        columns = needed + (["tasks"] if "tasks" in names else [])
        for batch in tables.batches(file, path, columns, limits):
            rows = {c: tables.plain(batch.column(c), c, path) for c in needed}
            if any(values.ndim != 1 or not np.isfinite(values).all() for values in rows.values()):
                raise InputError(f"{path.name} in meta/episodes has lists or gaps where single numbers are expected.")
            tasks = batch.column("tasks").to_pylist() if "tasks" in columns else [[]] * batch.num_rows
            if len(entries) + batch.num_rows > limits.episodes:
                raise InputError(f"The dataset lists more than {limits.episodes} episodes; split it.")
            for row in range(batch.num_rows):
                number = {c: int(values[row]) for c, values in rows.items() if not c.endswith("timestamp")}
                index = number["episode_index"]
                starts = {c: float(rows[keys[2]][row]) for c, keys in video.items()}
                places = {
                    c: ({"chunk_index": number[keys[0]], "file_index": number[keys[1]]}, starts[c])
                    for c, keys in video.items()
                }
                own = {"chunk_index": number["data/chunk_index"], "file_index": number["data/file_index"]}
                entries[index] = _Entry(index, own | {"episode_index": index}, places)
                summaries[index] = _summary(index, number["length"], tasks[row], rate_hz, limits)
    if not entries:
        if unfinished := [path for path in place.glob("data", ".parquet", limits) if tables.is_unfinished(path)]:
            raise tables.damaged(unfinished[0], None)
        raise InputError("The dataset lists no episodes in meta/episodes. Copy it again with its whole meta folder.")
    order = sorted(entries)
    return [entries[i] for i in order], [summaries[i] for i in order]


def _episodes_v2(place: Place, chunk: int, rate_hz: float, limits: Limits) -> tuple[list[_Entry], list[EpisodeSummary]]:
    entries, summaries = [], []
    for line in place.json_lines("meta/episodes.jsonl", limits):
        index, length = line.get("episode_index"), line.get("length")
        if type(index) is not int or type(length) is not int or index < 0:
            raise InputError("A line of meta/episodes.jsonl has no whole numbers episode_index and length.")
        entries.append(_Entry(index, {"episode_index": index, "episode_chunk": index // chunk}))
        summaries.append(_summary(index, length, line.get("tasks"), float(rate_hz), limits))
        if len(entries) > limits.episodes:
            raise InputError(f"The dataset lists more than {limits.episodes} episodes; split it.")
    return entries, summaries


def _summary(index: int, length: int, tasks: object, rate_hz: float, limits: Limits) -> EpisodeSummary:
    if not 0 <= length <= limits.frames:
        raise InputError(f"Episode {index} should have {length} frames; 0 to {limits.frames} are read.")
    said = [one for one in tasks if isinstance(one, str)] if isinstance(tasks, list) else []
    texts = tuple(dict.fromkeys(one[: limits.instruction_characters] for one in said[:MOST_TASKS]))
    several = texts if len(texts) > 1 else ()
    return EpisodeSummary(f"episode_{index:06d}", length, (texts or ("",))[0], rate_hz, instructions=several)


def _tasks(place: Place, major: int, limits: Limits) -> dict[int, str]:
    """task_index -> instruction, of meta/tasks.parquet or the older tasks.jsonl; empty where neither is there."""
    found: list[tuple[object, object]] = []
    if (place.root / "meta/tasks.jsonl").is_file():
        found = [(line.get(TASK), line.get("task")) for line in place.json_lines("meta/tasks.jsonl", limits)]
    elif major == 3 and (place.root / "meta/tasks.parquet").is_file():
        path = place.file("meta/tasks.parquet")
        file = tables.opened(path, limits)
        text = next((name for name in file.schema_arrow.names if name != TASK), None)
        if text is not None and TASK in file.schema_arrow.names:
            for batch in tables.batches(file, path, [TASK, text], limits):
                found += zip(batch.column(TASK).to_pylist(), batch.column(text).to_pylist(), strict=True)
    plain = ((i, text) for i, text in found if type(i) is int and isinstance(text, str))
    return {i: text[: limits.instruction_characters] for i, text in plain}


def _object(found: object, what: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise InputError(f"{what} should be a JSON object, but holds {json.dumps(found)[:40]}.")
    return found
