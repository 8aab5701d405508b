"""Which policy a page works with: the server's first, the embedded one, an allowed folder, or a hub id.

Browsers name policies by keys and never by paths: `embedded`, `folder:NAME` under one of the roots that the operator
allows, `server:NAME` for the folder that the server was started with, or a hub id. Every event of a page brings its key
(`app.tabs.policies.bind`), which stands in a context variable while the event is handled, so two browsers may work with
two policies. A key becomes usable once its check, a job, has loaded it; a hub id of whoever is signed in is
what opens to them, checked for them alone. Looking through the roots costs milliseconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from app.costs import PolicySize, policy_size
from app.damage import unless_damaged
from app.visitors import account
from steering import hub
from steering.errors import InputError, NotFound, SteeringError
from steering.integrity import Damaged
from steering.jobs.client import Jobs
from steering.manifest import Manifest
from steering.models.checkpoint import EMBEDDED, EMBEDDED_FOLDER
from steering.store import Store
from steering.types import PolicyCheck

FOLDERS = "STEERING_POLICY_FOLDERS"
"""Environment variable: folders, separated as in PATH, whose policies browsers may open."""
EMBEDDED_NAME = "Embedded small π0"
FOLDER, SERVER = "folder:", "server:"
_DEEPEST, _MOST, _SCAN_S = 3, 100, 2.0

_chosen: ContextVar[tuple[str, str] | None] = ContextVar("chosen_policy", default=None)  # its key and source


@dataclass(frozen=True)
class Choice:
    """A policy that can be chosen. size: None before its check where that needs the hub; usable: it was checked."""

    key: str
    name: str
    usable: bool
    size: PolicySize | None = None


def allowed_roots() -> tuple[Path, ...]:
    """The folders that FOLDERS names, where they exist."""
    named = os.environ.get(FOLDERS, "").split(os.pathsep)
    return tuple(path for path in map(Path, filter(None, named)) if path.is_dir())


class Policies:
    """The policies of a server. start: the source of the first one; roots: what `folder:` keys lie under."""

    def __init__(self, store: Store, jobs: Jobs, start: str = EMBEDDED, roots: Sequence[Path] = ()) -> None:
        self._store, self._jobs, self._start = store, jobs, start
        self._roots = tuple(Path(root) for root in roots)
        whole = start == EMBEDDED or hub.named(start) is not None
        self.start_key = hub.shown(start) if whole else f"{SERVER}{Path(start).name}"
        self._scanned: tuple[float, dict[str, Path]] = (-1e9, {})

    @contextmanager
    def using(self, key: str) -> Iterator[None]:
        """Work with the policy of `key` while the context is open; with the first one where it cannot be used."""
        key = key if key and self.usable(key) else self.start_key
        token = _chosen.set((key, self.source_of(key)))
        try:
            yield
        finally:
            _chosen.reset(token)

    @property
    def key(self) -> str:
        """The key of the policy in use."""
        chosen = _chosen.get()
        return chosen[0] if chosen else self.start_key

    @property
    def source(self) -> str:
        """Its source, as `steering.models.loading` knows it."""
        chosen = _chosen.get()
        return chosen[1] if chosen else self._start

    def source_of(self, key: str) -> str:
        """The source of a key. Raises NotFound for what is none, or not allowed."""
        if key == self.start_key:
            return self._start
        if key == EMBEDDED and (EMBEDDED_FOLDER / "config.json").is_file():
            return EMBEDDED
        if key.startswith(FOLDER):
            found = self._folders().get(key)
            if found is not None:
                return str(found)
            raise NotFound(
                f"There is no policy folder {key.removeprefix(FOLDER)!r} on this server. Folders that may be opened "
                f"are those under {FOLDERS}, which whoever runs the server sets."
            )
        if hub.is_id(key):
            return hub.marked(key, account())
        raise NotFound(
            "Expected the id of a policy on the hub, such as lerobot/pi0_base: an owner, a slash and a name. "
            f"Got {key[:80]!r}."
        )

    def name(self, key: str) -> str:
        """What people call it."""
        if key == EMBEDDED:
            return EMBEDDED_NAME
        return key.removeprefix(FOLDER).removeprefix(SERVER)

    def size(self, key: str | None = None) -> PolicySize:
        """Sizes of a policy, by default of the one in use; NotFound where it is not there."""
        key = key or self.key
        return policy_size(self.source_of(key), self.name(key))

    def usable(self, key: str) -> bool:
        """Whether events may work with it: the first policy, or one whose check has loaded it."""
        if key == self.start_key:
            return True
        try:
            source = self.source_of(key)
        except SteeringError:
            return False
        return any(manifest.params.get("policy") == source for manifest in self._store.everybodys("policy"))

    def check_of(self, key: str) -> PolicyCheck | None:
        """The newest check of a policy."""
        source = self.source_of(key)
        for manifest in self._store.everybodys("policy"):
            if manifest.params.get("policy") == source:
                value = unless_damaged(self._store.load, manifest.id)
                if isinstance(value, PolicyCheck):
                    return value
        return None

    def choices(self) -> list[Choice]:
        """Everything that can be chosen: the first policy, the embedded one, allowed folders, hub ids once checked."""
        keys = [self.start_key]
        if (EMBEDDED_FOLDER / "config.json").is_file():
            keys.append(EMBEDDED)
        keys += self._folders()
        checked = (str(m.params.get("policy")) for m in self._store.find("policy"))
        keys += [key for source in checked if source.startswith(hub.MARK) and (key := self.key_of(source))]
        known = [key for key in dict.fromkeys(keys) if key in keys[:2] or key.startswith(FOLDER) or hub.is_id(key)]
        return [self._choice(key) for key in known]

    def _choice(self, key: str) -> Choice:
        usable = self.usable(key)
        try:
            return Choice(key, self.name(key), usable, None if hub.is_id(key) and not usable else self.size(key))
        except SteeringError:
            return Choice(key, self.name(key), usable)

    def open(self, owner: str, key: str, demonstrations_id: str) -> str:
        """Queue the check of a policy; the job's id."""
        key = key.strip()
        if not key:
            raise InputError("Name a policy first: the id of one on the hub, such as lerobot/pi0_base.")
        source = self.source_of(key)
        return self._jobs.submit("open_policy", owner=owner, policy=source, demonstrations_id=demonstrations_id or None)

    def key_of(self, source: str) -> str:
        """The key of a source; empty where browsers may not name it."""
        if source == self._start:
            return self.start_key
        if source == EMBEDDED or source.startswith(hub.MARK):
            key = hub.shown(source)
            return key if key == EMBEDDED or self.source_of(key) == source else ""
        return next((key for key, path in self._folders().items() if str(path) == source), "")

    def made(self, manifest: Manifest) -> bool:
        """Whether the policy in use made an artefact. What does not say so was made by the first policy; samples,
        whose head outputs are left out, by the embedded one.
        """
        return self._maker(manifest) == self.source

    def _maker(self, manifest: Manifest) -> str:
        if "policy" in manifest.params:
            return str(manifest.params["policy"])
        for parent in manifest.parents:
            if parent.startswith("demonstrations-"):
                continue
            try:
                return self._maker(self._store.manifest(parent))
            except NotFound:
                return EMBEDDED
            except Damaged:
                return ""  # nobody can tell
        return self._start

    def _folders(self) -> dict[str, Path]:
        """Key -> folder of every policy under the roots; links that lead out of a root are left out."""
        seen_s, known = self._scanned
        if time.monotonic() - seen_s < _SCAN_S:
            return known
        found: dict[str, Path] = {}
        for root in self._roots:
            inside = root.resolve()
            for path in _with_config(root, _DEEPEST):
                if path.resolve().is_relative_to(inside) and len(found) < _MOST:
                    relative = path.relative_to(root).as_posix()
                    found.setdefault(FOLDER + (root.name if relative == "." else relative), path)
        self._scanned = (time.monotonic(), found)
        return found


def _with_config(folder: Path, deepest: int) -> Iterator[Path]:
    """Folders with a policy's config.json, not looking into these."""
    if (folder / "config.json").is_file():
        yield folder
    elif deepest:
        try:
            inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        except OSError:
            return
        for path in inner:
            yield from _with_config(path, deepest - 1)
