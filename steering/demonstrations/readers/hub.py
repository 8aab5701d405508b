"""Datasets of the Hugging Face hub by their id, in the hub's own cache. Needs a network, and says so.

Of a LeRobotDataset the metadata is fetched, a few MB, and then the tables and videos of the episodes that are read.
Other formats have no metadata apart, and are fetched whole.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from steering.demonstrations.limits import Limits
from steering.errors import InputError, NotFound
from steering.hub import Repository
from steering.progress import Progress

METADATA = ("meta/*",)
WHOLE = ("*.hdf5", "*.h5", "*.npz")
INFO = "meta/info.json"


class Remote:
    """The files of one revision on the hub, fetched by name into its folder of the cache; nothing is asked before."""

    def __init__(self, repository: Repository, revision: str, limits: Limits, progress: Progress) -> None:
        self._repository, self._revision, self._limits, self._progress = repository, revision, limits, progress
        self._fetched = 0
        self._sizes = functools.cache(lambda: _sizes(repository, revision))

    @functools.cached_property
    def names(self) -> Collection[str] | None:
        """All its files; None where the hub cannot be reached, which is asked once."""
        try:
            return self._sizes()
        except (InputError, NotFound):
            return None

    def fetch(self, name: str) -> None:
        """Download a file, where there is one of that name and all together stay within `limits.download_bytes`."""
        size = self._sizes().get(name)
        if size is None:
            return
        self._fetched += size
        _check_size(self._repository.id, self._fetched, self._limits, "Name fewer episodes.")
        self._progress.say(f"Fetching {name} ({_mb(size)})")
        with _worded(self._repository):
            self._repository.file("dataset", name, self._revision)


def fetch(repository: Repository, limits: Limits, progress: Progress) -> tuple[Path, Remote | None]:
    """The folder of a dataset in the cache, and where the rest of its files come from; None where it is all there.

    Raises NotFound for one that does not exist or is private, InputError without a network or when it is too large.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = repository.snapshot("dataset", METADATA, here=True)
    except LocalEntryNotFoundError:
        folder = _first(repository, limits, progress)
    whole = not (folder / INFO).is_file()
    return folder, None if whole else Remote(repository, folder.name, limits, progress)


def _first(repository: Repository, limits: Limits, progress: Progress) -> Path:
    """Download what opening takes."""
    progress.say(f"Asking the hub for {repository.id}")
    sizes = _sizes(repository, None)
    patterns = METADATA if INFO in sizes else WHOLE
    size = sum(size for name, size in sizes.items() if any(fnmatch(name, pattern) for pattern in patterns))
    _check_size(repository.id, size, limits, "Download the files you need and give their folder.")
    progress.say(f"Fetching {'what it holds' if patterns == METADATA else 'all of it'} ({_mb(size)})")
    with _worded(repository):
        return repository.snapshot("dataset", patterns)


def _sizes(repository: Repository, revision: str | None) -> dict[str, int]:
    """Name -> bytes of every file of a revision; None for the newest."""
    from huggingface_hub import HfApi

    with _worded(repository):
        api = HfApi(token=repository.access["token"])
        found = api.dataset_info(repository.id, revision=revision, files_metadata=True, timeout=20).siblings or []
        return {file.rfilename: file.size or 0 for file in found}


def _check_size(name: str, size: int, limits: Limits, advice: str) -> None:
    if size > limits.download_bytes:
        most = limits.download_bytes >> 20
        raise InputError(f"{name}: {size >> 20} MB would be fetched; at most {most} MB are. {advice}")


def _mb(size: int) -> str:
    return f"{size / (1 << 20):.1f} MB"


@contextmanager
def _worded(repository: Repository) -> Iterator[None]:
    """What the hub's client raises, in words."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    # of the HTTP library that the hub's client is built on, which changes
    no_connection: Any = HfHubHTTPError.__bases__[0]
    login = (
        " or log in with `hf auth login` when it is private."
        if repository.chosen_here
        else (" and that everybody may read it: nobody's login is used here.")
    )
    name = repository.id
    try:
        yield
    except (RepositoryNotFoundError, GatedRepoError):
        raise NotFound(
            f"There is no dataset {name!r} on the hub that may be read from here. Check its spelling,{login}"
        ) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, no_connection, OSError):
        raise InputError(
            f"{name!r} is not here, and the hub cannot be reached to fetch a dataset of that name. "
            "Connect to the network, or give the path of a downloaded folder."
        ) from None
