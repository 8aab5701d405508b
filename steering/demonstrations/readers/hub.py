"""Datasets of the Hugging Face hub by their id, fetched into the hub's own cache. Needs a network, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steering.demonstrations.limits import Limits
from steering.errors import InputError, NotFound
from steering.hub import Repository

PATTERNS = ("meta/*", "data/*", "videos/*", "*.hdf5", "*.h5", "*.npz")


def fetch(repository: Repository, limits: Limits) -> Path:
    """The folder of a dataset in the cache, downloaded where it is not there yet.

    Raises NotFound for one that does not exist or is private, InputError without a network or when it is too large.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    no_connection: Any = HfHubHTTPError.__bases__[
        0
    ]  # of the HTTP library that the hub's client is built on, which changes
    name = repository.id
    login = (
        " or log in with `hf auth login` when it is private."
        if repository.chosen_here
        else (" and that everybody may read it: nobody's login is used here.")
    )
    try:
        return repository.snapshot("dataset", PATTERNS, here=True)
    except LocalEntryNotFoundError:
        pass
    try:
        api = HfApi(token=repository.access["token"])
        files = api.dataset_info(name, files_metadata=True, timeout=20).siblings or []
        size = sum(file.size or 0 for file in files)
        if size > limits.download_bytes:
            raise InputError(
                f"{name} has {size >> 20} MB; at most {limits.download_bytes >> 20} MB are fetched. Download the "
                "episodes you need and give their folder."
            )
        return repository.snapshot("dataset", PATTERNS)
    except (RepositoryNotFoundError, GatedRepoError):
        raise NotFound(
            f"There is no dataset {name!r} on the hub that may be read from here. Check its spelling,{login}"
        ) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, no_connection, OSError):
        raise InputError(
            f"{name!r} is not here, and the hub cannot be reached to fetch a dataset of that name. "
            "Connect to the network, or give the path of a downloaded folder."
        ) from None
