"""Reads the activations that the Robotic Steering release writes, so that their capture and our scores meet.

An HDF5 file: `/<task>/<episode>/<frame>/` holds `first_action_token_attn` (layer, head, dim), outputs of the action
expert's heads at the first action token, or the older `last_token_attn`, those of the VLM at the last prefix token,
or both; and `action_label` (dim,). The file has no robot state and no chunk. The activations have the
stacks that it holds. The VLM's last layer is inert, since their policies are π0 and π0.5.

A file comes from anywhere: only plain groups and arrays of the file itself are read. Soft, external and virtual links
are refused, shapes are checked before anything is read, and more than MAX_BYTES or MAX_FRAMES is refused.
Cost: 20 episodes of 60 frames take about 1 s; memory is that of the activations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from steering.errors import InputError, NotFound, unknown_name
from steering.types import Activations, HeadShape, Stack

DATASETS = {"last_token_attn": ("vlm", "last_prefix"), "first_action_token_attn": ("expert", "first_action")}
ACTION = "action_label"
MAX_BYTES = 8 << 30
MAX_FRAMES = 200_000
MAX_DIMS = 1024  # of an action


def tasks(path: Path) -> tuple[str, ...]:
    """Names of the tasks in the file, in natural order."""
    with _open(path) as file:
        return tuple(name for name, _ in _groups(file, "the file"))


def read(path: Path, task: str | None = None) -> Activations:
    """The activations of one task; `task` may be left out where the file holds one only.

    Episodes and frames are in natural order of their names (`demo_2` before `demo_10`); a frame's number is that in its
    name where it has one, else its place. Raises NotFound or InputError.
    """
    with _open(path) as file:
        found = dict(_groups(file, "the file"))
        if not found:
            raise InputError(f"{path.name} holds no task; expected /<task>/<episode>/<frame>/{ACTION}.")
        if task is None and len(found) > 1:
            raise InputError(f"{path.name} holds {len(found)} tasks; name one of {', '.join(sorted(found))[:300]}.")
        if task is not None and task not in found:
            raise unknown_name("task in the file", task, found)
        return _task(found[task or next(iter(found))], path.name)


def is_authors_file(path: Path) -> bool:
    """Whether the path is an HDF5 file, by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _task(group: Any, name: str) -> Activations:
    episodes, numbers, places = [], [], []
    for index, (episode_name, episode) in enumerate(_groups(group, group.name)):
        frames = list(_groups(episode, f"{group.name}/{episode_name}"))
        named = [_number(frame_name) for frame_name, _ in frames]
        whole = all(n is not None for n in named) and len(set(named)) == len(named)
        for place, (_, frame) in enumerate(frames):
            episodes.append(index)
            numbers.append(named[place] if whole else place)
            places.append(frame)
        if len(places) > MAX_FRAMES:
            raise InputError(f"{name} holds more than {MAX_FRAMES} frames of {group.name}; split the file.")
    if not places:
        raise InputError(f"{name}: {group.name} holds no frames; expected <episode>/<frame>/{ACTION} in it.")
    held = [dataset for dataset in DATASETS if dataset in places[0]]
    if not held:
        raise InputError(f"{name}: {places[0].name} holds neither {' nor '.join(DATASETS)}, but {_listed(places[0])}.")
    grid = _array(places[0], held[0], 3).shape
    dims = _array(places[0], ACTION, 1).shape[0]
    size = len(places) * len(held) * int(np.prod(grid)) * 4
    if size > MAX_BYTES or not 1 <= dims <= MAX_DIMS or 0 in grid:
        raise InputError(
            f"{name}: {len(places)} frames of {grid} head outputs and {dims} action dimensions would take "
            f"{size >> 20} MB; expected 1 to {MAX_DIMS} dimensions and at most {MAX_BYTES >> 20} MB. Split the file."
        )
    outputs = np.zeros((len(places), len(held), *grid), np.float32)
    action = np.empty((len(places), dims), np.float32)
    for row, frame in enumerate(places):
        for s, dataset in enumerate(held):
            outputs[row, s] = _read(frame, dataset, grid)
        action[row] = _read(frame, ACTION, (dims,))
    if not np.isfinite(action).all():
        raise InputError(f"{name}: some actions of {group.name} are NaN or infinite. Write the file again.")
    episode, frame_number = np.array(episodes, np.int32), np.array(numbers, np.int32)
    stacks = tuple(Stack(DATASETS[dataset][0], *grid) for dataset in held)
    return Activations(
        outputs=outputs,
        episode=episode,
        frame=frame_number,
        action=action,
        chunk=action[:, None],
        state=np.zeros((len(places), 0), np.float32),
        time_in_episode=_clock(episode, frame_number),
        tokens=tuple(DATASETS[dataset][1] for dataset in held),
        timestep=1.0,
        seed=0,
        inert=HeadShape(stacks).last_layer("vlm"),
        stacks=stacks,
    )


def _open(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise InputError("Reading HDF5 needs the library h5py: `pip install h5py`, then try again.") from None
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    try:
        return h5py.File(path, "r")
    except OSError:
        raise InputError(f"{path.name} cannot be read as HDF5; it may be cut short or another kind of file.") from None


def _groups(parent: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Name and group of every child group, in natural order; refuses links."""
    import h5py

    for name in sorted(parent, key=_natural):
        if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
            raise InputError(f"{name!r} in {where} is a link to elsewhere, which is refused. Copy what it points to.")
        child = parent[name]
        if isinstance(child, h5py.Group):
            yield name, child


def _array(frame: Any, name: str, axes: int) -> Any:
    """The dataset `name` of a frame, not yet read: numbers, in this file, with `axes` axes."""
    import h5py

    if name not in frame:
        raise InputError(f"{frame.name} has no {name}, but {_listed(frame)}.")
    if not isinstance(frame.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{frame.name}/{name} is a link to elsewhere, which is refused. Copy what it points to.")
    found = frame[name]
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu" or found.ndim != axes:
        got = f"{found.dtype} {found.shape}" if isinstance(found, h5py.Dataset) else "a group"
        raise InputError(f"Expected {frame.name}/{name} to hold numbers along {axes} axes, got {got}.")
    if found.is_virtual or found.external:
        raise InputError(f"{frame.name}/{name} lies in another file, which is refused. Write one plain file.")
    return found


def _read(frame: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    found = _array(frame, name, len(shape))
    if found.shape != shape:
        raise InputError(f"Expected {frame.name}/{name} to be {shape} as in the first frame, got {found.shape}.")
    try:
        return np.asarray(found[()], np.float32)
    except OSError:
        raise InputError(f"{frame.name}/{name} cannot be read; the file is damaged or its filter unknown.") from None


def _clock(episode: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """float32 [frame]: 0 at the first frame of each episode in the file, 1 at the last."""
    clock = np.zeros(len(episode), np.float32)
    for one in np.unique(episode):
        rows = episode == one
        since = frame[rows] - frame[rows].min()
        clock[rows] = since / max(int(since.max()), 1)
    return clock


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d{1,18})", name) if part]


def _number(name: str) -> int | None:
    """The last whole number in a name, if there is one that an int32 holds."""
    found = re.findall(r"\d+", name)
    return int(found[-1]) if found and len(found[-1]) <= 9 else None


def _listed(frame: Any) -> str:
    return ", ".join(sorted(frame)[:8]) or "nothing"
