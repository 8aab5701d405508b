"""Finds what a path holds by its content, never by its name, and opens it.

`open_dataset(path)` takes a folder, a file, a zip or a hub id. Formats, in the order in which they are recognised:
LeRobotDataset v3 and v2, workbench recordings, HDF5 (the Robotic Steering release, LIBERO, robomimic, DROID, ALOHA)
and NPZ.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from steering.demonstrations.dataset import Dataset
from steering.demonstrations.limits import LIMITS, Limits
from steering.demonstrations.readers import authors, hdf5, hub, npz, others, robomimic, trajectory
from steering.demonstrations.readers.lerobot import open_lerobot
from steering.demonstrations.readers.places import Place, unpacked
from steering.demonstrations.readers.recordings import open_recordings
from steering.errors import InputError, NotFound
from steering.hub import named, refuse_pointer
from steering.progress import Progress

FORMATS = (
    "LeRobotDataset v3 or v2 (folder, zip or hub id), LIBERO or robomimic HDF5, DROID or ALOHA HDF5, "
    "the Robotic Steering release's HDF5, NPZ, or a workbench recording"
)
HUB_EPISODES = 8  # of a dataset on the hub that are fetched to guess and report by
PICKLE = b"\x80"
ZIP = b"PK\x03\x04"
PARQUET = b"PAR1"
HELD = (".hdf5", ".h5", ".npz", ".zip", ".parquet")


def open_dataset(
    path: Path | str,
    limits: Limits = LIMITS,
    *,
    episodes: Sequence[int] | None = None,
    progress: Progress = Progress(),
) -> Dataset:
    """Open what `path` holds; a hub id where it is marked `hub:` or nothing here has that name.

    Use it in a `with` statement, or call `close`. Of a LeRobotDataset on the hub the metadata is fetched, and files of
    episodes as they are read. episodes: those that will be, so that guesses and reports look at no others of it; None
    for HUB_EPISODES of them. progress: is told what is fetched.

    Raises NotFound where there is nothing, InputError where it is no dataset of a known format or is damaged.
    """
    if repository := named(path):
        folder, elsewhere = hub.fetch(repository, limits, progress)
        dataset = _folder(Place(folder, elsewhere=elsewhere), repository.id, limits)
        return dataset if elsewhere is None else replace(dataset, among=_among(len(dataset.episodes), episodes))
    path = Path(path)
    try:
        if path.is_dir():
            return _folder(Place(path), path.resolve().name, limits)
        if path.is_file():
            return _file(path, limits)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path.name!r} cannot be opened ({type(error).__name__}). Check that it may be read."
        ) from None
    raise NotFound(f"There is no file or folder {str(path)[:200]!r}. Check the path, or give a hub id as owner/name.")


def _among(count: int, episodes: Sequence[int] | None) -> tuple[int, ...]:
    """The episodes to look at: those asked for that exist, else a few from the first to the last."""
    if episodes is None:
        few = min(count, HUB_EPISODES)
        return tuple(round(i * (count - 1) / max(few - 1, 1)) for i in range(few))
    return tuple(sorted({index for index in episodes if 0 <= index < count}))


def _file(path: Path, limits: Limits) -> Dataset:
    refuse_pointer(path)
    with path.open("rb") as stream:
        start = stream.read(8)
    if start == hdf5.MAGIC:
        return _hdf5([path], path.stem, limits)
    if start[:4] == ZIP or zipfile.is_zipfile(path):
        if npz.is_npz(path):
            return npz.open_npz([path], path.stem, limits)
        place = unpacked(path, limits)
        try:
            return _folder(place, path.stem, limits)
        except BaseException:
            place.close()
            raise
    if start[:1] == PICKLE:
        raise InputError(f"{path.name} is a pickle, which is refused, since opening one can run code. Save it as NPZ.")
    if start[:4] == PARQUET:
        raise InputError(f"{path.name} is one table of a dataset; give the dataset's folder, with meta and videos.")
    if start[4:8] == b"ftyp":
        raise InputError(f"{path.name} is a video alone; give the dataset's folder, which has states and actions too.")
    raise InputError(others.of_file(path.name) or f"{path.name} is none of the formats that are read: {FORMATS}.")


def _folder(place: Place, name: str, limits: Limits) -> Dataset:
    root = place.root
    if (root / "meta" / "info.json").exists():
        return open_lerobot(place, name, limits)
    if (root / "value.json").exists() and (root / "manifest.json").exists():
        place.checked(root / "value.json")
        return replace(open_recordings(root, limits), cleanup=place.close)
    if (root / "artefacts").is_dir():
        found = sorted(folder.name for folder in (root / "artefacts").glob("demonstrations-*"))
        raise InputError(f"{name} is a store; give one of its folders in artefacts: {', '.join(found[:5]) or 'none'}.")
    if several := others.sets_below(place):
        raise InputError(several)
    by_kind: dict[str, list[Path]] = {"hdf5": [], "npz": []}
    for path in place.glob("", "", limits):
        if kind := _kind(path):
            by_kind[kind].append(path)
    if by_kind["hdf5"]:
        files = sorted(by_kind["hdf5"], key=lambda path: hdf5.natural(path.as_posix()))
        return replace(_hdf5(files, name, limits), cleanup=place.close)
    if by_kind["npz"]:
        files = sorted(by_kind["npz"], key=lambda path: hdf5.natural(path.as_posix()))
        return replace(npz.open_npz(files, name, limits), cleanup=place.close)
    raise InputError(others.what_it_is(place, name) or f"{name} holds none of the formats that are read: {FORMATS}.")


def _kind(path: Path) -> str | None:
    if path.suffix.lower() in HELD:  # not a picture of its README
        refuse_pointer(path)
    with path.open("rb") as stream:
        start = stream.read(8)
    if start == hdf5.MAGIC:
        return "hdf5"
    return "npz" if start[:4] == ZIP and npz.is_npz(path) else None


def _hdf5(paths: Sequence[Path], name: str, limits: Limits) -> Dataset:
    """One or several HDF5 files, which must be of the kind of the first."""
    if len(paths) > 10_000:
        raise InputError(f"{name} holds {len(paths)} HDF5 files; at most 10000 are read.")
    with hdf5.open_file(paths[0]) as file:
        first = paths[0].name
        if robomimic.fits(file, first):
            reader: Callable[[], Dataset] = lambda: robomimic.open_robomimic(paths, name, limits)  # noqa: E731
        elif trajectory.fits(file, first):
            reader = lambda: trajectory.open_trajectories(paths, name, limits)  # noqa: E731
        elif authors.fits(file, first):
            if len(paths) > 1:
                raise InputError(f"{name} holds {len(paths)} files of the Robotic Steering release; open one by one.")
            reader = lambda: authors.open_authors(paths[0], limits)  # noqa: E731
        else:
            if "joint_action" in hdf5.members(file, first):
                raise InputError(others.ROBOTWIN.format(name=first))
            members = ", ".join(hdf5.members(file, first))[:200] or "nothing"
            raise InputError(
                f"{first} is HDF5 with {members} at its top, which is no known layout: expected `data/demo_<i>`, "
                "`<instruction>/ep_<i>_actions`, or `action` beside `observation`. Activations are imported as such."
            )
    return reader()
