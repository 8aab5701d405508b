"""What to tell of a disk that is full, read-only or somebody else's: one sentence that names what to do."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

from steering.errors import InputError

LITTLE_BYTES = 1 << 30
"""Free disk below which a finetune or an import may not find room."""


def disk_words(error: OSError) -> str | None:
    """The sentence for an error of the disk; None for errors of another kind."""
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full{place}. Delete what you no longer need, or set STEERING_STORE to a larger disk."
    if error.errno == errno.EROFS:
        return f"The disk can only be read{place}. Set STEERING_STORE to a folder on another one."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"This may not be written{place}. Make the folder yours, or set STEERING_STORE to one that is."
    return None


def check_writable(root: Path) -> None:
    """Raise InputError, with what to do, where a store cannot be kept in `root`. Makes the folder; milliseconds."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root) as file:
            file.write(bytes(4096))
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(root)
        words = disk_words(error) or f"{root} cannot be used ({error}). Set STEERING_STORE to another folder."
        raise InputError(f"Results cannot be kept: {words}") from None


def free_bytes(root: Path) -> int:
    """Free disk where `root` lies."""
    return shutil.disk_usage(root).free
