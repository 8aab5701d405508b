"""Datasets of the Hugging Face hub by their id, fetched into the hub's own cache. Needs a network, and says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from steering.demonstrations.limits import Limits
from steering.errors import InputError, NotFound

_ID = re.compile(r"[\w][\w.-]{0,95}/[\w][\w.-]{0,95}")
PATTERNS = ("meta/*", "data/*", "videos/*", "*.hdf5", "*.h5", "*.npz")


def is_hub_id(text: str) -> bool:
    """Whether a text has the form `owner/name` and is no path that exists."""
    return bool(_ID.fullmatch(text)) and not Path(text).exists()


def fetch(name: str, limits: Limits) -> Path:
    """The folder of a dataset in the cache, downloaded where it is not there yet.

    Raises NotFound for one that does not exist or is private, InputError without a network or when it is too large.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    no_connection: Any = HfHubHTTPError.__bases__[
        0
    ]  # of the HTTP library that the hub's client is built on, which changes
    try:
        return Path(snapshot_download(name, repo_type="dataset", local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        files = HfApi().dataset_info(name, files_metadata=True, timeout=20).siblings or []
        size = sum(file.size or 0 for file in files)
        if size > limits.download_bytes:
            raise InputError(
                f"{name} has {size >> 20} MB; at most {limits.download_bytes >> 20} MB are fetched. Download the "
                "episodes you need and give their folder."
            )
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=list(PATTERNS)))
    except (RepositoryNotFoundError, GatedRepoError):
        raise NotFound(
            f"There is no dataset {name!r} on the hub that may be read from here, and no folder of that name. "
            "Check its spelling, or log in with `hf auth login` when it is private."
        ) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, no_connection, OSError):
        raise InputError(
            f"There is no folder {name!r} here, and the hub cannot be reached to fetch a dataset of that name. "
            "Connect to the network, or give the path of a downloaded folder."
        ) from None
