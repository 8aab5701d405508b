"""Files to keep: relevance as CSV and JSON, the head set in the authors' form, and a run as one HTML page."""

from __future__ import annotations

import base64
import csv
import io
import json
import time
from collections.abc import Sequence
from dataclasses import replace

from app.answers.report import File, Finetuned, Run, Scene, Shot
from app.questions import comparison, head_sets, measures, report_document, results, trials
from app.questions.context import Context
from app.visitors import account, owner
from app.words import LABELS, file_name, how_it_went
from steering import pipeline
from steering.errors import InputError, NotFound
from steering.public import is_public
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
NAMED = {"relevance.csv": "scores", "relevance.json": "scores", "selection.json": "head set"}


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
    shown = measures.shown(context, demonstrations_id, measure)
    measured = " ".join(filter(None, (shown.metric, shown.preset))) if shown else ""
    task = pipeline.name_of(context.store, demonstrations_id, context.store.kept)
    of = (task, measured, context.policy_name, time.strftime("%Y-%m-%d", time.gmtime()))
    name = file_name(NAMED[kind], *of, ending=kind.partition(".")[2])
    return File(context.media.export(name, content.encode()), name)


def report(context: Context, run_id: str) -> File:
    """A finetune or a comparison, in scenes or on recordings, as one HTML page that opens offline."""
    value = context.store.load(run_id)
    if isinstance(value, FinetuneResult):
        one = _trained(context, run_id)
        run = Run(f"Finetuning: {LABELS.get(value.method, value.method)}", (one,), data=one.task.replace("_", " "))
    elif isinstance(value, Comparison):
        run = _compared(context, run_id, value)
    elif isinstance(value, OpenLoopComparison):
        run = _predicted(context, run_id)
    else:
        raise InputError(f"{run_id} is no run. Open the report from a finished finetune or comparison.")
    old = "" if run.predictions else context.store.old_words(run_id)  # predictions say it themselves
    on_robot = trials.of_adapters(context, [one.id for one in run.finetunes])
    date = context.store.manifest(run_id).created[:10]
    run = replace(run, notes=(old,) if old else (), trials=on_robot, policy=_policy_of(context, run_id), date=date)
    name = file_name(run.title, run.data, run.policy, date, ending="html")
    return context.media.report(name, replace(run, document=report_document.document(run, run_id)))


def policy(context: Context, adapter_id: str) -> str:
    """Id of the job that makes an adapter's zip file for others to load; `made_policy` gives it."""
    if context.store.manifest(adapter_id).kind != "adapter":
        raise InputError("Only a finished finetune is a policy to export. Choose one of the results.")
    return context.submit("package_policy", adapter_id=adapter_id)


def may_push() -> bool:
    """Whether whoever asks may have the server push to the hub: on a server of one's own, or signed in."""
    return not is_public() or bool(account())


def push(context: Context, export_id: str, repository: str, token: str, public: bool) -> str:
    """Upload a packed policy to the hub, as `owner/name`; its address there.

    token: of whoever asks, used for this call and kept nowhere; on a server of one's own empty for the login of this
    machine. Raises InputError, in words, where that is refused.
    """
    if not may_push():
        raise InputError("Sign in to push to the hub, or export the policy and push it yourself: steering push.")
    if not token and is_public():
        raise InputError("Give a token of yours that may write; it is used for this upload and kept nowhere.")
    return pipeline.push_package(context.store, export_id, repository, public=public, token=token)


def packed_policy(context: Context, job_id: str) -> str:
    """Id of what a job of whoever asks packed; empty while there is none."""
    for status in context.jobs.recent(owner()):
        if (status.id, status.function, status.state) == (job_id, "package_policy", "done") and status.result:
            return str(status.result)
    return ""


def made_policy(context: Context, job_id: str) -> File | None:
    """The zip file that a job of whoever asks made; None while there is none."""
    if not (export_id := packed_policy(context, job_id)):
        return None
    made: PolicyExport = context.store.load(export_id)
    return File(context.media.recording(export_id, made.file), made.file.name)


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
            video = _data_url(films[value.seeds[i]].read_bytes(), "video/mp4") if value.seeds[i] in films else ""
            how = ", ".join(how_it_went(one, j))
            poster = _data_url(context.media.poster(films[value.seeds[i]]), "image/webp") if video else ""
            shown.append(Shot(one.method, bool(one.success[j]), one.steps[j] / one.rate_hz, video, how, poster))
        scenes.append(Scene(i + 1, value.seeds[i], tuple(shown)))
    task = value.task.replace("_", " ")
    adapters = {one.result.method: one.id for one in finetunes}
    told = comparison.run_words(context, run_id, adapters, scenes=value.seeds)
    return Run("Comparison", tuple(finetunes), value, comparison.verdict(value), tuple(scenes), data=task, told=told)


def _predicted(context: Context, run_id: str) -> Run:
    predictions = comparison.read_predictions(context, run_id)
    parents = [context.store.manifest(parent).parents for parent in context.store.manifest(run_id).parents]
    demonstrations = context.store.load(parents[0][0])
    name = (demonstrations.task or demonstrations.name).replace("_", " ")
    finetunes = tuple(_trained(context, adapter) for _, *adapters in parents for adapter in adapters)
    return Run("Predicted actions on recordings", finetunes, predictions=predictions, data=name)


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


def _policy_of(context: Context, run_id: str) -> str:
    """What people call the policy that a run was made with; the one in use where the run does not say."""
    manifest = context.store.manifest(run_id)
    for one in (manifest, *map(context.store.manifest, manifest.parents)):
        if key := context.policies.key_of(str(one.params.get("policy", ""))):
            return context.policies.name(key)
    return context.policy_name


def _data_url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}" if content else ""
