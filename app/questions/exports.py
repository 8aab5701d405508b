"""Files to keep: relevance as CSV and JSON, the head set in the authors' form, and a run as one HTML page."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.answers.report import File, Finetuned, Run, Scene, Shot
from app.questions import comparison, head_sets, measures, results
from app.questions.context import Context
from app.visitors import owner
from app.words import LABELS, how_it_went
from steering import pipeline
from steering.errors import InputError, NotFound
from steering.relevance import tables
from steering.selection import exchange
from steering.types import (
    Comparison,
    FinetuneResult,
    Head,
    OpenLoopComparison,
    Origin,
    PolicyExport,
    Relevance,
    Rollouts,
    Selection,
    origin_words,
)

KINDS = ("relevance.csv", "relevance.json", "selection.json")


VIDEOS_IN_REPORT = 8  # scenes


def heads(
    context: Context,
    kind: str,
    demonstrations_id: str,
    measure: str,
    heads: Sequence[Head],
    origin: Origin | None = None,
) -> File:
    """One of KINDS, of the relevance and the head set that are open. origin: where the set comes from."""
    relevance = measures.relevance(context, demonstrations_id, measure)
    trust = measures.trust(context, demonstrations_id, measure)
    if kind == "selection.json":
        if not heads:
            raise InputError("No head is selected, so there is no set to export. Click cells of the map first.")
        content = exchange.to_json(head_sets.selection(context, demonstrations_id, heads, measure, origin))
    elif relevance is None:
        raise measures.no_scores(context, demonstrations_id)
    elif kind == "relevance.csv":
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows(tables.rows(relevance, heads, trust))
        content = table.getvalue()
    else:
        document = tables.document(relevance, trust)
        if heads:
            document["selection"] = json.loads(
                exchange.to_json(head_sets.selection(context, demonstrations_id, heads, measure, origin))
            )
        content = json.dumps(document, indent=1)
    return File(context.media.export(kind, content.encode()), kind)


def report(context: Context, run_id: str) -> File:
    """A finetune or a comparison, in scenes or on recordings, as one HTML page that opens offline."""
    value = context.store.load(run_id)
    if isinstance(value, FinetuneResult):
        run = Run(title=f"Finetuning: {LABELS.get(value.method, value.method)}", finetunes=(_trained(context, run_id),))
    elif isinstance(value, Comparison):
        run = _compared(context, run_id, value)
    elif isinstance(value, OpenLoopComparison):
        run = _predicted(context, run_id)
    else:
        raise InputError(f"{run_id} is no run. Open the report from a finished finetune or comparison.")
    old = "" if run.predictions else context.store.old_words(run_id)  # predictions say it themselves
    return context.media.report(f"{run_id}.html", replace(run, notes=(old,) if old else ()))


def policy(context: Context, adapter_id: str) -> str:
    """Id of the job that makes an adapter's zip file for others to load; `made_policy` gives it."""
    if context.store.manifest(adapter_id).kind != "adapter":
        raise InputError("Only a finished finetune is a policy to export. Choose one of the results.")
    return context.submit("package_policy", adapter_id=adapter_id)


def made_policy(context: Context, job_id: str) -> File | None:
    """The zip file that a job of whoever asks made; None while there is none."""
    for status in context.jobs.recent(owner()):
        if (status.id, status.function, status.state) == (job_id, "package_policy", "done") and status.result:
            made: PolicyExport = context.store.load(status.result)
            return File(context.media.recording(status.result, made.file), made.file.name)
    return None


def _compared(context: Context, run_id: str, value: Comparison) -> Run:
    rollouts: list[Rollouts] = []
    finetunes = []
    for parent in context.store.manifest(run_id).parents:
        rollouts.append(context.store.load(parent))
        finetunes += [_trained(context, one) for one in context.store.manifest(parent).parents]
    filmed = {seed for one in rollouts for seed in one.recorded}
    order = sorted(
        (i for i, seed in enumerate(value.seeds) if seed in filmed),
        key=lambda i: (value.seeds[i] not in value.disagreement, i),
    )
    scenes = []
    for i in order[:VIDEOS_IN_REPORT]:
        shown = []
        for one in rollouts:
            j = one.seeds.index(value.seeds[i])
            films = dict(zip(one.recorded, one.videos, strict=True))
            video = _data_url(films[value.seeds[i]]) if value.seeds[i] in films else ""
            how = ", ".join(how_it_went(one, j))
            shown.append(Shot(one.method, bool(one.success[j]), one.steps[j] / one.rate_hz, video, how))
        scenes.append(Scene(i + 1, value.seeds[i], tuple(shown)))
    task = value.task.replace("_", " ")
    return Run(f"Comparison: {task}", tuple(finetunes), value, comparison.verdict(value), tuple(scenes))


def _predicted(context: Context, run_id: str) -> Run:
    predictions = comparison.read_predictions(context.store, run_id)
    parents = [context.store.manifest(parent).parents for parent in context.store.manifest(run_id).parents]
    demonstrations = context.store.load(parents[0][0])
    name = (demonstrations.task or demonstrations.name).replace("_", " ")
    finetunes = tuple(_trained(context, adapter) for _, *adapters in parents for adapter in adapters)
    return Run(f"Predicted actions on recordings: {name}", finetunes, predictions=predictions)


def _trained(context: Context, adapter_id: str) -> Finetuned:
    result: FinetuneResult = context.store.load(adapter_id)
    manifest = context.store.manifest(adapter_id)
    demonstrations = context.store.load(manifest.parents[0])
    relevance = None
    for parent in manifest.parents[1:]:
        relevance = relevance or _relevance_of(context, parent)
    name = demonstrations.task or demonstrations.name
    return Finetuned(
        adapter_id,
        result,
        name,
        " → ".join(demonstrations.episodes[0].all_instructions),
        len(demonstrations.episodes),
        relevance,
        results.heads_trained(result),
        pipeline.heldout_notice(context.store, adapter_id, manifest.parents[0]) if len(result.heldout_error) else "",
        origin_words(pipeline.origin_of(context.store, adapter_id)) if results.heads_trained(result) else "",
    )


def _relevance_of(context: Context, selection_id: str) -> Relevance | None:
    try:
        if not isinstance(context.store.load(selection_id), Selection):
            return None
        relevance = context.store.load(context.store.manifest(selection_id).parents[0])
    except (NotFound, IndexError):
        return None  # a selection from elsewhere has no relevance in this store
    return relevance if isinstance(relevance, Relevance) else None


def _data_url(path: Path) -> str:
    return f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"
