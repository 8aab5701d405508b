"""What the page asks about uploads: receive, inspect, map, import, and the health of what was imported.

The files are opened by jobs only (`steering.pipeline.uploads`), in a process of their own; here lie their small
results, which are read back as data and escaped by the views. Milliseconds each.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.mapping_form import mapping_of, ranges, ranges_text
from app.receiving import Receiving
from app.views.health import Finding, HealthCard
from app.views.mapping import Camera, Columns, NumberFeature, UploadCard
from app.views.markup import without_places
from steering import hub, pipeline
from steering.errors import InputError, NotFound, SteeringError
from steering.jobs.client import Jobs
from steering.jobs.queue import JobStatus
from steering.pipeline.uploads import INSPECTION, inspection, upload_folder
from steering.selection import exchange, rules
from steering.store import Store
from steering.types import PAPER_SET_SIZE, Relevance

MOST_EPISODES = 200
UNUSABLE = ("unreadable", "nan", "short", "shapes", "duplicates")
"""Kinds of problems whose episodes are left out unless the user asks for them."""


class Uploads:
    """Uploads of a store. policy: gives the source of the policy that is open."""

    def __init__(self, store: Store, jobs: Jobs, policy: Callable[[], str]) -> None:
        self._store, self._jobs, self._policy = store, jobs, policy
        self.receiving = Receiving(store)

    def begin(self, owner: str, files: object) -> str:
        """Announce files; the id under which the browser sends them."""
        self._check_idle(owner)
        return self.receiving.begin(owner, files)

    def finish(self, owner: str, upload: str) -> None:
        """Everything was sent: queue the inspection."""
        self.receiving.check_owner(owner, upload)
        self.receiving.finish(upload)
        self._submit("inspect_upload", owner, upload)

    def from_hub(self, owner: str, dataset: str) -> None:
        """Queue the download and inspection of a dataset on the hub."""
        if not hub.is_id(dataset):
            raise InputError("Expected a dataset's id on the Hugging Face hub, as owner/name, e.g. lerobot/pusht.")
        self._check_idle(owner)
        self._submit("inspect_upload", owner, self.receiving.of_hub(owner, dataset))

    def abandon(self, owner: str, upload: str) -> None:
        """The browser stopped sending."""
        self._check_idle(owner)
        self.receiving.check_owner(owner, upload)
        self.receiving.remove(upload)

    def discard(self, owner: str) -> None:
        """Remove what the owner has sent, and stop what reads it."""
        for status in self._jobs.active(owner):
            if status.function in ("inspect_upload", "import_upload"):
                self._jobs.cancel(status.id)
        self.receiving.remove_of(owner)

    def check(self, owner: str, form: Mapping[str, Any]) -> None:
        """Queue an inspection with the mapping as corrected; as guessed where the form has none."""
        upload, folder = self._sent(owner)
        mapping = mapping_of(form, inspection(folder)) if "actions" in form else None
        self._submit("inspect_upload", owner, upload, mapping=mapping or None)

    def take(self, owner: str, form: Mapping[str, Any]) -> None:
        """Queue the import, with the mapping and the episodes of the form."""
        upload, folder = self._sent(owner)
        found = inspection(folder)
        if found["kind"] == "activations":
            task = str(form.get("task", ""))
            if task not in found["tasks"]:
                raise InputError("Choose one of the tasks in the file.")
            self._jobs.submit("import_upload", owner=owner, upload=upload, task=task)
            return
        count = found["report"]["episodes"]
        chosen = ranges(str(form.get("episodes", "")), count, "Episodes")
        if len(chosen) > MOST_EPISODES:
            raise InputError(f"{len(chosen)} episodes are more than {MOST_EPISODES}, the most at a time. Name fewer.")
        episodes = chosen if chosen != list(range(count)) else None
        skip = {"skip_unreadable": True} if form.get("skip_unreadable") else {}
        self._submit("import_upload", owner, upload, mapping=mapping_of(form, found) or None, episodes=episodes, **skip)

    def shown(self, owner: str) -> UploadCard | None:
        """The owner's upload as the page shows it; None where there is none."""
        sent = self.receiving.of_owner(owner)
        if sent is None:
            return None
        upload, name = sent
        folder = upload_folder(self._store, upload)
        job = self._job(owner, upload)
        card = UploadCard(upload, name, _phase(job, (folder / INSPECTION).is_file()))
        if job is not None and job.state == "failed":
            card = replace(
                card, error=without_places(job.error or "") or "The reason is not known; see worker.log in the store."
            )
        if card.phase == "imported" and job is not None and job.result:
            return self._imported(card, job.result)
        try:
            found = inspection(folder)
            described = found.get("kind") == "demonstrations"
            if not described:
                return replace(card, name=str(found["name"]), tasks=tuple(map(str, found["tasks"])))
            asked = job.arguments.get("mapping") if job is not None else None
            mapping = {**found["guessed"], **asked} if asked else found["report"]["mapping"]
            return self._described(card, found, mapping, folder)
        except (SteeringError, OSError):
            return card  # nothing was found yet

    def key(self, owner: str) -> str:
        """Changes whenever `shown` does."""
        sent = self.receiving.of_owner(owner)
        if sent is None:
            return ""
        job = self._job(owner, sent[0])
        return f"{sent[0]} {job.id if job else ''} {job.state if job else ''}"

    def health(self, demonstrations_id: str) -> HealthCard | None:
        """The report that was kept with imported demonstrations, or None."""
        try:
            found = pipeline.health(self._store, demonstrations_id)
            return None if found is None else health_card(found)
        except (SteeringError, KeyError, TypeError, ValueError):
            return None  # a damaged report must not hide the set

    def episode_problems(self, demonstrations_id: str) -> dict[int, list[str]]:
        """Episode of an imported set -> what its report found wrong with it; episodes without any are left out."""
        card = self.health(demonstrations_id)
        taken = self._store.manifest(demonstrations_id).params.get("episodes")  # of the dataset; None: all of them
        found: dict[int, list[str]] = {}
        for finding in card.findings if card else ():
            for episode in finding.episodes:
                if taken is None or episode in taken:
                    found.setdefault(episode if taken is None else taken.index(episode), []).append(finding.words)
        return found

    # -- pieces --------------------------------------------------------------------------------------------------

    def _submit(self, function: str, owner: str, upload: str, **arguments: Any) -> None:
        self._jobs.submit(function, owner=owner, upload=upload, policy=self._policy(), **arguments)

    def _job(self, owner: str, upload: str) -> JobStatus | None:
        """The newest job of an upload."""
        of_upload = (one for one in self._jobs.recent(owner) if one.arguments.get("upload") == upload)
        return next(of_upload, None)

    def _check_idle(self, owner: str) -> None:
        if any(one.function in ("inspect_upload", "import_upload") for one in self._jobs.active(owner)):
            raise InputError("Your last upload is being read. Wait until that has ended, or stop it.")

    def _sent(self, owner: str) -> tuple[str, Path]:
        sent = self.receiving.of_owner(owner)
        if sent is None:
            raise NotFound("There is no upload; it is kept for a day. Send the files again.")
        return sent[0], upload_folder(self._store, sent[0])

    def _imported(self, card: UploadCard, made: str) -> UploadCard:
        value = self._store.load(made)
        if not isinstance(value, Relevance):
            health = self.health(made)
            return replace(card, made=made, episodes=len(value.episodes), health=health)
        stacks = tuple(name for name, inert in zip(value.shape.names, value.inert, strict=True) if not inert.all())
        count = min(PAPER_SET_SIZE, int((~value.inert).sum()))
        best = rules.top_k(value, count, stacks)
        error, mean = best.cv_mse, value.baselines.get("mean_action")
        errors = None if error is None or mean is None else (error, mean)
        ranked = sorted(best.heads, key=lambda one: -value.score[value.shape.place(one)])
        return replace(card, made=made, heads=tuple(ranked), errors=errors, selection=exchange.to_json(best))

    def _described(
        self, card: UploadCard, found: Mapping[str, Any], mapping: Mapping[str, Any], folder: Path
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


def health_card(report: Mapping[str, Any]) -> HealthCard:
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


def _camera(picture: Mapping[str, Any], mapped: tuple[str, Mapping[str, Any]] | None, folder: Path) -> Camera:
    role, turns = mapped or ("", {})
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
    )


def _columns(given: list[Mapping[str, Any]]) -> tuple[Columns, ...]:
    return tuple(
        Columns(str(one["feature"]), "" if one["indices"] is None else ranges_text(one["indices"])) for one in given
    )


def _places(given: Sequence[int] | None) -> str:
    return "" if given is None else ranges_text(given) or "none"
