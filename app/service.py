"""The gateway to `steering`: the only module of the page that reads the store, chooses heads and submits jobs.

Everything heavy is a job in a worker process; what is called here directly (selection rules, counting, reading
results) takes milliseconds and imports neither torch nor MuJoCo.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from app.comparing import Comparing
from app.damage import lines, of_scores, unless_damaged
from app.driving import Driving
from app.evidence import Grid
from app.exports import Exports
from app.holdings import Holdings, day
from app.laboratory import Laboratory
from app.measures import Measure, chosen
from app.policies import Policies
from app.previews import Previews
from app.results import Results
from app.scores import Scores
from app.training import Training
from app.uploads import Uploads
from app.views.demonstrations import SetCard
from app.views.jobs import JobLine
from app.views.markup import without_places
from app.visible import VisitorStore
from steering.errors import InputError, SteeringError
from steering.jobs.client import Jobs
from steering.jobs.queue import JobStatus
from steering.pipeline import RESUMABLE
from steering.public import is_public
from steering.relevance.keyframes import of_demonstrations
from steering.store import Store
from steering.types import CAMERAS, METHOD_LABELS, Demonstrations, Episode, Relevance, Robot

ASSETS = Path(__file__).resolve().parents[1] / "assets"
TASKS = ("place_marker_in_mug", "press_button", "pick_cube", "place_cube_in_bowl", "push_cup_to_bowl")
UNSEEN_TASK = "pick_mug"
VARIATIONS = ("lighting", "form", "distractors")
_TITLES = {
    "record": "Recording demonstrations",
    "inspect_upload": "Looking at your upload",
    "import_upload": "Importing your upload",
    "find_heads": "Finding heads",
    "attention": "Computing attention",
    "measure": "Measuring heads",
    "attribute": "Measuring heads with the policy",
    "head_change": "Scoring the finetuned heads",
    "trust": "Measuring intervals and chance",
    "select": "Growing a head set",
    "evaluate": "Running the methods in the same scenes",
    "open_loop": "Predicting held-out action chunks",
    "open_policy": "Opening a policy",
}

_AGAIN_ELSEWHERE = ("inspect_upload", "import_upload", "open_policy")  # their forms stay, filled in
_KEEP_ENDED_S, _KEPT_JOBS = 3600.0, 40


def store_folder() -> Path:
    """Where results are kept: STEERING_STORE, else `.workbench` in the current folder."""
    return Path(os.environ.get("STEERING_STORE", ".workbench"))


def default_store() -> Store:
    """The user's store over the sample store."""
    samples = Path(os.environ.get("STEERING_SAMPLES", ASSETS / "samples"))
    return Store(store_folder(), readonly=[samples] if samples.is_dir() else [])


class Workbench(Scores):
    """What the page can ask for; what concerns heads stands in `app.scores`.

    policy: the source of the first one, see `app.policies`; roots: folders whose policies browsers may open.
    """

    def __init__(self, store: Store, jobs: Jobs, policy: str = "embedded", roots: Sequence[Path] = ()) -> None:
        self.seen = store = VisitorStore(store)
        super().__init__(store, Policies(store, jobs, policy, roots))
        self.jobs = jobs
        self.previews = Previews(store)
        self.results = Results(store, self.previews)
        self.laboratory = Laboratory(self, jobs, self.previews)
        self.exports = Exports(store, self.previews, self, self.laboratory.trust)
        self.training = Training(self)
        self.comparing = Comparing(store, jobs, self)
        self.grid = Grid()
        self.uploads = Uploads(store, jobs, lambda: self.policy)
        self.driving = Driving(store)
        self.holdings = Holdings(self, store)
        self._dismissed: set[str] = set()  # failures that were read, until the server ends

    def measure_shown(self, demonstrations_id: str, key: str) -> Measure | None:
        """The measure of `key`: stored, or asked of kept neighbours; else the first stored one."""
        asked = self.laboratory.answers(demonstrations_id, key) if demonstrations_id else None
        return asked or chosen(tuple(self.measures(demonstrations_id)), key)

    def relevance(self, demonstrations_id: str, measure: str = "") -> Relevance | None:
        """The scores of `measure_shown`."""
        asked = self.laboratory.answers(demonstrations_id, measure) if demonstrations_id else None
        return (
            self.laboratory.relevance(demonstrations_id, asked)
            if asked
            else super().relevance(demonstrations_id, measure)
        )

    def warm(self) -> None:
        """Begin to make the first screen's files while the browser is still on its way."""
        if found := self.open_set():
            self.previews.ahead(found, partial(self._sheets, found))
            if attention := unless_damaged(self.attention, found, 0):
                self.previews.ahead(attention[0], partial(self._weights, attention[0]))

    def _sheets(self, demonstrations_id: str) -> list[str]:
        """Addresses of what opening a set shows first."""
        return list(self.previews.sprites(demonstrations_id, 0, self.episode(demonstrations_id, 0).cameras).values())

    def _weights(self, attention_id: str) -> list[str]:
        """Address of the attention of an episode, whose masses are read on the way: a second at π0's size."""
        self.masses(attention_id)
        return [self.previews.attention(attention_id)]

    def prepare(self, demonstrations_id: str) -> None:
        """Once the first screen stands: start the worker, and begin the small pictures that "Why this head" shows."""
        self.jobs.warm()
        if demonstrations_id and self.laboratory.captured(demonstrations_id):
            shown = f"small pictures of {demonstrations_id}"
            self.previews.ahead(shown, lambda: [self.laboratory.thumbnails(demonstrations_id)["url"]])

    # -- demonstrations ------------------------------------------------------------------------------------------

    def sets(self) -> list[SetCard]:
        """Every demonstration set that whoever asks may see, own ones first, newest first."""
        cards = []
        for manifest in self.store.find("demonstrations"):
            try:
                cards.append(self.card(manifest.id))
            except SteeringError:
                continue  # the line about damage names it
        return sorted(cards, key=lambda card: card.sample)

    def card(self, demonstrations_id: str) -> SetCard:
        """What a set's card says."""
        until_s = self.holdings.kept_until_s(demonstrations_id)
        value, scores = self._summary(demonstrations_id), self.relevance_id(demonstrations_id)
        return SetCard(
            id=demonstrations_id,
            name=value.name,
            task=value.task,
            instruction=" → ".join(value.episodes[0].all_instructions),
            variations=value.variations,
            frames=tuple(episode.frames for episode in value.episodes),
            outcomes=tuple(episode.success for episode in value.episodes),
            sample=self.store.is_sample(demonstrations_id),
            own=self.seen.owns(demonstrations_id),
            kept_until="" if until_s is None else day(until_s),
            scored=scores is not None,
            damaged=scores is None and of_scores(self.store, demonstrations_id) is not None,
            old=self.store.old_words(demonstrations_id) or (self.store.old_words(scores) if scores else ""),
            usable=health.usable if (health := self.uploads.health(demonstrations_id)) else "",
            by=str(self.store.manifest(demonstrations_id).params.get("by", "")),
        )

    def card_images(self, demonstrations_id: str) -> tuple[str, ...]:
        """Addresses of the first frames of the first episode."""
        cameras = self._summary(demonstrations_id).episodes[0].cameras
        return tuple(self.previews.thumbnail(demonstrations_id, 0, camera) for camera in cameras)

    def thumbnails(self, demonstrations_id: str) -> list[str]:
        """Address of the first exterior frame of every episode."""
        episodes = self._summary(demonstrations_id).episodes
        camera = CAMERAS[0] if CAMERAS[0] in episodes[0].cameras else next(iter(episodes[0].cameras))
        return [self.previews.thumbnail(demonstrations_id, i, camera) for i in range(len(episodes))]

    def open_set(self, wanted: str = "") -> str:
        """`wanted` where it exists; else a scored set, samples before others; else any; else an empty string."""
        self.seen.follow(wanted)
        known = {manifest.id for manifest in self.store.find("demonstrations")}
        if wanted in known and unless_damaged(self._summary, wanted):
            return wanted
        cards = sorted(self.sets(), key=lambda card: (not card.scored, not card.sample))
        return cards[0].id if cards else ""

    def why_not_open(self, demonstrations_id: str) -> str:
        """Why `open_set` gives another set than this one."""
        try:
            self._summary(demonstrations_id)
        except SteeringError as error:
            return f"{without_places(str(error))} The first set is shown instead."
        return ""

    def damage(self) -> list[str]:
        """What of the store is damaged and what remakes it, as far as it was looked at."""
        return [without_places(line) for line in lines(self.store)]

    def episode(self, demonstrations_id: str, index: int) -> Episode:
        """One episode; its frames are decoded when touched, and not kept by this process."""
        episodes: tuple[Episode, ...] = self.store.load(demonstrations_id).episodes
        return episodes[min(max(index, 0), len(episodes) - 1)]

    def keyframes(self, demonstrations_id: str, index: int) -> np.ndarray:
        """bool [frame]: the keyframes of an episode."""
        return of_demonstrations(self._summary(demonstrations_id))[index]

    def robot(self, demonstrations_id: str) -> Robot:
        """What the columns of states and actions are."""
        return self._summary(demonstrations_id).columns

    def _summary(self, demonstrations_id: str) -> Demonstrations:
        value = self.load(demonstrations_id)  # frames stay undecoded: nothing here touches them
        if not isinstance(value, Demonstrations) or not value.episodes:
            raise InputError(f"{demonstrations_id} holds no demonstrations. Choose another set.")
        return value

    # -- jobs ----------------------------------------------------------------------------------------------------

    def record(self, owner: str, task: str, count: int, seed: int, variations: Sequence[str]) -> str:
        """Queue a recording."""
        chosen = [name for name in VARIATIONS if name in variations]
        return self.jobs.submit("record", owner=owner, task=task, count=count, seed=seed, variations=chosen)

    def find_heads(self, owner: str, demonstrations_id: str) -> str:
        """Queue everything that the Heads step opens with, as one job."""
        return self.jobs.submit("find_heads", owner=owner, demonstrations_id=demonstrations_id, policy=self.policy)

    def compute_attention(self, owner: str, demonstrations_id: str, index: int) -> str:
        """Queue the attention weights of an episode."""
        return self.jobs.submit(
            "attention", owner=owner, demonstrations_id=demonstrations_id, episode=index, policy=self.policy
        )

    def work(self, owner: str) -> list[JobLine]:
        """The jobs of an owner, newest first; ended ones for an hour."""
        since_s = time.time() - _KEEP_ENDED_S
        return [
            replace(_line(status, self.training), dismissed=status.id in self._dismissed)
            for status in self.jobs.recent(owner, limit=_KEPT_JOBS)
            if not status.ended or (status.ended_s or 0) > since_s
        ]

    def follow(self, work: Sequence[JobLine]) -> None:
        """Begin to make the files that show what has just ended, while the browser is still on its way."""
        for job in work:
            if job.state != "done" or job.result is None:
                continue
            if job.function in ("record", "import_upload"):
                self.previews.ahead(job.result, partial(self._sheets, job.result))
            if job.function == "attention":
                self.previews.ahead(job.result, partial(self._weights, job.result))
            if job.function == "find_heads":
                found = unless_damaged(self.attention, str(job.arguments["demonstrations_id"]), 0)
                if found is not None:
                    self.previews.ahead(found[0], partial(self._weights, found[0]))

    def heads_after(self, owner: str, adapter_id: str) -> str | None:
        """The heads before and after a finetune where they were scored; else None, and the job that scores them."""
        if self.store.manifest(adapter_id).kind != "adapter":
            raise InputError("Only a finished finetune has heads to score. Choose one of the results.")
        for manifest in self.store.find("head_change"):
            if adapter_id in manifest.parents:
                return manifest.id
        self.jobs.submit("head_change", owner=owner, adapter_id=adapter_id)
        return None

    def just_scored(self, owner: str) -> str | None:
        """What the owner's newest job made, where it scored the heads of a finetune."""
        for status in self.jobs.recent(owner, limit=1):
            if status.function == "head_change" and status.state == "done":
                return status.result
        return None

    def histories(self, owner: str) -> dict[str, tuple[Mapping[str, float], ...]]:
        """Method, or label of a control -> the numbers that its newest finetune of this owner reported."""
        found: dict[str, tuple[Mapping[str, float], ...]] = {}
        for status in self.jobs.recent(owner):
            if status.function == "finetune" and status.metrics:
                found.setdefault(self.training.curve_of(status.arguments), status.metrics)
        known = [method for method in METHOD_LABELS if method in found]
        return {name: found[name] for name in (*known, *sorted(found.keys() - set(known)))}

    def stop(self, owner: str, job_id: str) -> None:
        """Stop a job of this owner."""
        self.jobs.cancel(self._own_job(owner, job_id).id)

    def again(self, owner: str, job_id: str) -> None:
        """Start an ended job of this owner once more, as it was asked for; a training goes on from its checkpoint."""
        job = self._own_job(owner, job_id)
        if job.ended:
            self.jobs.submit(job.function, owner=owner, **job.arguments)

    def dismiss(self, owner: str, job_id: str) -> None:
        """Show the failure of a job of this owner no more."""
        self._dismissed.add(self._own_job(owner, job_id).id)

    def forget(self) -> None:
        """Something was deleted: keep nothing of it in memory."""
        self.store.forget()
        self.masses.cache_clear()

    def _own_job(self, owner: str, job_id: str) -> JobStatus:
        """A job of this owner; on a server of one's own, any. Raises InputError for somebody else's."""
        status = self.jobs.status(job_id)
        if is_public() and status.visitor != owner:
            raise InputError("This is somebody else's job. You can stop, repeat and dismiss your own.")
        return status


def _again(function: str) -> str:
    if function in _AGAIN_ELSEWHERE:
        return ""
    return "Continue" if function in RESUMABLE else "Try again"


def _line(status: JobStatus, training: Training) -> JobLine:
    method = str(status.arguments.get("method", ""))
    title = (
        f"Finetuning: {training.name_of(status.arguments)}"
        if status.function == "finetune"
        else _TITLES.get(status.function, status.function)
    )
    return JobLine(
        id=status.id,
        title=title,
        state=status.state,
        fraction=status.fraction,
        message=status.message,
        left_s=status.left_s,
        position=status.position,
        error=None if status.error is None else without_places(status.error),
        result=status.result,
        method=method,
        function=status.function,
        arguments=status.arguments,
        stopping=status.cancel_requested and not status.ended,
        again=_again(status.function),
        starts_in_s=status.starts_in_s,
    )
