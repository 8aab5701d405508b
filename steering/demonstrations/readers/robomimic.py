"""robomimic's and LIBERO's HDF5 files: `data/demo_<i>/{actions, obs/<name>}`, one or several files.

The instruction is an array of text with one row a frame that is called `language_instruction` or so, else of RoboCasa
`ep_meta` of the episode, of LIBERO `problem_info` of `data`; robomimic has none. The rate is the control frequency in
`env_args`, 20 Hz where it is not said. (Zhu et al. 2021; Liu et al. 2023.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steering.demonstrations import pictures
from steering.demonstrations.dataset import Dataset, EpisodeSummary, Feature
from steering.demonstrations.limits import Limits
from steering.demonstrations.readers import hdf5
from steering.demonstrations.readers.shared import of_episode, shared
from steering.errors import InputError

RATE_HZ = 20.0
PER_FRAME = ("actions", "states", "dones", "rewards", "robot_states")


def fits(file: Any, name: str) -> bool:
    """Whether an open HDF5 file has the group `data` with episodes in it."""
    import h5py

    found = hdf5.members(file, name).get("data")
    return isinstance(found, h5py.Group)


def open_robomimic(paths: Sequence[Path], name: str, limits: Limits) -> Dataset:
    """The dataset of one or several files; episodes in the order of the files, then of their numbers."""
    import h5py

    files = [hdf5.open_file(path) for path in paths]
    summaries, groups, by_frame, notices, features = [], [], [], [], []
    libero = False
    for path, file in zip(paths, files, strict=True):
        data = hdf5.members(file, path.name).get("data")
        if not isinstance(data, h5py.Group):
            raise InputError(f"{path.name} has no group `data` of episodes, unlike the first file. Leave it out.")
        problem = _json(hdf5.attribute(data, "problem_info"))
        instruction = problem.get("language_instruction", "")
        instruction = " ".join(instruction) if isinstance(instruction, list) else str(instruction)
        libero = libero or bool(problem)
        rate_hz, said = _rate(_json(hdf5.attribute(data, "env_args")))
        if not said:
            notices.append(f"{path.name} does not say its rate; {RATE_HZ:g} Hz is the default of its environments.")
        for label, group in hdf5.members(data, path.name).items():
            if not isinstance(group, h5py.Group) or "actions" not in hdf5.members(group, path.name):
                notices.append(f"{path.name}: data/{label} has no actions and is left out.")
                continue
            arrays = dict(_arrays(group, path.name))
            frames = arrays["actions"].shape[0] if arrays["actions"].shape else 0
            full = f"{path.stem}/{label}" if len(paths) > 1 else label
            own_text = str(_json(hdf5.attribute(group, "ep_meta")).get("lang") or instruction)  # RoboCasa's
            texts = hdf5.said(arrays, frames, path.name, limits)
            text = (texts or (own_text.strip().strip('"')[: limits.instruction_characters],))[0]
            different = tuple(dict.fromkeys(texts)) if len(set(texts)) > 1 else ()
            success = _success(arrays, path.name, limits)
            summaries.append(EpisodeSummary(full, frames, text, rate_hz, success, different))
            by_frame.append(texts if different else None)
            arrays = {key: array for key, array in arrays.items() if not hdf5.is_text(array)}
            groups.append((path.name, arrays))
            features.append({key: _feature(key, a) for key, a in arrays.items() if a.shape[:1] == (frames,)})
            if len(groups) > limits.episodes:
                raise InputError(f"{name} holds more than {limits.episodes} episodes; split it.")
    source = HDF5Source(groups, files, limits, by_frame)
    kind = "LIBERO HDF5" if libero else "robomimic HDF5"
    found, absent = shared(features)
    shown = tuple(notices[:20])
    return Dataset(name, kind, found, tuple(summaries), source, limits, notices=shown, absent=absent)


class HDF5Source:
    """Episodes as arrays of open HDF5 files."""

    def __init__(
        self,
        episodes: Sequence[tuple[str, dict[str, Any]]],
        files: Sequence[Any],
        limits: Limits,
        by_frame: Sequence[Sequence[str] | None] = (),
    ) -> None:
        self._episodes, self._files, self._limits, self._by_frame = episodes, files, limits, by_frame

    def told(self, episode: int) -> Sequence[str] | None:
        """The instruction of every frame, where it changes."""
        return self._by_frame[episode] if self._by_frame else None

    def numbers(self, episode: int, feature: str) -> np.ndarray:
        """Every frame of an array."""
        file, arrays = self._episodes[episode]
        return hdf5.numbers(arrays[feature], file, self._limits)

    def images(self, episode: int, feature: str, frames: Sequence[int]) -> Iterator[np.ndarray]:
        """Single frames of an array."""
        file, arrays = self._episodes[episode]
        array = hdf5.checked(of_episode(arrays, feature, file), file)
        for frame in frames:
            if frame >= array.shape[0] or np.prod(array.shape[1:], dtype=np.float64) > 4 * self._limits.side_px**2:
                raise InputError(f"{file}: {array.name} has the shape {array.shape}, too few frames or too large.")
            yield hdf5.read(array, frame, file)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()


def _arrays(group: Any, file: str) -> Iterator[tuple[str, Any]]:
    """Arrays of an episode that may have a row a frame: those at its top that are known, and the observations."""
    for key, array in hdf5.arrays(group, file):
        last = key.rpartition("/")[2].lower()
        if key in PER_FRAME or last in hdf5.SAID or (key.startswith("obs/") and key.count("/") == 1):
            yield key.removeprefix("obs/"), array


def _feature(key: str, array: Any) -> Feature:
    picture = pictures.are_pictures(array.shape, array.dtype)
    bgr = hdf5.is_bgr(array, array.file) if picture else None
    return Feature(key, "image" if picture else "number", tuple(array.shape[1:]), str(array.dtype), bgr=bgr)


def _success(arrays: dict[str, Any], file: str, limits: Limits) -> bool | None:
    rewards = arrays.get("rewards")
    if rewards is None or rewards.ndim != 1 or rewards.shape[0] == 0 or rewards.dtype.kind not in "biuf":
        return None
    return bool(hdf5.numbers(rewards, file, limits).max() > 0) or None


def _rate(environment: dict[str, Any]) -> tuple[float, bool]:
    settings = environment.get("env_kwargs")
    found = settings.get("control_freq") if isinstance(settings, dict) else None
    if isinstance(found, int | float) and 0 < found <= 10_000:
        return float(found), True
    return RATE_HZ, False


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
