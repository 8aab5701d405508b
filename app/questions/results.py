"""Finished finetunes and what they did to heads, and the run that was finished last."""

from __future__ import annotations

from collections.abc import Mapping

from app.answers.screen import READY
from app.answers.training import ResultRow, ShownChange
from app.damage import unless_damaged
from app.questions import training
from app.questions.context import Context
from app.questions.methods import control_of
from app.visitors import owner
from steering import figures, pipeline
from steering.errors import InputError, SteeringError
from steering.manifest import Manifest
from steering.types import HEAD_RESTRICTED, METHOD_LABELS, FinetuneResult, HeadChange, origin_words

_RECENT = 12


def finetunes(context: Context) -> list[ResultRow]:
    """The newest finetunes; damaged ones are left out."""
    rows = []
    for manifest in context.store.find("adapter")[:_RECENT]:
        try:
            rows.append(row(context, manifest.id))
        except SteeringError:
            continue  # the line about damage names it, or what it was made of is gone
    return rows


def head_change(context: Context, change_id: str) -> ShownChange:
    """The heads before and after a finetune."""
    change: HeadChange = context.store.load(change_id)
    adapter_id = context.store.manifest(change_id).parents[0]
    return ShownChange(
        method=change.method,
        demonstrations=_trained_on(context, adapter_id),
        lines=(*pipeline.change_lines(change), *filter(None, [context.store.old_words(change_id)])),
        figure=figures.plain(figures.head_change(change)),
    )


def heads_after(context: Context, adapter_id: str) -> str | None:
    """The heads before and after a finetune where they were scored; else None, and the job that scores them."""
    if context.store.manifest(adapter_id).kind != "adapter":
        raise InputError("Only a finished finetune has heads to score. Choose one of the results.")
    for manifest in context.store.find("head_change"):
        if adapter_id in manifest.parents:
            return manifest.id
    context.submit("head_change", adapter_id=adapter_id)
    return None


def just_scored(context: Context) -> str | None:
    """What the newest job of whoever asks made, where it scored the heads of a finetune."""
    for status in context.jobs.recent(owner(), limit=1):
        if status.function == "head_change" and status.state == "done":
            return status.result
    return None


def histories(context: Context) -> dict[str, tuple[Mapping[str, float], ...]]:
    """Method, or label of a control -> the numbers that its newest finetune of whoever asks reported."""
    found: dict[str, tuple[Mapping[str, float], ...]] = {}
    for status in context.jobs.recent(owner()):
        if status.function == "finetune" and status.metrics:
            found.setdefault(training.curve_of(context, status.arguments), status.metrics)
    known = [method for method in METHOD_LABELS if method in found]
    return {name: found[name] for name in (*known, *sorted(found.keys() - set(known)))}


def last_run(context: Context) -> str:
    """What was finished last here, in a few words; else that there is an example; empty where there is neither."""
    last = _newest(context)
    if last is None:
        return READY if context.store.find("comparison") or context.store.find("adapter") else ""
    if last.kind == "comparison":
        return f"compared {len(last.parents)} method{'s' if len(last.parents) > 1 else ''}"
    method = str(last.params.get("method"))
    return f"finetuned {METHOD_LABELS.get(method, method)}"


def newest(context: Context) -> str:
    """Id of the run that was finished last here, else of the ready example. Raises InputError without either."""
    found = _newest(context)
    ready = [] if found else context.store.find("comparison")[:1]
    if not found and not ready:
        raise InputError("There is no run to export yet. Finetune first, or compare.")
    return found.id if found else ready[0].id


def row(context: Context, adapter_id: str) -> ResultRow:
    """A finetune as a line of the results."""
    result = context.load(adapter_id, FinetuneResult)
    manifest = context.store.manifest(adapter_id)
    parents = manifest.parents
    demonstrations_id = parents[0]
    error, heads = result.heldout_error, heads_trained(result)
    return ResultRow(
        id=adapter_id,
        method=result.method,
        heads=heads,
        steps=len(result.loss),
        rank=result.rank or (None if result.method in ("full", "dense_heads") else result.settings.rank),
        parameters=result.trainable_parameters,
        train_s=result.train_s,
        loss=float(result.loss[-10:].mean()),
        heldout=(float(error[0]), float(error[-1])) if len(error) else None,
        demonstrations=_trained_on(context, adapter_id),
        origin=origin_words(pipeline.origin_of(context.store, adapter_id, context.store.kept)) if heads else "",
        best_step=result.best_step,
        old=context.store.old_words(adapter_id),
        notice=pipeline.heldout_notice(context.store, adapter_id, demonstrations_id) if len(error) else "",
        own=context.store.owns(adapter_id),
        control=next(filter(None, (control_of(context.store, one) for one in parents)), ""),
        seed=result.settings.seed,
        batch_size=result.settings.batch_size,
        demonstrations_id=demonstrations_id,
        asked_s=context.store.owners.own(owner()).get(adapter_id, 0.0),
        date=manifest.created[:10],
    )


def _trained_on(context: Context, adapter_id: str) -> str:
    demonstrations = unless_damaged(context.store.kept, context.store.manifest(adapter_id).parents[0])
    if demonstrations is None:
        return "damaged demonstrations"
    return str(demonstrations.task or demonstrations.name).replace("_", " ")


def _newest(context: Context) -> Manifest | None:
    runs = [one for kind in ("adapter", "comparison") for one in _own(context, kind)[:1]]
    return max(runs, key=lambda manifest: manifest.created, default=None)


def _own(context: Context, kind: str) -> list[Manifest]:
    return [manifest for manifest in context.store.find(kind) if context.store.owns(manifest.id)]


def heads_trained(result: FinetuneResult) -> int | None:
    """Heads that a finetune trained apart; None where it trained all. A rank-matched LoRA trains all: its selection
    says only how many parameters it was matched to.
    """
    return len(result.selection.heads) if result.selection and result.method in HEAD_RESTRICTED else None
