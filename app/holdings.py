"""What whoever asks has on this server: how much room it takes, until when it is kept, and deleting it.

Part of the gateway (`app.service.Workbench`). What goes with what is decided in `steering.keeping`. Milliseconds.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from app import visitors
from app.views.holdings import Holding, RemovalCard
from app.visible import VisitorStore
from steering import keeping
from steering.errors import InputError
from steering.public import is_public, quota

if TYPE_CHECKING:
    from app.service import Workbench

EVERYTHING = "everything"
RUNS = ("adapter", "comparison", "open_loop_comparison")


class Holdings:
    """Things of whoever asks in the store of `bench`."""

    def __init__(self, bench: Workbench, store: VisitorStore) -> None:
        self._bench, self._store = bench, store

    def shown(self) -> Holding:
        """What there is, for the page."""
        own = self._own()
        sent = self._bench.uploads.receiving.bytes_of(visitors.owner())
        most = quota()
        return Holding(
            sets=sum(one.startswith("demonstrations-") for one in own),
            runs=sum(one.startswith(tuple(f"{kind}-" for kind in RUNS)) for one in own),
            used_bytes=keeping.used_bytes(self._store, own) + sent,
            most_bytes=None if math.isinf(most.disk_bytes) else int(most.disk_bytes),
            keep_days=None if math.isinf(most.keep_days) else most.keep_days,
        )

    def kept_until_s(self, artefact_id: str) -> float | None:
        """When an artefact goes unless it is worked with, in seconds since the epoch; None where it stays."""
        since_s = self._store.owners.own(visitors.owner()).get(artefact_id)
        keep_s = quota().keep_s
        return None if since_s is None or math.isinf(keep_s) else since_s + keep_s

    def tend(self) -> None:
        """Delete what is kept no longer, and old pictures, which are made anew when they are asked for."""
        keep_s = quota().keep_s
        if not math.isinf(keep_s):
            keeping.expire(self._store, keep_s, self._bench.previews.forget)
        keeping.clean(self._store)

    def asked(self, wanted: str) -> RemovalCard:
        """What deleting would take along, to be confirmed. wanted: an id, or EVERYTHING. Raises InputError for what is
        not one's own.
        """
        if wanted == EVERYTHING:
            own = self._own()
            kinds: dict[str, int] = {}
            for one in own:
                kind = one.rpartition("-")[0]
                kinds[kind] = kinds.get(kind, 0) + 1
            return RemovalCard(wanted, "everything of yours", kinds, 0, self._upload())
        if self._linked(wanted):
            return RemovalCard(wanted, f"{self._title(wanted)} from your list; it stays with whose it is", {}, 0)
        found = self._removal(wanted)
        return RemovalCard(wanted, self._title(wanted), found.kinds, found.foreign)

    def delete(self, wanted: str) -> None:
        """Delete one's own artefact with what was made from it, or EVERYTHING; what works with it is stopped."""
        owner = visitors.owner()
        if wanted == EVERYTHING:
            self._delete_everything(owner)
        elif self._linked(wanted):
            self._store.owners.drop(owner, wanted)
        else:
            found = self._removal(wanted)
            gone = {manifest.id for manifest in found.gone}
            for job in self._bench.jobs.active():
                if any(one in str(dict(job.arguments)) for one in gone):
                    self._bench.jobs.cancel(job.id)
            keeping.remove(self._store, found, owner if is_public() else "", self._bench.previews.forget)
        self._bench.forget()

    def _delete_everything(self, owner: str) -> None:
        for job in self._bench.jobs.active(None if not is_public() else owner):
            self._bench.jobs.cancel(job.id)
        self._bench.driving.stop(owner)
        self._bench.uploads.discard(owner)
        if is_public():
            keeping.remove_everything(self._store, owner, self._bench.previews.forget)
            self._bench.jobs.forget(owner)
            return
        while own := self._own():
            keeping.remove(self._store, keeping.removal(self._store, own[0]), "", self._bench.previews.forget)

    def _removal(self, artefact_id: str) -> keeping.Removal:
        if self._store.is_sample(artefact_id):
            raise InputError("The samples belong to everybody and cannot be deleted. Delete things of your own.")
        return keeping.removal(self._store, artefact_id, visitors.owner() if is_public() else "")

    def _linked(self, artefact_id: str) -> bool:
        owner = visitors.owner()
        return artefact_id in self._store.owners.linked(owner) and artefact_id not in self._store.owners.own(owner)

    def _own(self) -> list[str]:
        if is_public():
            return list(self._store.owners.own(visitors.owner()))
        return [one.id for one in self._store.everything() if not self._store.is_sample(one.id)]

    def _upload(self) -> bool:
        return self._bench.uploads.receiving.of_owner(visitors.owner()) is not None

    def _title(self, artefact_id: str) -> str:
        kind = artefact_id.rpartition("-")[0]
        if kind == "demonstrations":
            return f"“{self._bench.card(artefact_id).title.replace('_', ' ')}”"
        return {"adapter": "this finetune", "comparison": "this comparison"}.get(kind, "this result")


def day(at_s: float) -> str:
    """A day in words: 6 December."""
    return time.strftime("%-d %B", time.gmtime(at_s))
