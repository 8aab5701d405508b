"""The store: every artefact is a folder with a manifest that says what it is, from what it came, and how.

    store = Store("runs")
    made = store.save("relevance", relevance, parents=[activations_id], params={"preset": "paper"})
    relevance = store.load(made)

A folder is written beside its place and renamed into it, so a killed process leaves no half artefact. The id is the
kind and a hash of content, parents and parameters: saving the same thing twice gives the same id and one folder.
Read-only stores (the samples) can be layered underneath. Costs one manifest read per artefact and
process, and one hash of every file that is read.

A manifest keeps the digest of every file beside it (`steering.integrity`). What is not as it was written is `Damaged`,
and `damaged` names it; making it again replaces it, and what was there is kept a month under `damaged/`. Artefacts
from before digests were written are read as they are.

A manifest names the version of the results of every room that it rests on (`steering.stages`), and its key holds them:
`find_made` never gives what older code made. Older artefacts stay readable, and `old_words` says that they are old.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from steering import integrity, stages
from steering.errors import InputError, NotFound
from steering.integrity import Damage, Damaged, Digests, fault_of, fault_of_file, signature, signatures
from steering.kept import Kept
from steering.manifest import MANIFEST, Manifest, key_of, plain_params, read, versions, write
from steering.owners import Owners
from steering.serialisation import Encoded, decode

_ID = re.compile(r"[a-z][a-z_]{1,40}-[0-9a-f]{16}")
_KIND = re.compile(r"[a-z][a-z_]{1,40}")
_DAY_S = 24 * 3600.0
_SWEPT_S = {"unfinished": _DAY_S, "checkpoints": 7 * _DAY_S, "damaged": 30 * _DAY_S}


class Store:
    """Artefacts under `root`, layered over the read-only stores `readonly`. Any number of processes may share it.

    owner: whose what is made here becomes (`steering.owners`), empty for the operator's.
    """

    def __init__(self, root: Path | str, readonly: Sequence[Path | str] = (), owner: str = "") -> None:
        self.root = Path(root).resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        self.readonly = tuple(Path(path).resolve() for path in readonly)
        self.owner, self.owners = owner, Owners(self.root)
        self._folders = (self.artefacts, *(path / "artefacts" for path in self.readonly))
        self._manifests: dict[str, tuple[tuple[int, int, int], Manifest]] = {}
        self._digests = Digests()
        self._kept = Kept()
        self._refused: dict[str, tuple[tuple[tuple[int, int, int], ...], str]] = {}

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
        if not self._sound(manifest.id):
            encoded.write()
            manifest = dataclasses.replace(manifest, files=integrity.recorded(folder, Digests()))
            write(manifest, folder)
            if (self.artefacts / manifest.id).is_dir() and not self._sound(manifest.id):
                self._move_aside(manifest.id)
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
        """The dataclass stored under `artefact_id`. Camera frames are decoded when first touched.

        Raises Damaged where a file is not as it was written, or cannot be read; from frames, when these are touched.
        """
        folder, manifest = self._checked(artefact_id, "at once")

        def check(path: Path) -> None:
            name, files = path.relative_to(folder).as_posix(), manifest.files or {}
            if name in files and (fault := fault_of_file(folder, name, files, self._digests)):
                raise Damaged(Damage(artefact_id, fault, manifest.parents))

        try:
            return decode(folder, check)
        except Damaged:
            raise
        except InputError as error:
            self._refused[artefact_id] = (signatures(folder), str(error).rstrip("."))
            raise Damaged(Damage(artefact_id, str(error).rstrip("."), manifest.parents)) from None

    def kept(self, artefact_id: str, what: str = "", make: Callable[[], Any] | None = None) -> Any:
        """What `load` gives, kept in this process for the next question: one copy, whoever asks. Not to be changed.

        what, make: something else that rests on the artefact, and how it is made.
        """
        name = f"{artefact_id} {what}" if what else artefact_id
        return self._kept.get(name, self._found(artefact_id), make or (lambda: self.load(artefact_id)))

    def forget(self) -> None:
        """Keep nothing in memory."""
        self._kept.clear()

    def check(self, artefact_id: str) -> None:
        """Hash every file of an artefact, also large ones that `load` leaves to whoever reads them. Raises Damaged.

        One from before digests were written is read instead.
        """
        if self._checked(artefact_id, "all")[1].files is None:
            self.load(artefact_id)

    def manifest(self, artefact_id: str) -> Manifest:
        """The manifest of `artefact_id`; NotFound when there is no such artefact, Damaged when it cannot be read."""
        folder, now = self._found(artefact_id)
        known = self._manifests.get(artefact_id)
        if known is None or known[0] != now:
            try:
                known = self._manifests[artefact_id] = (now, read(folder))
            except InputError as error:
                raise Damaged(Damage(artefact_id, str(error).rstrip("."))) from None
        return known[1]

    def folder(self, artefact_id: str) -> Path:
        """The folder of `artefact_id`, to be read only; NotFound when there is no such artefact."""
        return self._found(artefact_id)[0]

    def find(self, kind: str) -> list[Manifest]:
        """The manifests of `kind` that this store shows, newest first: all of them. `damaged` names broken ones."""
        return self.everybodys(kind)

    def everybodys(self, kind: str) -> list[Manifest]:
        """Every manifest of `kind`, newest first, read-only stores included. `damaged` names those that are broken."""
        found: list[Manifest] = []
        for artefact_id in self.ids(kind):
            try:
                found.append(self.manifest(artefact_id))
            except (InputError, NotFound):
                continue
        return sorted(found, key=lambda manifest: manifest.created, reverse=True)

    def ids(self, kind: str = "") -> list[str]:
        """The ids of every artefact, or of those of `kind`, whole or not; read-only stores included."""
        names = {path.name for root in self._folders if root.is_dir() for path in root.iterdir()}
        return sorted(name for name in names if _ID.fullmatch(name) and kind in ("", name.rpartition("-")[0]))

    def damaged(self, kind: str = "") -> list[Damage]:
        """Artefacts, or those of `kind`, that are known to be broken: by the manifest, by files that are missing or
        of another size, and by what this process has read. What was made again since is left out. Hashes nothing;
        microseconds a file.
        """
        broken: list[tuple[str, Damage]] = []
        whole = set()
        for artefact_id in self.ids(kind):
            key = ""
            try:
                key = self.manifest(artefact_id).key
                self._checked(artefact_id, "known")
                whole.add(key)
            except Damaged as error:
                broken.append((key, error.damage))
            except NotFound:
                continue  # deleted meanwhile
        return [damage for key, damage in broken if key not in whole]

    def find_made(
        self, kind: str, parents: Sequence[str], params: Mapping[str, Any], *, claim: bool = True
    ) -> str | None:
        """The id of what code of the versions that stand here made from the same parents and parameters, or None.
        What is found is claimed for this store's owner unless that is switched off.

        A sample from before versions were written counts as made by version 1 of its rooms, as a test of the samples
        proves; anything else without versions counts as older than all.
        """
        key, before = self.work_key(kind, parents, params), key_of([kind, list(parents), plain_params(params)])
        first = all(version == 1 for version in stages.current(kind, params).values())
        for manifest in self.everybodys(kind):
            sample = manifest.stages is None and first and self.is_sample(manifest.id)
            if manifest.key == (before if sample else key) and self._sound(manifest.id):
                if claim:
                    self.claim(manifest.id)
                return manifest.id
        return None

    def work_key(self, kind: str, parents: Sequence[str], params: Mapping[str, Any]) -> str:
        """SHA-256 (hex) that names a piece of work before it is done: kind, parents, parameters and versions."""
        own, all_of_them = stages.current(kind, params), self._rests_on(kind, parents, params)
        return key_of([kind, list(parents), plain_params(params), own, all_of_them])

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
        return stages.old_words(self.stages(artefact_id))

    def everything(self) -> list[Manifest]:
        """Every manifest, newest first, read-only stores included."""
        kinds = {one.rpartition("-")[0] for one in self.ids()}
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
        self._digests.forget(folder)
        shutil.rmtree(grave, ignore_errors=True)

    def set_aside(self, artefact_id: str) -> Path | None:
        """Move a damaged artefact of `root` out of the way; where it lies now, None where there is none of that id."""
        if not (_ID.fullmatch(artefact_id) and (self.artefacts / artefact_id).is_dir()):
            return None
        if self._sound(artefact_id):
            raise InputError(f"{artefact_id} is as it was written, so it stays. Only what is damaged is set aside.")
        return self._move_aside(artefact_id)

    def sweep(self) -> None:
        """Remove what was left unfinished a day ago, checkpoints of a week, and what was damaged after a month."""
        for name, age_s in _SWEPT_S.items():
            for folder in (self.root / name).glob("*"):
                try:
                    if time.time() - folder.stat().st_mtime > age_s:
                        shutil.rmtree(folder, ignore_errors=True)
                except FileNotFoundError:
                    continue

    def _where(self, artefact_id: str) -> Path | None:
        """The folder of an artefact with a manifest that can be read; else None."""
        try:
            self.manifest(artefact_id)
            return self.folder(artefact_id)
        except (Damaged, NotFound):
            return None

    def _found(self, artefact_id: str) -> tuple[Path, tuple[int, int, int]]:
        """The folder of an artefact, and the signature of its manifest."""
        known = isinstance(artefact_id, str) and _ID.fullmatch(artefact_id)
        places = [root / artefact_id for root in self._folders] if known else []
        for folder in places:
            try:
                return folder, signature(folder / MANIFEST)
            except OSError:
                continue
        if any(folder.is_dir() for folder in places):
            raise Damaged(Damage(artefact_id, f"{MANIFEST} is missing"))
        raise NotFound(
            f"There is no artefact {str(artefact_id)[:60]!r} in this store. It may have been deleted, or the link "
            "may come from another workbench; open the list and choose again."
        )

    def _checked(self, artefact_id: str, hashed: Literal["all", "at once", "known"]) -> tuple[Path, Manifest]:
        """Folder and manifest of an artefact whose files are as they were written; see `integrity.fault_of`."""
        folder, manifest = self.folder(artefact_id), self.manifest(artefact_id)
        if manifest.files is not None and (fault := fault_of(folder, manifest.files, self._digests, hashed)):
            raise Damaged(Damage(artefact_id, fault, manifest.parents))
        seen, fault = self._refused.get(artefact_id, (None, ""))
        if hashed == "known" and seen == signatures(folder):
            raise Damaged(Damage(artefact_id, fault, manifest.parents))
        return folder, manifest

    def _sound(self, artefact_id: str) -> bool:
        """Whether the artefact is there and can be used."""
        try:
            if self._checked(artefact_id, "at once")[1].files is None:
                self.load(artefact_id)
        except (Damaged, NotFound):
            return False
        return True

    def _move_aside(self, artefact_id: str) -> Path | None:
        folder, aside = self.artefacts / artefact_id, self.root / "damaged" / f"{artefact_id}-{uuid.uuid4().hex[:8]}"
        aside.parent.mkdir(exist_ok=True)
        try:
            folder.rename(aside)
        except FileNotFoundError:
            return None  # another process did so first
        os.utime(aside)  # is kept from now
        self._digests.forget(folder)
        return aside

    def is_sample(self, artefact_id: str) -> bool:
        """Whether an artefact lies in a read-only store; NotFound when there is none."""
        return self.folder(artefact_id).parent != self.artefacts

    def _rests_on(self, kind: str, parents: Sequence[str], params: Mapping[str, Any]) -> dict[str, int]:
        known = (self.stages(one) for one in parents if self._where(one))
        return stages.lowest(stages.current(kind, params), *known)


def _rename(folder: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(target)
    except OSError:
        if not (target / MANIFEST).is_file():  # another process may have stored the same thing first
            raise
