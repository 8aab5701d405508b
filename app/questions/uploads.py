"""Uploads: announce, inspect, map, import, and the health of what was imported."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from app.answers.uploads import Camera, Columns, Finding, HealthCard, NumberFeature, UploadCard
from app.questions.context import Context
from app.questions.mapping_form import mapping_of, ranges, ranges_text
from app.visitors import account, owner
from app.words import without_places
from steering import hub, pipeline
from steering.demonstrations.documents import (
    CameraDocument,
    ColumnsDocument,
    DatasetDocument,
    MappingDocument,
    PictureDocument,
    ReportDocument,
)
from steering.errors import InputError, NotFound, SteeringError
from steering.jobs.queue import JobStatus
from steering.pipeline.uploads import INSPECTION, inspection, upload_folder
from steering.selection import exchange, rules
from steering.types import PAPER_SET_SIZE, Relevance

MOST_EPISODES = 200


UNUSABLE = ("unreadable", "nan", "short", "shapes", "duplicates")


def begin(context: Context, files: object) -> str:
    """Announce files; the id under which the browser sends them."""
    _check_idle(context)
    return context.uploads.begin(owner(), files)


def finish(context: Context, upload: str) -> None:
    """Everything was sent: queue the inspection."""
    context.uploads.check_owner(owner(), upload)
    context.uploads.finish(upload)
    _submit(context, "inspect_upload", upload)


def from_hub(context: Context, dataset: str) -> None:
    """Queue the download and inspection of a dataset on the hub."""
    if not hub.is_id(dataset):
        raise InputError("Expected a dataset's id on the Hugging Face hub, as owner/name, e.g. lerobot/pusht.")
    _check_idle(context)
    _submit(context, "inspect_upload", context.uploads.of_hub(owner(), dataset, account()))


def abandon(context: Context, upload: str) -> None:
    """The browser stopped sending."""
    _check_idle(context)
    context.uploads.check_owner(owner(), upload)
    context.uploads.remove(upload)


def discard(context: Context) -> None:
    """Remove what whoever asks has sent, and stop what reads it."""
    for status in context.jobs.active(owner()):
        if status.function in ("inspect_upload", "import_upload"):
            context.jobs.cancel(status.id)
    context.uploads.remove_of(owner())


def check(context: Context, form: Mapping[str, object]) -> None:
    """Queue an inspection with the mapping as corrected; as guessed where the form has none."""
    upload, folder = _sent(context)
    found = inspection(folder) if "actions" in form else None
    mapping = mapping_of(form, found) if found is not None and found["kind"] == "demonstrations" else None
    _submit(context, "inspect_upload", upload, mapping=mapping or None)


def take(context: Context, form: Mapping[str, object]) -> None:
    """Queue the import, with the mapping and the episodes of the form."""
    upload, folder = _sent(context)
    found = inspection(folder)
    if found["kind"] == "activations":
        task = str(form.get("task", ""))
        if task not in found["tasks"]:
            raise InputError("Choose one of the tasks in the file.")
        context.submit("import_upload", upload=upload, task=task)
        return
    count = found["report"]["episodes"]
    chosen = ranges(str(form.get("episodes", "")), count, "Episodes")
    if len(chosen) > MOST_EPISODES:
        raise InputError(f"{len(chosen)} episodes are more than {MOST_EPISODES}, the most at a time. Name fewer.")
    episodes = chosen if chosen != list(range(count)) else None
    skip = {"skip_unreadable": True} if form.get("skip_unreadable") else {}
    _submit(context, "import_upload", upload, mapping=mapping_of(form, found) or None, episodes=episodes, **skip)


def shown(context: Context) -> UploadCard | None:
    """The upload of whoever asks as the page shows it; None where there is none."""
    sent = context.uploads.of_owner(owner())
    if sent is None:
        return None
    upload, name = sent
    folder = upload_folder(context.store, upload)
    job = _job(context, upload)
    card = UploadCard(upload, name, _phase(job, (folder / INSPECTION).is_file()))
    if job is not None and job.state == "failed":
        card = replace(
            card, error=without_places(job.error or "") or "The reason is not known; see worker.log in the store."
        )
    if card.phase == "imported" and job is not None and job.result:
        return _imported(context, card, job.result)
    try:
        found = inspection(folder)
        if found["kind"] == "activations":
            return replace(card, name=str(found["name"]), tasks=tuple(map(str, found["tasks"])))
        asked: MappingDocument | None = job.arguments.get("mapping") if job is not None else None
        mapping: MappingDocument = {**found["guessed"], **asked} if asked else found["report"]["mapping"]
        return _described(context, card, found, mapping, folder)
    except (SteeringError, OSError):
        return card  # nothing was found yet


def key(context: Context) -> str:
    """Changes whenever `shown` does."""
    sent = context.uploads.of_owner(owner())
    if sent is None:
        return ""
    job = _job(context, sent[0])
    return f"{sent[0]} {job.id if job else ''} {job.state if job else ''}"


def health(context: Context, demonstrations_id: str) -> HealthCard | None:
    """The report that was kept with imported demonstrations, or None."""
    try:
        found = pipeline.health(context.store, demonstrations_id)
        return None if found is None else health_card(found)
    except (SteeringError, KeyError, TypeError, ValueError):
        return None  # a damaged report must not hide the set


def episode_problems(context: Context, demonstrations_id: str) -> dict[int, list[str]]:
    """Episode of an imported set -> what its report found wrong with it; episodes without any are left out."""
    card = health(context, demonstrations_id)
    taken = context.store.manifest(demonstrations_id).params.get("episodes")  # of the dataset; None: all of them
    found: dict[int, list[str]] = {}
    for finding in card.findings if card else ():
        for episode in finding.episodes:
            if taken is None or episode in taken:
                found.setdefault(episode if taken is None else taken.index(episode), []).append(finding.words)
    return found


def _submit(context: Context, function: str, upload: str, **arguments: object) -> None:
    context.submit(function, upload=upload, policy=context.policy, **arguments)


def _job(context: Context, upload: str) -> JobStatus | None:
    """The newest job of an upload."""
    of_upload = (one for one in context.jobs.recent(owner()) if one.arguments.get("upload") == upload)
    return next(of_upload, None)


def _check_idle(context: Context) -> None:
    if any(one.function in ("inspect_upload", "import_upload") for one in context.jobs.active(owner())):
        raise InputError("Your last upload is being read. Wait until that has ended, or stop it.")


def _sent(context: Context) -> tuple[str, Path]:
    sent = context.uploads.of_owner(owner())
    if sent is None:
        raise NotFound("There is no upload; it is kept for a day. Send the files again.")
    return sent[0], upload_folder(context.store, sent[0])


def _imported(context: Context, card: UploadCard, made: str) -> UploadCard:
    value = context.store.load(made)
    if not isinstance(value, Relevance):
        return replace(card, made=made, episodes=len(value.episodes), health=health(context, made))
    stacks = tuple(name for name, inert in zip(value.shape.names, value.inert, strict=True) if not inert.all())
    count = min(PAPER_SET_SIZE, int((~value.inert).sum()))
    best = rules.top_k(value, count, stacks)
    error, mean = best.cv_mse, value.baselines.get("mean_action")
    errors = None if error is None or mean is None else (error, mean)
    ranked = sorted(best.heads, key=lambda one: -value.score[value.shape.place(one)])
    return replace(card, made=made, heads=tuple(ranked), errors=errors, selection=exchange.to_json(best))


def _described(
    context: Context, card: UploadCard, found: DatasetDocument, mapping: MappingDocument, folder: Path
) -> UploadCard:
    """mapping: as corrected last, which the form keeps also where reading by it failed."""
    report = found["report"]
    roles = {camera["feature"]: (role, camera) for role, camera in mapping["cameras"].items()}
    count = int(report["episodes"])
    out = {i for one in report["problems"] if one["kind"] in UNUSABLE for i in one["episodes"]}
    chosen = [i for i in range(count) if i not in out][:MOST_EPISODES]
    return replace(
        card,
        name=str(report["name"]),
        layout=str(mapping["layout"]),
        reasons=tuple(map(str, report["reasons"])),
        cameras=tuple(_camera(one, roles.get(one["feature"]), folder) for one in found["pictures"]),
        numbers=tuple(
            NumberFeature(f["name"], tuple(f["shape"]), tuple(found["components"].get(f["name"], ())))
            for f in report["features"]
            if f["kind"] == "number"
        ),
        state=_columns(mapping["state"]),
        action=_columns(mapping["action"]),
        gripper=None if mapping["gripper_range"] is None else tuple(mapping["gripper_range"]),
        grippers=_places(mapping.get("grippers")),
        arms=_places(mapping.get("arms")),
        arms_are=str(mapping.get("arms_are", "joints")),
        absolute_actions=bool(mapping["absolute_actions"]),
        instruction=mapping["instruction"] or "",
        instructions=tuple(map(str, report["instructions"])),
        rate_hz=mapping["rate_hz"],
        episodes=count,
        chosen="" if len(chosen) == count else ranges_text(chosen),
        left_out=tuple(sorted(out)),
        health=health_card(report),
    )


def health_card(report: ReportDocument) -> HealthCard:
    """A report's document as the page shows it."""
    return HealthCard(
        name=str(report["name"]),
        usable=str(report["usable"]),
        format=str(report["format"]),
        robot=str(report["robot"]),
        episodes=int(report["episodes"]),
        frames=int(report["frames"]),
        shortest=int(report["shortest"]),
        longest=int(report["longest"]),
        rate_hz=None if report["rate_hz"] is None else float(report["rate_hz"]),
        cameras=tuple((str(role), int(size[0]), int(size[1])) for role, size in report["cameras"].items()),
        dims=(int(report["state_dims"]), int(report["action_dims"])),
        instructions=tuple(map(str, report["instructions"])),
        findings=tuple(
            Finding(str(one["severity"]), str(one["words"]), str(one["meaning"]), tuple(map(int, one["episodes"])))
            for one in report["problems"]
        ),
        examined=int(report["examined"]),
    )


def _phase(job: JobStatus | None, inspected: bool) -> str:
    """One of app.views.mapping.PHASES."""
    if job is not None and not job.ended:
        return "importing" if job.function == "import_upload" else "reading"
    if job is not None and job.function == "import_upload" and job.state == "done":
        return "imported"
    return "inspected" if inspected else "unread"


def _camera(picture: PictureDocument, mapped: tuple[str, CameraDocument] | None, folder: Path) -> Camera:
    role, turns = mapped or ("", CameraDocument())
    url = ""
    if re.fullmatch(r"picture-\d{1,3}\.webp", str(picture.get("file", ""))):
        url = "data:image/webp;base64," + base64.b64encode((folder / picture["file"]).read_bytes()).decode()
    return Camera(
        feature=str(picture["feature"]),
        url=url,
        size=tuple(picture.get("size", ())),
        words=str(picture.get("words", "")),
        role=role,
        rotate=int(turns.get("rotate", 0)),
        mirror=bool(turns.get("mirror")),
        bgr=bool(turns.get("bgr")),
        either_order=bool(picture.get("either_order")),
    )


def _columns(given: Sequence[ColumnsDocument]) -> tuple[Columns, ...]:
    return tuple(
        Columns(str(one["feature"]), "" if one["indices"] is None else ranges_text(one["indices"])) for one in given
    )


def _places(given: Sequence[int] | None) -> str:
    return "" if given is None else ranges_text(given) or "none"
