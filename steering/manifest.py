"""Manifests: what an artefact is, from what it came and how, as one JSON file beside its content.

A manifest keeps a digest of itself and of every file beside it (`steering.integrity`); those from before these were
written are read as they are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import steering
from steering.errors import InputError
from steering.integrity import digest_of, files_of
from steering.serialisation import read_json

MANIFEST = "manifest.json"
LIBRARIES = ("numpy", "torch", "transformers", "peft", "mujoco")
_LATER = {"stages", "files", "digest"}  # fields that manifests of older versions lack


@dataclass(frozen=True)
class Manifest:
    """What an artefact is. `created` is UTC in ISO 8601; `key` identifies the work: kind, parents, params and
    the versions of the rooms that it rests on.

    versions: library -> version, of those that were loaded when the artefact was made. stages: room -> version of its
    results, the lowest of this artefact's own and of its parents'; None in manifests from before these were written.
    files: name of a file beside the manifest -> its bytes and SHA-256, likewise; digest: of this manifest itself.
    """

    id: str
    kind: str
    created: str
    parents: tuple[str, ...]
    params: Mapping[str, Any]
    seed: int | None
    versions: Mapping[str, str]
    key: str
    stages: Mapping[str, int] | None = None
    files: Mapping[str, tuple[int, str]] | None = None
    digest: str = ""


def read(folder: Path) -> Manifest:
    """The manifest of an artefact's folder; InputError where it cannot be read or is not as it was written."""
    raw = read_json(folder / MANIFEST)
    names = {field.name for field in dataclasses.fields(Manifest)}
    if not (isinstance(raw, dict) and names - _LATER <= set(raw) <= names and ("files" in raw) == ("digest" in raw)):
        raise InputError(f"{MANIFEST} is not a manifest of this workbench.")
    if "digest" in raw and raw["digest"] != digest_of(raw):
        raise InputError(f"{MANIFEST} is not as it was written.")
    files = files_of(raw["files"]) if "files" in raw else {}
    text = all(isinstance(raw[name], str) for name in ("id", "kind", "created", "key"))
    parents = isinstance(raw["parents"], list) and all(isinstance(p, str) for p in raw["parents"])
    mappings = isinstance(raw["params"], dict) and isinstance(raw["versions"], dict)
    seed = raw["seed"] is None or isinstance(raw["seed"], int)
    recorded = raw.get("stages")
    numbered = recorded is None or (isinstance(recorded, dict) and all(type(v) is int for v in recorded.values()))
    named = files is not None and raw["id"] == folder.name
    if not (text and parents and mappings and seed and numbered and named):
        raise InputError(f"{MANIFEST} does not have the fields of a manifest.")
    return Manifest(**{**raw, "parents": tuple(raw["parents"]), "files": files if "files" in raw else None})


def write(manifest: Manifest, folder: Path) -> None:
    """Write the manifest into an artefact's folder, with its digest."""
    document = dataclasses.asdict(manifest)
    document["digest"] = digest_of(document)
    (folder / MANIFEST).write_text(json.dumps(document, indent=1), encoding="utf-8")


def key_of(content: list[Any]) -> str:
    """SHA-256 (hex) of plain values: names a piece of work."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` as plain JSON values; dataclasses become mappings and tuples lists."""

    def plain(value: object) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return dataclasses.asdict(value)
        raise InputError(f"A parameter of an artefact must be plain data, not {type(value).__name__}.")

    result: dict[str, Any] = json.loads(json.dumps(dict(params), default=plain))
    return result


def versions() -> dict[str, str]:
    """Versions of this package and of those LIBRARIES that are loaded in this process."""
    loaded = {name: metadata.version(name) for name in LIBRARIES if name in sys.modules}
    return {"steering": steering.__version__, **loaded}
