"""The policies in memory, by (source, adapter): loading takes a second for the embedded one, a minute for π0.

The most recent stay while they fit into MAX_BYTES; the last one always stays. Also says which weights a source
names, so that results of other weights are never taken for these.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steering import hub
from steering.errors import SteeringError
from steering.progress import Progress

if TYPE_CHECKING:
    from steering.models.flow import FlowPolicy
    from steering.types import Demonstrations

MAX_BYTES = 2 << 30
_HASHED_IN_FULL_BYTES = 512 << 20
_WEIGHTS = ("*.json", "*.safetensors", "*.bin")

_cache: OrderedDict[tuple[str, str], FlowPolicy] = OrderedDict()


def get(
    source: str = "embedded",
    adapter: Path | None = None,
    statistics_from: Demonstrations | None = None,
    progress: Progress | None = None,
    *,
    heldout: Sequence[int] | None = None,
    strength: float = 1.0,
) -> FlowPolicy:
    """The policy of `source` (embedded, folder or hub id) with `adapter` (a PEFT folder) merged in, loaded once.

    `statistics_from`: demonstrations that normalise where neither the adapter nor the checkpoint brings statistics that
    fit them; give them wherever there are some. `heldout`: indices of their episodes that have no part in it, by
    default those that finetuning leaves out (`Demonstrations.split`). `strength`: the share of the adapter's change of
    every weight that is made, 0 to 1. Notices of the policy are reported to `progress`.
    """
    from steering.models.loading import fitting_statistics, load_policy

    if statistics_from is not None and statistics_from.episodes:
        statistics_from = statistics_from.without(statistics_from.split(heldout)[1])
    adapter = adapter if strength else None
    weaker = f" × {strength:g}" if adapter and strength < 1 else ""
    key = (fingerprint(source), f"{adapter or ''}{weaker}")
    if key not in _cache:
        _make_room(source)
        _cache[key] = load_policy(source, adapter, statistics_from, progress, strength=strength)
        while len(_cache) > 1 and sum(map(_bytes, _cache.values())) > MAX_BYTES:
            _cache.popitem(last=False)
    _cache.move_to_end(key)
    policy = _cache[key]
    statistics, notice = fitting_statistics(
        policy.own_statistics, statistics_from, source, policy.normalisation, trained=policy.trained
    )
    if statistics is not policy.preprocessor.statistics:
        policy = policy.with_statistics(statistics, notice)
    if progress is not None:
        for notice in policy.notices:
            progress.report(0.0, notice)
    return policy


def _make_room(source: str) -> None:
    """Drop the others before a policy is loaded that leaves no room for them."""
    from steering.models.checkpoint import open_checkpoint

    if _cache and 2 * open_checkpoint(source).elements > MAX_BYTES:
        _cache.clear()


def forget() -> None:
    """Drop every policy, after which their memory is free."""
    _cache.clear()


def fingerprint(source: str) -> str:
    """Names the weights behind `source`: a hash of the folder's files, or the commit of a downloaded hub id.

    Folders above 512 MB are told apart by their files' names, sizes and times instead of their bytes.
    """
    from steering.models.checkpoint import EMBEDDED, EMBEDDED_FOLDER

    repository = hub.named(source)
    if repository is not None:
        return _hub_commit(repository)
    folder = EMBEDDED_FOLDER if source == EMBEDDED else Path(source)
    if not folder.is_dir():
        return source  # loading says with words that there is none
    files = sorted(file for pattern in _WEIGHTS for file in folder.glob(pattern))
    in_full = sum(file.stat().st_size for file in files) <= _HASHED_IN_FULL_BYTES
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        digest.update(file.read_bytes() if in_full else f"{file.stat().st_size} {file.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


def _hub_commit(repository: hub.Repository) -> str:
    from huggingface_hub import try_to_load_from_cache

    from steering.models.checkpoint import open_checkpoint

    source, cache = repository.source, repository.access["cache_dir"]
    try:
        found = try_to_load_from_cache(repository.id, "config.json", cache_dir=cache)
        commit = Path(found).parent.name if isinstance(found, str) else open_checkpoint(source).folder.name
    except SteeringError:
        return source  # out of reach; loading says so with words
    return f"{source}@{commit}"


def _bytes(policy: FlowPolicy) -> int:
    return sum(parameter.nbytes for parameter in policy.model.parameters())
