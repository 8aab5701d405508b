"""Whose artefacts are whose: a ledger of empty files in a store, `owners/<owner>/own/<artefact>` and `…/linked/…`.

It stands beside the artefacts and not in their manifests, because the same work asked for by two people is one artefact
that both own, and because the time of an entry says until when it is kept. An artefact without an entry belongs to
whoever runs the store. `linked` holds what somebody else's link has opened. Any number of processes may share it; an
entry costs one file, a question some microseconds an entry.
"""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path

NOBODY = "nobody"
"""Owns what nobody wants any more and something else still rests on."""
_OWNER = re.compile(r"[0-9a-z]{1,40}")
_OWN, _LINKED = "own", "linked"


class Owners:
    """The ledger of the store at `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root / "owners"

    def add(self, owner: str, artefact_id: str) -> None:
        """Let an artefact be `owner`'s, from now on; an entry that was there is as new."""
        self._touch(owner, _OWN, artefact_id)

    def link(self, owner: str, artefact_id: str) -> None:
        """Note that a link opened an artefact of somebody else's for `owner`."""
        self._touch(owner, _LINKED, artefact_id)

    def own(self, owner: str) -> dict[str, float]:
        """Artefact -> since when it is `owner`'s, in seconds since the epoch."""
        return self._entries(owner, _OWN)

    def linked(self, owner: str) -> dict[str, float]:
        """Artefact -> when a link opened it for `owner`."""
        return self._entries(owner, _LINKED)

    def of(self, artefact_id: str) -> tuple[str, ...]:
        """Everybody who owns an artefact."""
        return tuple(one for one in self.all() if (self._root / one / _OWN / artefact_id).exists())

    def all(self) -> tuple[str, ...]:
        """Everybody who owns something, or followed a link."""
        return tuple(sorted(path.name for path in self._root.glob("*")))

    def drop(self, owner: str, artefact_id: str) -> None:
        """Let an artefact be neither `owner`'s nor linked for them."""
        for kind in (_OWN, _LINKED):
            (self._root / owner / kind / artefact_id).unlink(missing_ok=True)

    def forget(self, artefact_id: str) -> None:
        """Remove every entry of an artefact."""
        for one in self.all():
            self.drop(one, artefact_id)

    def forget_owner(self, owner: str) -> None:
        """Remove every entry of an owner; their artefacts are not touched."""
        if _OWNER.fullmatch(owner):
            shutil.rmtree(self._root / owner, ignore_errors=True)

    def _touch(self, owner: str, kind: str, artefact_id: str) -> None:
        assert _OWNER.fullmatch(owner), owner
        folder = self._root / owner / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder / artefact_id).touch()

    def _entries(self, owner: str, kind: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for path in (self._root / owner / kind).glob("*-*") if _OWNER.fullmatch(owner) else ():
            with suppress(FileNotFoundError):  # being removed
                found[path.name] = path.stat().st_mtime
        return found
