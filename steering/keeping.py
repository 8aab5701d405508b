"""How long artefacts stay, what goes with one that is deleted, and how much room an owner's things take.

Deleting takes along whatever was made from a thing, whoever made it: it holds what the thing held. Where somebody else
made the same thing, too, it stays theirs, and only what the one who deletes made goes. What nobody wants any more but
something still rests on waits until that has gone. Milliseconds for hundreds of artefacts; sizes are read once each.
"""

from __future__ import annotations

import math
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from steering.errors import InputError, NotFound
from steering.integrity import Damaged
from steering.manifest import Manifest
from steering.owners import NOBODY
from steering.public import quota
from steering.store import Store

DAY_S = 24 * 3600.0
RUNS = ("rollouts", "open_loop")
"""Kinds that are only seen through the comparison that was made from them."""


@dataclass(frozen=True)
class Removal:
    """What goes with the artefact `id`. gone: manifests, it among them, each before what it was made from; dropped: ids
    that are let go and stay somebody else's; foreign: how many of `gone` only others own.
    """

    id: str
    gone: tuple[Manifest, ...]
    dropped: tuple[str, ...] = ()
    foreign: int = 0

    @property
    def kinds(self) -> Mapping[str, int]:
        """Kind -> how many go besides the artefact itself."""
        counted: dict[str, int] = defaultdict(int)
        for manifest in self.gone:
            counted[manifest.kind] += manifest.id != self.id
        return {kind: count for kind, count in counted.items() if count}


def removal(store: Store, artefact_id: str, owner: str = "") -> Removal:
    """What deleting an artefact takes along. owner: who deletes; empty for the operator, who owns everything.

    Raises NotFound where it is none of theirs.
    """
    whole = [store.manifest(one) for one in _with_descendants(store, [artefact_id])]
    whole += _only_for(store, whole, owner)
    if not owner:
        return Removal(artefact_id, tuple(whole))
    owners = {manifest.id: store.owners.of(manifest.id) for manifest in whole}
    if owner not in owners[artefact_id]:
        raise NotFound("This is not yours to delete. Choose one of your own things.")
    if set(owners[artefact_id]) - {owner, NOBODY}:
        own = [manifest for manifest in whole if owner in owners[manifest.id]]
        kept = {one for one in owners if set(owners[one]) - {owner, NOBODY}}
        gone = [manifest for manifest in own if not kept & set(_with_descendants(store, [manifest.id]))]
        return Removal(artefact_id, tuple(gone), tuple(one.id for one in own if one not in gone))
    foreign = sum(bool(found) and owner not in found for found in owners.values())
    return Removal(artefact_id, tuple(whole), foreign=foreign)


def remove(store: Store, found: Removal, owner: str = "", forget: Callable[[str], None] | None = None) -> None:
    """Delete what `removal` found. forget: is told of each id before it goes."""
    for artefact_id in found.dropped:
        _let_go(store, owner, artefact_id)
    for manifest in found.gone:
        if forget is not None:
            forget(manifest.id)
        shutil.rmtree(store.root / "checkpoints" / manifest.key[:32], ignore_errors=True)
        store.delete(manifest.id)
    collect(store, forget)


def remove_everything(store: Store, owner: str, forget: Callable[[str], None] | None = None) -> int:
    """Delete all that is `owner`'s, demonstrations with what was made from them first; how many artefacts went."""
    before = len(store.everything())
    order = sorted(store.owners.own(owner), key=lambda one: not one.startswith("demonstrations-"))
    for artefact_id in order:
        if owner not in store.owners.of(artefact_id):
            continue  # gone with another
        if artefact_id.startswith("demonstrations-"):
            remove(store, removal(store, artefact_id, owner), owner, forget)
        else:
            _let_go(store, owner, artefact_id)
    store.owners.forget_owner(owner)
    shutil.rmtree(store.root / "mappings" / owner, ignore_errors=True)
    collect(store, forget)
    return before - len(store.everything())


def expire(store: Store, keep_s: float, forget: Callable[[str], None] | None = None) -> int:
    """Let go of what owners have not worked with for `keep_s`, and delete what nobody holds; how many went."""
    before, until_s = len(store.everything()), time.time() - keep_s
    for owner in store.owners.all():
        for entries in (store.owners.own(owner), store.owners.linked(owner)) if owner != NOBODY else ():
            for artefact_id, since_s in entries.items():
                if since_s < until_s:
                    _let_go(store, owner, artefact_id)
    collect(store, forget)
    return before - len(store.everything())


def collect(store: Store, forget: Callable[[str], None] | None = None) -> None:
    """Delete what nobody wants any more, where nothing rests on it."""
    waiting = set(store.owners.own(NOBODY))
    while waiting:
        rested_on = {parent for manifest in store.everything() for parent in manifest.parents}
        free = {one for one in waiting if one not in rested_on}
        if not free:
            return
        for artefact_id in free:
            try:
                manifest = store.manifest(artefact_id)
                if forget is not None:
                    forget(artefact_id)
                shutil.rmtree(store.root / "checkpoints" / manifest.key[:32], ignore_errors=True)
                store.delete(artefact_id)
            except (Damaged, NotFound):
                store.set_aside(artefact_id)
                store.owners.forget(artefact_id)
        waiting -= free


def used_bytes(store: Store, artefacts: Iterable[str]) -> int:
    """What artefacts of this store take on disk; those that are gone or samples count nothing."""
    places = (store.artefacts / one for one in artefacts)
    return sum(_bytes(path) for path in places if path.is_dir())


def check_room(store: Store, owner: str, more_bytes: int = 0) -> None:
    """Raises InputError where what is `owner`'s and `more_bytes` go beyond what a visitor may have here."""
    most = quota().disk_bytes
    if math.isinf(most):
        return
    used = used_bytes(store, store.owners.own(owner)) + more_bytes
    if used > most:
        raise InputError(
            f"Your things take {used / 1e9:.1f} GB with this, and a visitor has {most / 1e9:g} GB here. Delete what "
            "you no longer need in the Demonstrations step, then try again."
        )


def clean(store: Store, media_s: float = 7 * DAY_S) -> int:
    """Remove what is made anew when it is asked for (pictures, exports) and is older than `media_s`; bytes freed."""
    freed = 0
    for path in (store.root / "media").glob("*"):
        try:
            status = path.stat()
            if time.time() - status.st_mtime > media_s:
                path.unlink()
                freed += status.st_size if status.st_nlink == 1 else 0
        except FileNotFoundError:
            continue
    return freed


def _let_go(store: Store, owner: str, artefact_id: str) -> None:
    """Take an artefact from its owner; from its last one it goes to nobody."""
    owned = owner in store.owners.of(artefact_id)
    store.owners.drop(owner, artefact_id)
    if owned and not store.owners.of(artefact_id):
        store.owners.add(NOBODY, artefact_id)


def _only_for(store: Store, gone: list[Manifest], owner: str) -> list[Manifest]:
    """The runs that only what goes was made from, where nobody else has them: without it they are seen nowhere."""
    everything, going = store.everything(), {manifest.id for manifest in gone}
    needed = {parent for manifest in everything if manifest.id not in going for parent in manifest.parents}
    parents = {parent for manifest in gone for parent in manifest.parents} - needed - going
    return [
        manifest
        for manifest in everything
        if manifest.id in parents and manifest.kind in RUNS and not store.is_sample(manifest.id)
        if not owner or store.owners.of(manifest.id) == (owner,)
    ]


def _with_descendants(store: Store, artefacts: Iterable[str]) -> list[str]:
    """Artefacts and all that was made from them, each before what it was made from."""
    children: dict[str, list[str]] = defaultdict(list)
    for manifest in store.everything():
        for parent in manifest.parents:
            children[parent].append(manifest.id)
    order: dict[str, None] = {}

    def visit(artefact_id: str) -> None:
        for child in children[artefact_id]:
            if child not in order:
                visit(child)
        order.setdefault(artefact_id)

    for artefact_id in artefacts:
        visit(artefact_id)
    return list(order)


@lru_cache(maxsize=10_000)
def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
