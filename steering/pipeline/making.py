"""How a stage's result is made once, loaded with its type checked, and keyed by the policy's weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from steering import policy_cache
from steering.errors import InputError
from steering.store import Store
from steering.types import Demonstrations, FinetuneResult

Value = TypeVar("Value")
LOADING = 0.05
"""Share of a stage's progress that loading the policy takes."""


def made(store: Store, kind: str, parents: Sequence[str], params: Mapping[str, Any], make: Callable[[], object]) -> str:
    """The id of what was made of the same things before, or of what `make` makes now."""
    return store.find_made(kind, parents, params) or store.save(kind, make(), parents=parents, params=params)


def load(store: Store, artefact_id: str, expected: type[Value]) -> Value:
    """The artefact's value. Raises InputError where it is not of the `expected` dataclass."""
    return _of_type(store.load(artefact_id), artefact_id, expected)


def kept(store: Store, artefact_id: str, expected: type[Value]) -> Value:
    """`load`, of the one copy that the process keeps while questions come; it is not to be changed."""
    return _of_type(store.kept(artefact_id), artefact_id, expected)


def _of_type(value: object, artefact_id: str, expected: type[Value]) -> Value:
    if not isinstance(value, expected):
        raise InputError(f"Expected {expected.__name__}, but {artefact_id} holds {type(value).__name__}.")
    return value


def adapter_folder(store: Store, adapter_id: str) -> Path:
    """The folder of an adapter's weights, every file of which is as it was written. Raises Damaged where one is not."""
    result: FinetuneResult = load(store, adapter_id, FinetuneResult)
    store.check(adapter_id)
    return result.folder


def trained(store: Store, adapter_id: str | None) -> tuple[Path | None, Demonstrations | None]:
    """The adapter's folder, and the demonstrations whose statistics older adapters go by."""
    if adapter_id is None:
        return None, None
    return adapter_folder(store, adapter_id), load(store, store.manifest(adapter_id).parents[0], Demonstrations)


def weights(policy: str) -> dict[str, str]:
    """The policy's name and the fingerprint of its weights, as parameters of what it made."""
    return {"policy": policy, "weights": policy_cache.fingerprint(policy)}
