"""The store: every artefact is a folder with a manifest that says what it is, from what it came, and how.

    store = Store("runs")
    made = store.save("relevance", relevance, parents=[activations_id], params={"preset": "paper"})
    relevance = store.load(made)

A folder is written beside its place and renamed into it, so a killed process leaves no half artefact. The id is the
kind and a hash of content, parents and parameters: saving the same thing twice gives the same id and one folder.
Read-only stores (the samples) can be layered underneath. Costs one manifest read per artefact and process.

A manifest names the version of the results of every room that it rests on (`steering.stages`), and its key holds them:
`find_made` never gives what older code made. Older artefacts stay readable, and `old_words` says that they are old.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import re
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import steering
from steering import stages
from steering.errors import InputError, NotFound
from steering.owners import Owners
from steering.serialisation import Encoded, decode, read_json

MANIFEST = "manifest.json"
LIBRARIES = ("numpy", "torch", "transformers", "peft", "mujoco")
_ID = re.compile(r"[a-z][a-z_]{1,40}-[0-9a-f]{16}")
_KIND = re.compile(r"[a-z][a-z_]{1,40}")
_ABANDONED_S = 24 * 3600.0


@dataclass(frozen=True)
class Manifest:
    """What an artefact is. `created` is UTC in ISO 8601; `key` identifies the work: kind, parents, params and
    the versions of the rooms that it rests on.

    versions: library -> version, of those that were loaded when the artefact was made. stages: room -> version of its
    results, the lowest of this artefact's own and of its parents'; None in manifests from before these were written.
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


class Store:
    """Artefacts under `root`, layered over the read-only stores `readonly`. Any number of processes may share it.

    owner: whose what is made here becomes (`steering.owners`), empty for the operator's.
    """

    def __init__(self, root: Path | str, readonly: Sequence[Path | str] = (), owner: str = "") -> None:
        self.root = Path(root).resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        self.readonly = tuple(Path(path).resolve() for path in readonly)
        self.owner, self.owners = owner, Owners(self.root)
        self._manifests: dict[str, Manifest] = {}

    @property
    def artefacts(self) -> Path:
        """The folder that holds the artefact folders of `root`."""
        return self.root / "artefacts"

    def owned_by(self, owner: str) -> Store:
        """The same store for the work of `owner`."""
        other = copy.copy(self)
        other.owner = owner
        return other

    def claim(self, artefact_id: str) -> None:
        """Let an artefact be this store's owner's, and keep what of theirs it was made from as long as it."""
        if not self.owner or self.is_sample(artefact_id):
            return
        self.owners.add(self.owner, artefact_id)
        own = self.owners.own(self.owner)
        waiting = list(self.manifest(artefact_id).parents)
        while waiting:
            parent = waiting.pop()
            if self._where(parent):
                waiting += self.manifest(parent).parents
                if parent in own:
                    self.owners.add(self.owner, parent)

    def save(
        self,
        kind: str,
        value: object,
        *,
        parents: Sequence[str] = (),
        params: Mapping[str, Any] | None = None,
        folder: Path | None = None,
    ) -> str:
        """Store the dataclass `value` and return its id.

        params: everything besides the parents that decided the value, JSON-able. folder: one from `new_folder`,
        whose files become part of the artefact; paths in `value` must lie inside it.
        """
        if not _KIND.fullmatch(kind):
            raise InputError(f"An artefact's kind is lower-case letters and underscores, not {kind!r}.")
        for parent in parents:
            self.manifest(parent)
        if folder is None:
            with self.new_folder(kind) as folder:
                return self.save(kind, value, parents=parents, params=params, folder=folder)
        key, plain = self.work_key(kind, parents, params or {}), plain_params(params or {})
        encoded = Encoded(value, folder)
        digest = hashlib.sha256(f"{key} {encoded.digest}".encode())
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
        manifest = Manifest(
            id=f"{kind}-{digest.hexdigest()[:16]}",
            kind=kind,
            created=datetime.now(UTC).isoformat(timespec="microseconds"),
            parents=tuple(parents),
            params=plain,
            seed=plain["seed"] if isinstance(plain.get("seed"), int) else None,
            versions=versions(),
            key=key,
            stages=self._rests_on(kind, parents, plain),
        )
        if self._where(manifest.id) is None:
            encoded.write()
            text = json.dumps(dataclasses.asdict(manifest), indent=1)
            (folder / MANIFEST).write_text(text, encoding="utf-8")
            _rename(folder, self.artefacts / manifest.id)
        self.claim(manifest.id)
        return manifest.id

    @contextmanager
    def new_folder(self, kind: str) -> Iterator[Path]:
        """A fresh folder for an artefact with files of its own; pass it to `save`. Removed if it was not saved."""
        folder = self.root / "unfinished" / f"{kind}-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def checkpoints(self, key: str) -> Path:
        """A folder that outlives the process, for the checkpoints of the work `key` (see `work_key`)."""
        folder = self.root / "checkpoints" / key[:32]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def load(self, artefact_id: str) -> Any:
        """The dataclass stored under `artefact_id`. Camera frames are decoded when first touched."""
        return decode(self.folder(artefact_id))

    def manifest(self, artefact_id: str) -> Manifest:
        """The manifest of `artefact_id`; NotFound when there is no such artefact."""
        if artefact_id not in self._manifests:
            self._manifests[artefact_id] = _read_manifest(self.folder(artefact_id))
        return self._manifests[artefact_id]

    def folder(self, artefact_id: str) -> Path:
        """The folder of `artefact_id`, to be read only; NotFound when there is no such artefact."""
        found = self._where(artefact_id)
        if found is None:
            raise NotFound(
                f"There is no artefact {str(artefact_id)[:60]!r} in this store. It may have been deleted, or the link "
                "may come from another workbench; open the list and choose again."
            )
        return found

    def find(self, kind: str) -> list[Manifest]:
        """The manifests of `kind` that this store shows, newest first: all of them. Damaged folders are left out."""
        return self.everybodys(kind)

    def everybodys(self, kind: str) -> list[Manifest]:
        """Every manifest of `kind`, newest first, read-only stores included. Damaged folders are left out."""
        found: dict[str, Manifest] = {}
        for root in (self.artefacts, *(path / "artefacts" for path in self.readonly)):
            for folder in root.glob(f"{kind}-*") if root.is_dir() else ():
                if folder.name.rpartition("-")[0] != kind or not _ID.fullmatch(folder.name):
                    continue
                try:
                    found.setdefault(folder.name, self.manifest(folder.name))
                except (InputError, NotFound):
                    continue
        return sorted(found.values(), key=lambda manifest: manifest.created, reverse=True)

    def find_made(
        self, kind: str, parents: Sequence[str], params: Mapping[str, Any], *, claim: bool = True
    ) -> str | None:
        """The id of what code of the versions that stand here made from the same parents and parameters, or None.
        What is found is claimed for this store's owner unless that is switched off.

        A sample from before versions were written counts as made by version 1 of its rooms, as a test of the samples
        proves; anything else without versions counts as older than all.
        """
        key, before = self.work_key(kind, parents, params), _key([kind, list(parents), plain_params(params)])
        first = all(version == 1 for version in stages.current(kind, params).values())
        for manifest in self.everybodys(kind):
            sample = manifest.stages is None and first and self.is_sample(manifest.id)
            if manifest.key == (before if sample else key):
                if claim:
                    self.claim(manifest.id)
                return manifest.id
        return None

    def work_key(self, kind: str, parents: Sequence[str], params: Mapping[str, Any]) -> str:
        """SHA-256 (hex) that names a piece of work before it is done: kind, parents, parameters and versions."""
        own, all_of_them = stages.current(kind, params), self._rests_on(kind, parents, params)
        return _key([kind, list(parents), plain_params(params), own, all_of_them])

    def stages(self, artefact_id: str) -> dict[str, int]:
        """Room -> version of its results that an artefact rests on. Without a record 1 for samples, 0 for others."""
        manifest = self.manifest(artefact_id)
        if manifest.stages is not None:
            return dict(manifest.stages)
        version = int(self.is_sample(artefact_id))
        own = dict.fromkeys(stages.rooms_of(manifest.kind, manifest.params), version)
        return stages.lowest(own, *(self.stages(one) for one in manifest.parents if self._where(one)))

    def old_words(self, artefact_id: str) -> str:
        """A sentence that names what an older version computed, and what to do; empty for an artefact of today."""
        moved = [
            f"{name} (version {version or 'unknown'}, now {stages.ROOMS[name].RESULTS})"
            for name, version in self.stages(artefact_id).items()
            if name in stages.ROOMS and version < stages.ROOMS[name].RESULTS
        ]
        if not moved:
            return ""
        return f"Made by an older version of this workbench: {', '.join(moved)}. Make it again for results of today."

    def everything(self) -> list[Manifest]:
        """Every manifest, newest first, read-only stores included."""
        kinds = {path.name.rpartition("-")[0] for path in self._folders()}
        found = [manifest for kind in kinds for manifest in self.everybodys(kind)]
        return sorted(found, key=lambda manifest: manifest.created, reverse=True)

    def children(self, artefact_id: str) -> list[Manifest]:
        """Every manifest that names `artefact_id` as a parent, newest first."""
        return [manifest for manifest in self.everything() if artefact_id in manifest.parents]

    def delete(self, artefact_id: str) -> None:
        """Delete an artefact of `root`; refused for samples and for artefacts that others were made from."""
        folder = self.folder(artefact_id)
        if folder.parent != self.artefacts:
            raise InputError(f"{artefact_id} belongs to the samples, which cannot be deleted.")
        if children := self.children(artefact_id):
            raise InputError(f"{artefact_id} is needed by {children[0].id}; delete that first.")
        grave = self.root / "unfinished" / f"deleted-{uuid.uuid4().hex}"
        grave.parent.mkdir(exist_ok=True)
        folder.rename(grave)
        self.owners.forget(artefact_id)
        self._manifests.pop(artefact_id, None)
        shutil.rmtree(grave, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what killed processes left unfinished more than a day ago; checkpoints are kept a week."""
        for name, age_s in (("unfinished", _ABANDONED_S), ("checkpoints", 7 * _ABANDONED_S)):
            for folder in (self.root / name).glob("*"):
                try:
                    if time.time() - folder.stat().st_mtime > age_s:
                        shutil.rmtree(folder, ignore_errors=True)
                except FileNotFoundError:
                    continue

    def _where(self, artefact_id: str) -> Path | None:
        if not (isinstance(artefact_id, str) and _ID.fullmatch(artefact_id)):
            return None
        places = (root / artefact_id for root in (self.artefacts, *(path / "artefacts" for path in self.readonly)))
        return next((path for path in places if (path / MANIFEST).is_file()), None)

    def is_sample(self, artefact_id: str) -> bool:
        """Whether an artefact lies in a read-only store; NotFound when there is none."""
        return self.folder(artefact_id).parent != self.artefacts

    def _rests_on(self, kind: str, parents: Sequence[str], params: Mapping[str, Any]) -> dict[str, int]:
        known = (self.stages(one) for one in parents if self._where(one))
        return stages.lowest(stages.current(kind, params), *known)

    def _folders(self) -> Iterator[Path]:
        for root in (self.artefacts, *(path / "artefacts" for path in self.readonly)):
            yield from (path for path in root.glob("*-*") if root.is_dir())


def _key(content: list[Any]) -> str:
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


def _read_manifest(folder: Path) -> Manifest:
    raw = read_json(folder / MANIFEST)
    names = {field.name for field in dataclasses.fields(Manifest)}
    if not (isinstance(raw, dict) and names - {"stages"} <= set(raw) <= names):
        raise InputError(f"{folder.name}/{MANIFEST} is not a manifest of this workbench.")
    text = all(isinstance(raw[name], str) for name in ("id", "kind", "created", "key"))
    parents = isinstance(raw["parents"], list) and all(isinstance(p, str) for p in raw["parents"])
    mappings = isinstance(raw["params"], dict) and isinstance(raw["versions"], dict)
    seed = raw["seed"] is None or isinstance(raw["seed"], int)
    recorded = raw.get("stages")
    numbered = recorded is None or (isinstance(recorded, dict) and all(type(v) is int for v in recorded.values()))
    if not (text and parents and mappings and seed and numbered and raw["id"] == folder.name):
        raise InputError(f"{folder.name}/{MANIFEST} is damaged: its fields do not have the types of a manifest.")
    return Manifest(**{**raw, "parents": tuple(raw["parents"])})


def _rename(folder: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(target)
    except OSError:
        if not (target / MANIFEST).is_file():  # another process may have stored the same thing first
            raise
