"""The normalisation that an adapter was trained under, kept beside its weights: it runs under no other.

`normalisation.json` holds `state_mean`, `state_std`, `actions_mean` and `actions_std`, in the units of the data.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from steering.errors import InputError
from steering.models.preprocessing import Statistics

STATISTICS_FILE = "normalisation.json"
MAX_BYTES = 1 << 20
NAMES = ("state_mean", "state_std", "actions_mean", "actions_std")


def write_statistics(folder: Path, statistics: Statistics) -> None:
    """Write the statistics into an adapter's folder, to the bit."""
    document = {name: np.asarray(getattr(statistics, name), np.float32).tolist() for name in NAMES}
    (folder / STATISTICS_FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read_statistics(folder: Path) -> Statistics | None:
    """The statistics in an adapter's folder; None where an older version kept none. InputError for damaged ones."""
    path = folder / STATISTICS_FILE
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("too large")
        document = json.loads(path.read_text(encoding="utf-8"))
        arrays = {name: np.asarray(document[name], np.float32) for name in NAMES}
        sizes = [arrays[name].shape for name in NAMES]
        finite = all(array.ndim == 1 and np.isfinite(array).all() for array in arrays.values())
        scales = all((arrays[name] > 0).all() for name in ("state_std", "actions_std"))
        if not (finite and scales and sizes[0] == sizes[1] and sizes[2] == sizes[3]):
            raise ValueError("no statistics")
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise InputError(
            f"{STATISTICS_FILE} of the adapter {folder.name!r} cannot be read as the statistics that it was trained "
            "under. Copy the adapter again, or train it again."
        ) from None
    return Statistics(**arrays)
