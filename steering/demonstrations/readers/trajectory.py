"""One HDF5 file an episode: DROID's `trajectory.h5` with its videos, and ACT's files of ALOHA; a file or a folder.

Every array with one row a frame is a feature, named by its path. DROID's pictures are in `recordings/MP4/<serial>.mp4`
beside the file, one frame a row, and `observation/camera_type` says which serial is at the wrist (Khazatsky et al.
2024). Some of its videos lack the last frame; that row is left out then. ALOHA's are arrays, or JPEG bytes padded to
one length (Zhao et al. 2023).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from steering.demonstrations import pictures, videos
from steering.demonstrations.dataset import Dataset, EpisodeSummary, Feature
from steering.demonstrations.limits import Limits
from steering.demonstrations.readers import hdf5
from steering.demonstrations.readers.shared import of_episode, shared
from steering.errors import InputError
from steering.hub import refuse_pointer

RATES_HZ = {"droid": 15.0, "aloha": 50.0}
TEXT_BYTES = 1 << 20


@dataclass
class _Episode:
    path: Path
    file: Any
    arrays: dict[str, Any]
    videos: dict[str, Path] = field(default_factory=dict)
    told: Sequence[str] | None = None


def fits(file: Any, name: str) -> bool:
    """Whether an open HDF5 file is one episode: DROID's or ALOHA's groups at its top."""
    found = set(hdf5.members(file, name))
    return "action" in found and bool(found & {"observation", "observations"})


def open_trajectories(paths: Sequence[Path], name: str, limits: Limits) -> Dataset:
    """The dataset of the files, an episode each, in natural order of their paths."""
    episodes, summaries, notices = [], [], []
    shortened: list[str] = []
    features: list[dict[str, Feature]] = []
    kind = ""
    for path in paths:
        file = hdf5.open_file(path)
        if not fits(file, path.name):
            raise InputError(f"{path.name} has no action and observation groups, unlike the first file. Leave it out.")
        arrays = dict(hdf5.arrays(file, path.name))
        words = {key: array for key, array in arrays.items() if hdf5.is_text(array)}
        arrays = {key: array for key, array in arrays.items() if array.ndim >= 1 and key not in words}
        lengths = [a.shape[0] for key, a in arrays.items() if key.split("/")[0] == "action"]
        frames = lengths[0] if lengths else 0
        arrays = {key: array for key, array in arrays.items() if array.shape[0] == frames}
        label = path.parent.name if len(paths) > 1 and path.stem == "trajectory" else path.stem
        kind = "droid" if "observation/robot_state/joint_positions" in arrays else "aloha"
        episode = _Episode(path, file, arrays, _videos(path, arrays, limits) if kind == "droid" else {})
        own = {key: _feature(key, array, limits) for key, array in arrays.items()}
        own |= {key: Feature(key, "image", (0, 0, 3), "video") for key in episode.videos}
        features.append(own)
        if frames - 1 in {videos.frames_promised(video) for video in episode.videos.values()}:
            frames -= 1
            shortened.append(label)
        success = True if "success" in path.parts else None
        rate_hz = RATES_HZ[kind]
        rows = lengths[0] if lengths else 0
        texts = hdf5.said(words, rows, path.name, limits)[:frames]
        different = tuple(dict.fromkeys(texts)) if len(set(texts)) > 1 else ()
        instruction = (texts or (_instruction(path, limits),))[0]
        summaries.append(EpisodeSummary(label, frames, instruction, rate_hz, success, different))
        episode.told = texts if different else None
        episodes.append(episode)
    found, absent = shared(features)
    if kind and not any(feature.kind == "image" for feature in found.values()):
        notices.append("No pictures were found: expected arrays, or recordings/MP4/<serial>.mp4 beside each file.")
    if shortened:
        notices.append(
            f"The videos of {len(shortened)} of {len(paths)} episodes ({', '.join(shortened[:3])}) are one frame "
            "shorter than their numbers, as some of DROID are; their last row is left out."
        )
    title = {"droid": "DROID HDF5", "aloha": "ALOHA HDF5", "": "HDF5"}[kind]
    source = _Source(episodes, [one.frames for one in summaries], limits)
    return Dataset(name, title, found, tuple(summaries), source, limits, kind, tuple(notices), absent=absent)


class _Source:
    def __init__(self, episodes: Sequence[_Episode], frames: Sequence[int], limits: Limits) -> None:
        self._episodes, self._frames, self._limits = episodes, frames, limits

    def numbers(self, episode: int, feature: str) -> np.ndarray:
        one = self._episodes[episode]
        return hdf5.numbers(one.arrays[feature], one.path.name, self._limits)[: self._frames[episode]]

    def told(self, episode: int) -> Sequence[str] | None:
        """The instruction of every frame, where it changes."""
        return self._episodes[episode].told

    def images(self, episode: int, feature: str, frames: Sequence[int]) -> Iterator[np.ndarray]:
        one, side_px = self._episodes[episode], self._limits.side_px
        if feature in one.videos:
            yield from videos.frames_counted(one.videos[feature], frames, side_px=side_px)
            return
        array = of_episode(one.arrays, feature, one.path.name)
        for frame in frames:
            if np.prod(array.shape[1:], dtype=np.float64) > 4 * side_px**2:
                raise InputError(f"{one.path.name}: {array.name} has the shape {array.shape}, which is too large.")
            row = hdf5.read(array, frame, one.path.name)
            yield pictures.decoded(row.tobytes(), feature, side_px) if row.ndim == 1 else row

    def close(self) -> None:
        for one in self._episodes:
            one.file.close()


def _feature(key: str, array: Any, limits: Limits) -> Feature:
    packed = array.dtype == np.uint8 and array.ndim == 2 and array.shape[1] > limits.dims and "image" in key
    picture = packed or pictures.are_pictures(array.shape, array.dtype)
    kind, dtype = "image" if picture else "number", "JPEG" if packed else str(array.dtype)
    return Feature(key, kind, tuple(array.shape[1:]), dtype, bgr=hdf5.is_bgr(array, array.file) if picture else None)


def _videos(path: Path, arrays: dict[str, Any], limits: Limits) -> dict[str, Path]:
    """Role -> video, by the camera types that the file notes for each serial: 0 at the wrist, 1 outside."""
    found: dict[str, Path] = {}
    folder = path.parent / "recordings" / "MP4"
    outside = 0
    for video in sorted(folder.glob("*.mp4"))[:16] if folder.is_dir() and not folder.is_symlink() else ():
        if video.is_symlink():
            raise InputError(f"{video.name} is a link to elsewhere, which is refused. Copy what it points to.")
        if "stereo" in video.stem:
            continue
        refuse_pointer(video)
        noted = arrays.get(f"observation/camera_type/{video.stem}")
        if noted is not None and hdf5.numbers(noted, path.name, limits).reshape(-1)[:1] == 0:
            found["wrist_image_left"] = video
        else:
            outside += 1
            found[f"exterior_image_{outside}_left"] = video
    return found


def _instruction(path: Path, limits: Limits) -> str:
    """Of DROID's `metadata_*.json` beside the file, or none."""
    for beside in sorted(path.parent.glob("metadata_*.json"))[:1]:
        if beside.is_symlink() or beside.stat().st_size > TEXT_BYTES:
            continue
        try:
            noted = json.loads(beside.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        task = noted.get("current_task") if isinstance(noted, dict) else None
        if isinstance(task, str):
            return task[: limits.instruction_characters]
    return ""
