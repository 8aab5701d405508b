"""The demonstrations that the Robotic Steering release captures from: HDF5, `/<instruction>/ep_<i>_<name>`.

Names are `actions`, `joint_positions`, `gripper_positions`, and `view_0` (exterior) and `view_2` (wrist), all with one
row a frame; the group's name is the prompt. DROID's rate of 15 Hz, which their keyframes assume too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from steering.demonstrations import pictures
from steering.demonstrations.dataset import Dataset, EpisodeSummary, Feature
from steering.demonstrations.limits import Limits
from steering.demonstrations.readers import hdf5
from steering.demonstrations.readers.robomimic import HDF5Source
from steering.demonstrations.readers.shared import shared
from steering.errors import InputError

RATE_HZ = 15.0
NEEDED = ("actions", "joint_positions", "gripper_positions")
_NAME = re.compile(r"(ep_\d{1,9})_(\w+)")


def fits(file: Any, name: str) -> bool:
    """Whether an open HDF5 file has groups with arrays called `ep_<i>_actions`."""
    import h5py

    for group in list(hdf5.members(file, name).values())[:50]:
        if isinstance(group, h5py.Group):
            found = {match[2] for key in hdf5.members(group, name) if (match := _NAME.fullmatch(key))}
            if "actions" in found:
                return True
    return False


def open_authors(path: Path, limits: Limits) -> Dataset:
    """The dataset of one file, episodes of every instruction in natural order."""
    import h5py

    file = hdf5.open_file(path)
    summaries, groups, notices = [], [], []
    features: list[dict[str, Feature]] = []
    for instruction, group in hdf5.members(file, path.name).items():
        if not isinstance(group, h5py.Group):
            continue
        episodes: dict[str, dict[str, Any]] = {}
        for key, array in hdf5.members(group, path.name).items():
            match = _NAME.fullmatch(key)
            if match and isinstance(array, h5py.Dataset):
                episodes.setdefault(match[1], {})[match[2]] = hdf5.checked(array, path.name)
        for label, arrays in episodes.items():
            if missing := [name for name in NEEDED if name not in arrays]:
                notices.append(f"{instruction}/{label} has no {', '.join(missing)} and is left out.")
                continue
            frames = arrays["actions"].shape[0] if arrays["actions"].shape else 0
            several = f"{instruction[:60]}/{label}"
            summaries.append(EpisodeSummary(several, frames, instruction[: limits.instruction_characters], RATE_HZ))
            groups.append((path.name, arrays))
            features.append({key: _feature(key, a) for key, a in arrays.items() if a.shape[:1] == (frames,)})
            if len(groups) > limits.episodes:
                raise InputError(f"{path.name} holds more than {limits.episodes} episodes; split it.")
    source = HDF5Source(groups, [file], limits)
    name = "Robotic Steering HDF5"
    found, absent = shared(features)
    shown = tuple(notices[:20])
    return Dataset(path.stem, name, found, tuple(summaries), source, limits, "droid", shown, absent=absent)


def _feature(key: str, array: Any) -> Feature:
    picture = pictures.are_pictures(array.shape, array.dtype)
    bgr = hdf5.is_bgr(array, array.file) if picture else None
    return Feature(key, "image" if picture else "number", tuple(array.shape[1:]), str(array.dtype), bgr=bgr)
