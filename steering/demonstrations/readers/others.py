"""What is no dataset that is read here, but known: named as what it is, with what to do.

Sets that lie below a folder (or in the hub's cache) are named; zarr, RLDS, MCAP, ROS bags and RoboTwin are recognised
by the names of their files. Nothing of them is opened.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from steering.demonstrations.readers.places import Place

DEPTH = 5  # of a hub cache: hub/datasets--owner--name/snapshots/<commit>/meta/info.json
SHOWN = 8
MOST_FOLDERS = 20_000  # looked at on each level
TO_LEROBOT = "Convert it to a LeRobotDataset, and open that"
FILES = {
    ".mcap": f"is a log of MCAP. {TO_LEROBOT}: export topics of cameras, joints and commands at one rate first.",
    ".bag": f"is a bag of ROS. {TO_LEROBOT}: export topics of cameras, joints and commands at one rate first.",
    ".db3": f"is a bag of ROS 2. {TO_LEROBOT}: export topics of cameras, joints and commands at one rate first.",
    ".zarr": f"is a zarr store, as Diffusion Policy and UMI write. {TO_LEROBOT}, or write its arrays to NPZ.",
    ".tfrecord": f"is part of an RLDS dataset. {TO_LEROBOT}: openpi and lerobot have scripts for RLDS.",
}
"""Ending of a file or folder -> what it is and what to do."""
ROBOTWIN = (
    "{name} is an episode of RoboTwin. Convert the task with RoboTwin's own script for ACT (process_data.sh), whose "
    "ALOHA files are read, or to a LeRobotDataset with its script for π0."
)
POLICY = ("config.json", "adapter_config.json")
ZARR = (".zgroup", ".zarray", "zarr.json")


def sets_below(place: Place) -> str:
    """A sentence that names the LeRobotDatasets below a folder that is none itself; empty where there are none."""
    found = list(itertools.islice(_sets(place.root), SHOWN + 1))
    if not found:
        return ""
    shown = ", ".join(path.relative_to(place.root).as_posix() for path in found[:SHOWN])
    more = " and more" if len(found) > SHOWN else ""
    number = "a dataset" if len(found) == 1 else "several datasets"
    return f"{place.root.name} holds {number}: {shown}{more}. Give the folder of one."


def what_it_is(place: Place, name: str) -> str:
    """A sentence for a folder of a format that is not read, by the names in it; empty where none is known."""
    if any((place.root / file).is_file() for file in POLICY):
        return f"{name} is a policy or an adapter, not demonstrations. Give it where a policy is chosen."
    for path in _below(place.root):
        if path.name in ZARR or path.suffix == ".zarr":
            return f"{name} {FILES['.zarr']}"
        if ".tfrecord" in path.name:
            return f"{name} {FILES['.tfrecord']}"
        if said := FILES.get(path.suffix.lower()):
            return f"{name} holds {path.name}, which {said}"
    return ""


def of_file(name: str) -> str:
    """A sentence for a file of a format that is not read, by its ending; empty where it is not known."""
    ending = ".tfrecord" if ".tfrecord" in name else Path(name).suffix.lower()
    return f"{name} {FILES[ending]}" if ending in FILES else ""


def _sets(root: Path) -> list[Path]:
    return sorted(path.parent for path in _below(root) if path.name == "meta" and (path / "info.json").is_file())


def _below(root: Path) -> list[Path]:
    """Files and folders below a folder, at most DEPTH deep; links to folders are not followed."""
    found: list[Path] = []
    level = [root]
    for _ in range(DEPTH):
        inner: list[Path] = []
        for folder in level:
            if len(inner) < MOST_FOLDERS and folder.is_dir() and not folder.is_symlink():
                inner += itertools.islice(folder.iterdir(), MOST_FOLDERS - len(inner))
        found += inner
        level = inner
    return found
