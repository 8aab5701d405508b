"""Whether a stored artefact is as it was written: digests of its files, and words for what is broken.

A manifest keeps size and SHA-256 of every file beside it, and a digest of itself. What is read is hashed first, once a
process while a file's size, time and inode stay; about 0.8 GB/s. Files that nobody has read yet are held against their
sizes alone, so that looking through a store costs microseconds a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from steering.errors import InputError

AT_ONCE_BYTES = 128 << 20
"""Files up to so much together are hashed when an artefact is opened; larger ones when they are read."""

Files = Mapping[str, tuple[int, str]]
"""Name of a file in the artefact's folder -> its bytes and its SHA-256 (hex)."""

_FIND = "Press Find heads on the card of the demonstrations"
_MEASURE = "Open Measure… in the Heads step"
_KINDS: Mapping[str, tuple[str, str]] = {
    "demonstrations": (
        "demonstrations",
        "Record or import them again in the Demonstrations step, or with python -m steering record or import",
    ),
    "activations": ("head outputs", f"{_FIND}, or run python -m steering capture"),
    "neighbours": ("nearest frames", _FIND),
    "relevance": ("head scores", f"{_FIND} or {_MEASURE}, or run python -m steering score or attribute"),
    "trust": ("intervals and chance", f"{_MEASURE} and press Intervals and chance"),
    "over_time": ("scores over time", f"{_FIND}, which finds them anew"),
    "replication": ("replication", "Make the evidence of heads again, with python -m steering evidence heads"),
    "attention": ("attention weights", f"{_FIND}, or Compute attention below the cameras"),
    "frame_attention": ("attention at a frame", "Ask for Words in the Heads step again"),
    "gain_sweep": ("gains of a head", "Ask for Gain in the Heads step again"),
    "selection": ("head set", "Choose the heads again in the Heads step, or with python -m steering select"),
    "adapter": ("finetune", "Finetune again with the same settings, or run python -m steering finetune"),
    "head_change": (
        "heads after a finetune",
        "Press Heads after beside the result in the Finetune step, or run python -m steering change",
    ),
    "rollouts": ("rollouts", "Press Compare in the Compare step again, or run python -m steering rollout"),
    "comparison": ("comparison", "Press Compare in the Compare step again, or run python -m steering compare"),
    "surgery": ("surgery of heads", "Run it again with python -m steering surgery"),
    "strength": ("strengths of an adapter", "Run it again with python -m steering strength"),
    "open_loop": (
        "predictions on recordings",
        "Press Compare on recordings in the Compare step again, or run python -m steering open-loop",
    ),
    "open_loop_comparison": (
        "comparison on recordings",
        "Press Compare on recordings in the Compare step again, or run python -m steering open-loop",
    ),
    "policy": ("check of a policy", "Open the policy again by the Policy chip"),
    "policy_export": (
        "export of a policy",
        "Press Export beside the result in the Finetune step, or run python -m steering export-policy",
    ),
}


@dataclass(frozen=True)
class Damage:
    """A stored artefact that cannot be used. fault: what is wrong with it; parents: empty where they cannot be read."""

    id: str
    fault: str
    parents: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The artefact's kind."""
        return self.id.rpartition("-")[0]

    @property
    def name(self) -> str:
        """What people call an artefact of this kind."""
        return _KINDS.get(self.kind, (self.kind.replace("_", " "), ""))[0]

    @property
    def again(self) -> str:
        """What remakes it: a step of the page, a command."""
        return _KINDS.get(self.kind, ("", "Make it again"))[1]

    @property
    def words(self) -> str:
        """Two sentences: what is broken, and what remakes it."""
        return f"The {self.name} {self.id} cannot be used: {self.fault}. {self.again}."


class Damaged(InputError):
    """A stored artefact is not as it was written, or cannot be read any more; `damage` says which and how."""

    def __init__(self, damage: Damage) -> None:
        super().__init__(damage)
        self.damage = damage

    def __str__(self) -> str:
        return self.damage.words


class Digests:
    """Digests of files that this process has hashed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int, int], str]] = {}

    def of(self, path: Path) -> str:
        """SHA-256 (hex) of a file; hashed where it is not known."""
        found = self.known(path)
        if found is None:
            with path.open("rb") as file:
                before = signature(path)
                found = hashlib.file_digest(file, "sha256").hexdigest()
            self._known[path] = (before, found)
        return found

    def known(self, path: Path) -> str | None:
        """The digest of a file that was hashed before and has not changed since; None where that is not known."""
        kept = self._known.get(path)
        return kept[1] if kept is not None and kept[0] == signature(path) else None

    def forget(self, folder: Path) -> None:
        """Drop what is known of the files of a folder that is no more."""
        for path in [path for path in self._known if path.is_relative_to(folder)]:
            del self._known[path]


def signature(path: Path) -> tuple[int, int, int]:
    """What changes when a file does: size, time in ns, inode."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def signatures(folder: Path) -> tuple[tuple[int, int, int], ...]:
    """Changes when a file of an artefact does; of those that are read when it is opened."""
    return tuple(signature(path) for path in sorted(folder.iterdir()) if path.suffix in (".json", ".npz"))


def recorded(folder: Path, digests: Digests) -> dict[str, tuple[int, str]]:
    """Every file of an artefact's folder, with its bytes and SHA-256."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_size, digests.of(path)) for path in files}


def fault_of(folder: Path, files: Files, digests: Digests, hashed: Literal["all", "at once", "known"]) -> str:
    """What is wrong with the files of an artefact, as a clause; empty where nothing is.

    hashed: `all` files, those that go `at once` (AT_ONCE_BYTES, small ones first), or what is `known` already.
    """
    total = 0
    for name, (size, _) in sorted(files.items(), key=lambda item: item[1][0]):
        total += size
        hash_it = hashed == "all" or (hashed == "at once" and total <= AT_ONCE_BYTES)
        if fault := fault_of_file(folder, name, files, digests, hash_it):
            return fault
    return ""


def fault_of_file(folder: Path, name: str, files: Files, digests: Digests, hash_it: bool = True) -> str:
    """`fault_of` one file. hash_it: also where this process has not done so."""
    size, digest = files[name]
    path = folder / name
    try:
        if (found := path.stat().st_size) != size:
            return f"{name} has {found} bytes, and was written with {size}"
        now = digests.of(path) if hash_it else digests.known(path)
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"
    return "" if now in (None, digest) else f"{name} is not as it was written"


def digest_of(document: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a manifest's fields, without that of its own digest."""
    content = {name: value for name, value in document.items() if name != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def files_of(document: object) -> dict[str, tuple[int, str]] | None:
    """The files that a manifest names, which may be damaged; None where they are not what `recorded` gives."""
    if not isinstance(document, dict):
        return None
    found: dict[str, tuple[int, str]] = {}
    for name, entry in document.items():
        fits = isinstance(entry, list | tuple) and len(entry) == 2 and type(entry[0]) is int
        inside = isinstance(name, str) and not Path(name).is_absolute() and ".." not in Path(name).parts
        if not (fits and inside and isinstance(entry[1], str)):
            return None
        found[name] = (entry[0], entry[1])
    return found
