"""What whoever asks has on this server: how much room it takes, until when it is kept, and deleting it."""

from __future__ import annotations

import math

from app.answers.holdings import Holding, RemovalCard
from app.questions import demonstrations, uploads
from app.questions.context import Context
from app.visitors import owner
from steering import hub, keeping
from steering.errors import InputError
from steering.public import quota

EVERYTHING = "everything"


RUNS = ("adapter", "comparison", "open_loop_comparison", "surgery", "strength")


def shown(context: Context) -> Holding:
    """What there is, for the page."""
    own = _own(context)
    sent = context.uploads.bytes_of(owner())
    most = quota()
    return Holding(
        sets=sum(one.startswith("demonstrations-") for one in own),
        runs=sum(one.startswith(tuple(f"{kind}-" for kind in RUNS)) for one in own),
        used_bytes=keeping.used_bytes(context.store, own) + sent,
        most_bytes=None if math.isinf(most.disk_bytes) else int(most.disk_bytes),
        keep_days=None if math.isinf(most.keep_days) else most.keep_days,
    )


def tend(context: Context) -> None:
    """Delete what is kept no longer, and old pictures, which are made anew when they are asked for."""
    keep_s = quota().keep_s
    if not math.isinf(keep_s):
        keeping.expire(context.store, keep_s, context.media.forget)
        hub.forget_old_downloads(keep_s)
    keeping.clean(context.store)
    context.classes.expire()


def asked(context: Context, wanted: str) -> RemovalCard:
    """What deleting would take along, to be confirmed. wanted: an id, or EVERYTHING. Raises InputError for what is
    not one's own.
    """
    if wanted == EVERYTHING:
        own = _own(context)
        kinds: dict[str, int] = {}
        for one in own:
            kind = one.rpartition("-")[0]
            kinds[kind] = kinds.get(kind, 0) + 1
        return RemovalCard(wanted, "everything of yours", kinds, 0, _upload(context))
    if _linked(context, wanted):
        return RemovalCard(wanted, f"{_title(context, wanted)} from your list; it stays with whose it is", {}, 0)
    found = _removal(context, wanted)
    return RemovalCard(wanted, _title(context, wanted), found.kinds, found.foreign)


def delete(context: Context, wanted: str) -> None:
    """Delete one's own artefact with what was made from it, or EVERYTHING; what works with it is stopped."""
    if wanted == EVERYTHING:
        _delete_everything(context)
    elif _linked(context, wanted):
        context.store.owners.drop(owner(), wanted)
    else:
        found = _removal(context, wanted)
        gone = {manifest.id for manifest in found.gone}
        for job in context.jobs.active():
            if any(one in str(dict(job.arguments)) for one in gone):
                context.jobs.cancel(job.id)
        keeping.remove(context.store, found, owner() if context.store.apart else "", context.media.forget)
    context.forget()


def _delete_everything(context: Context) -> None:
    for job in context.jobs.active(owner() if context.store.apart else None):
        context.jobs.cancel(job.id)
    context.driving.stop(owner())
    uploads.discard(context)
    apart = context.store.apart
    context.classes.forget(owner())
    if apart:
        keeping.remove_everything(context.store, owner(), context.media.forget)
        context.jobs.forget(owner())
        hub.forget_downloads(owner())
        return
    while own := _own(context):
        keeping.remove(context.store, keeping.removal(context.store, own[0]), "", context.media.forget)


def _removal(context: Context, artefact_id: str) -> keeping.Removal:
    if context.store.is_sample(artefact_id):
        raise InputError("The samples belong to everybody and cannot be deleted. Delete things of your own.")
    return keeping.removal(context.store, artefact_id, owner() if context.store.apart else "")


def _linked(context: Context, artefact_id: str) -> bool:
    return artefact_id in context.store.owners.linked(owner()) and artefact_id not in context.store.owners.own(owner())


def _own(context: Context) -> list[str]:
    if context.store.apart:
        return list(context.store.owners.own(owner()))
    return [one.id for one in context.store.everything() if not context.store.is_sample(one.id)]


def _upload(context: Context) -> bool:
    return context.uploads.of_owner(owner()) is not None


def _title(context: Context, artefact_id: str) -> str:
    kind = artefact_id.rpartition("-")[0]
    if kind == "demonstrations":
        return f"“{demonstrations.card(context, artefact_id).title.replace('_', ' ')}”"
    return {"adapter": "this finetune", "comparison": "this comparison"}.get(kind, "this result")
