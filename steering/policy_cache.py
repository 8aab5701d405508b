"""The policies in memory, by (source, adapter): loading takes a second for the embedded one, a minute for π0.

The most recent stay while they fit into MAX_BYTES; the last one always stays. Also says which weights a source
names, so that results of other weights are never taken for these.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steering.models.pi0 import PI0Policy

MAX_BYTES = 2 << 30
_HASHED_IN_FULL_BYTES = 512 << 20
_WEIGHTS = ("*.json", "*.safetensors", "*.bin")

_cache: OrderedDict[tuple[str, str], PI0Policy] = OrderedDict()


def get(source: str = "embedded", adapter: Path | None = None) -> PI0Policy:
    """The policy of `source` (embedded, folder or hub id) with `adapter` (a PEFT folder) merged in, loaded once."""
    from steering.models.loading import load_policy

    key = (fingerprint(source), str(adapter or ""))
    if key not in _cache:
        _cache[key] = load_policy(source, adapter)
        while len(_cache) > 1 and sum(map(_bytes, _cache.values())) > MAX_BYTES:
            _cache.popitem(last=False)
    _cache.move_to_end(key)
    return _cache[key]


def forget() -> None:
    """Drop every policy, after which their memory is free."""
    _cache.clear()


def fingerprint(source: str) -> str:
    """Names the weights behind `source`: a hash of the folder's files, or the commit of a downloaded hub id.

    Folders above 512 MB are told apart by their files' names, sizes and times instead of their bytes.
    """
    from steering.models.loading import EMBEDDED, EMBEDDED_FOLDER

    folder = EMBEDDED_FOLDER if source == EMBEDDED else Path(source)
    if not folder.is_dir():
        return _hub_commit(source)
    files = sorted(file for pattern in _WEIGHTS for file in folder.glob(pattern))
    in_full = sum(file.stat().st_size for file in files) <= _HASHED_IN_FULL_BYTES
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        digest.update(file.read_bytes() if in_full else f"{file.stat().st_size} {file.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


def _hub_commit(source: str) -> str:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(source, "config.json")
    except HFValidationError:
        found = None  # not a hub id; loading says so with words
    return f"{source}@{Path(found).parent.name}" if isinstance(found, str) else source


def _bytes(policy: PI0Policy) -> int:
    return int(policy.model.get_memory_footprint())
