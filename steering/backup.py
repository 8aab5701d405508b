"""A store as one tar file, written while the server runs, and back into an empty folder.

Artefacts come whole, for they are renamed into place when they are finished; the lists of jobs and of classes are
copied by SQLite, as they stand at one moment; owners, mappings and the key of the visitors' cookies come with them.
What is made anew (pictures, checkpoints of what runs, half-finished work) and uploads, which are kept a day, do not. As
fast as the disk.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from steering.errors import InputError

FOLDERS = ("artefacts", "owners", "mappings")
KEY = "visitors.key"
JOBS, CLASSES = "jobs.sqlite", "classes.sqlite"
DATABASES = (JOBS, CLASSES)


def write(store: Path, target: Path) -> int:
    """Write the store's backup to `target`, which appears when it is whole; how many files it holds.

    Raises InputError where there is no store, or `target` lies in it or is there already.
    """
    if not (store / "artefacts").is_dir() and not (store / JOBS).is_file():
        raise InputError(f"{store} holds no store. Name its folder with --store.")
    if target.exists():
        raise InputError(f"{target} is there already. Choose another name.")
    if target.resolve().is_relative_to(store.resolve()):
        raise InputError("A backup inside the store would be lost with it. Write it elsewhere.")
    draft = target.with_name(f"{target.name}.part")
    try:
        with draft.open("wb") as file, tempfile.TemporaryDirectory() as elsewhere:
            os.fchmod(file.fileno(), 0o600)  # it holds the key
            with tarfile.open(fileobj=file, mode="w") as tar:
                count = sum(1 for _ in _added(store, tar, Path(elsewhere)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return count


def read(source: Path, store: Path) -> int:
    """Lay out the backup `source` as a store in `store`, a new or empty folder; how many files it held.

    Raises InputError where `store` holds something, or `source` is no backup, of which nothing is left behind then.
    """
    if store.exists() and any(store.iterdir()):
        raise InputError(f"{store} is not empty. Restore into a new folder, and set STEERING_STORE to it.")
    store.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(source, mode="r:") as tar:
            members = [one for one in tar if one.name.split("/")[0] in (*FOLDERS, KEY, *DATABASES) and one.isfile()]
            if not members:
                raise InputError(f"{source} holds no store. Name a file that `python -m steering backup` wrote.")
            for member in members:
                tar.extract(member, store, filter="data")
    except (tarfile.TarError, EOFError, InputError) as error:
        for path in store.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        words = (
            str(error) if isinstance(error, InputError) else f"{source} is no whole backup ({error}). Use another one."
        )
        raise InputError(words) from None
    if (store / KEY).exists():
        (store / KEY).chmod(0o600)
    return len(members)


def _added(store: Path, tar: tarfile.TarFile, elsewhere: Path) -> Iterator[str]:
    """Adds every file of the store to `tar`. An artefact that is deleted meanwhile is left out as a whole: all its
    files are open before the first is added.
    """
    for name in FOLDERS:
        for folder in sorted((store / name).glob("*")):
            with ExitStack() as open_now, suppress(FileNotFoundError):
                paths = [path for path in sorted([folder, *folder.rglob("*")]) if path.is_file()]
                files = [open_now.enter_context(path.open("rb")) for path in paths]
                for path, file in zip(paths, files, strict=True):
                    tar.addfile(tar.gettarinfo(arcname=path.relative_to(store).as_posix(), fileobj=file), file)
                    yield path.name
    if (store / KEY).is_file():
        tar.add(store / KEY, KEY)
        yield KEY
    for name in DATABASES:
        if (store / name).is_file():
            with closing(sqlite3.connect(store / name)) as running, closing(sqlite3.connect(elsewhere / name)) as copy:
                running.backup(copy)
            tar.add(elsewhere / name, name)
            yield name
