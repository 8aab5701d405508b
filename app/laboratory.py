"""What the page asks beyond a stored score: other questions to kept neighbours, why a head, gains, sets, two measures.

Part of the gateway (`app.service.Workbench`). What rests on cached head outputs is computed here, in a fraction of a
second and without torch; what runs the policy is a job in the warm worker, whose result is read from the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from app.damage import unless_damaged
from app.measures import BEST, Measure, nearest, parsed
from app.previews import Previews
from app.views.markup import without_places
from steering import pipeline
from steering.errors import InputError, NotFound, SteeringError
from steering.integrity import Damaged
from steering.jobs.client import Jobs
from steering.metrics import WITH_POLICY
from steering.selection import controls, rules
from steering.types import (
    PHASES,
    FrameAttention,
    GainSweep,
    Head,
    Projection,
    Relevance,
    RelevanceOverTime,
    SetError,
    Trust,
    Why,
)

if TYPE_CHECKING:
    from app.scores import Scores

TARGETS = ("action", "chunk", "state", "gripper", "object", "instruction")
LIVE_K = 20  # of a question that was not stored, where none is chosen
NEIGHBOURS_SHOWN = 6
RECENT_S = 15.0  # a job that ended so long ago was watched by this page
NO_OUTPUTS = (
    "This needs what every head said at every frame, which is not kept for these demonstrations yet. "
    "Measure this set runs the policy over them once, in about a minute."
)


@dataclass(frozen=True)
class Pending:
    """A job that an answer waits for, in words; `failed` where there will be none. job_id: to stop it. left_s: None
    where not known.
    """

    message: str
    failed: bool = False
    job_id: str = ""
    left_s: float | None = None


@dataclass(frozen=True)
class Ended:
    """A job of the laboratory that has just ended well: `function` of the pipeline and the id of its result."""

    function: str
    result: str


class Laboratory:
    """Questions about heads over a store; `scores` knows what is stored."""

    def __init__(self, scores: Scores, jobs: Jobs, previews: Previews) -> None:
        self._scores, self._store, self._jobs, self._previews = scores, scores.store, jobs, previews
        self._rescored = lru_cache(maxsize=12)(self._rescore)
        self._timed = lru_cache(maxsize=4)(self._over_time)
        self._asked_of_set = lru_cache(maxsize=256)(self._set_error)

    # -- what is kept --------------------------------------------------------------------------------------------

    def captured(self, demonstrations_id: str) -> str | None:
        """The newest head outputs of a set, of every frame, that fit the policy."""
        for manifest in self._store.find("activations"):
            whole = demonstrations_id in manifest.parents and manifest.params.get("stride", 1) == 1
            if whole and self._scores.policies.made(manifest):
                return manifest.id
        return None

    def neighbours(self, demonstrations_id: str) -> str | None:
        """The neighbours of all frames of a set."""
        captured = self.captured(demonstrations_id)
        for manifest in self._store.find("neighbours"):
            if captured in manifest.parents and not manifest.params.get("keyframes"):
                return manifest.id
        return None

    def tokens(self, demonstrations_id: str) -> str:
        """Where the kept head outputs were read, as in `Measure.tokens`; empty where none are kept."""
        found = self.neighbours(demonstrations_id)
        if found is None:
            return ""
        params = self._store.manifest(self._store.manifest(found).parents[0]).params
        return f"{params.get('vlm_token', 'last_prefix')}+{params.get('expert_token', 'first_action')}"

    def targets(self, demonstrations_id: str) -> tuple[str, ...]:
        """What heads can be asked to tell of a set."""
        episodes = self._scores.load(demonstrations_id).episodes
        known = set(TARGETS)
        if not any(episode.ground_truth for episode in episodes):
            known.discard("object")
        if len({text for episode in episodes for text in episode.all_instructions}) < 2:
            known.discard("instruction")
        return tuple(name for name in TARGETS if name in known)

    # -- other questions to kept neighbours ----------------------------------------------------------------------

    def answers(self, demonstrations_id: str, key: str) -> Measure | None:
        """The question of `key` where kept neighbours answer it at once."""
        from steering.relevance.knn import KS

        measure = parsed(key)
        if measure is None or measure.k == BEST or measure.metric != "knn" or int(measure.k) not in KS:
            return None
        fits = measure.tokens == self.tokens(demonstrations_id) and measure.preset in ("paper", "default")
        asked = measure.phase in ("whole", *PHASES) and measure.target in self.targets(demonstrations_id)
        return measure if fits and asked else None

    def asked(
        self, demonstrations_id: str, available: Sequence[Measure], current: Measure, field: str, value: str
    ) -> Measure:
        """The measure with `value` in `field` and all else as it is: stored, asked at once, or the nearest stored."""
        wanted = replace(current, **{field: value})
        if wanted in available:
            return wanted
        live = replace(wanted, k=str(LIVE_K)) if wanted.k == BEST and field != "k" else wanted
        for one in (replace(wanted, k=BEST), live):
            if one in available and field != "k":
                return one
            if self.answers(demonstrations_id, one.key):
                return one
        return nearest(available, current, field, value)

    def relevance(self, demonstrations_id: str, measure: Measure) -> Relevance:
        """The scores of a question of `answers`, about 0.1 s at the embedded size."""
        found = self.neighbours(demonstrations_id)
        if found is None:
            raise InputError(NO_OUTPUTS)
        return self._rescored(found, measure)

    def _rescore(self, neighbours_id: str, measure: Measure) -> Relevance:
        return pipeline.rescore(
            self._store,
            neighbours_id=neighbours_id,
            k=int(measure.k),
            preset=measure.preset,
            target=measure.target,
            phase=measure.phase,
        )

    def over_time(self, demonstrations_id: str, measure: Measure) -> RelevanceOverTime | None:
        """k-NN relevance by time in the episode, from kept neighbours or as it came with the samples; else None."""
        by_neighbours = measure.metric == "knn" and measure.target in self.targets(demonstrations_id)
        k = LIVE_K if measure.k == BEST else int(measure.k)
        preset, target = (measure.preset, measure.target) if by_neighbours else ("default", "action")
        found = self.neighbours(demonstrations_id)
        if found is not None:
            return self._timed(found, k, preset, target)
        captured, asked = self.captured(demonstrations_id), {"k": k, "preset": preset, "target": target}
        for manifest in self._store.find("over_time"):
            if captured in manifest.parents and dict(manifest.params) == asked:
                return self._whole(manifest.id)
        return None

    def _over_time(self, neighbours_id: str, k: int, preset: str, target: str) -> RelevanceOverTime | None:
        try:
            return pipeline.over_time(self._store, neighbours_id=neighbours_id, k=k, preset=preset, target=target)
        except SteeringError:
            return None  # a target that this baseline cannot be asked about has no strip; nor have damaged neighbours

    # -- jobs that measure ---------------------------------------------------------------------------------------

    def measure(self, owner: str, demonstrations_id: str, metric: str, preset: str, target: str, phase: str) -> str:
        """Queue a score of the heads: a metric that runs the policy, or one from head outputs with its question."""
        if metric in WITH_POLICY:
            return self._jobs.submit(
                "attribute",
                owner=owner,
                demonstrations_id=demonstrations_id,
                metric=metric,
                policy=self._scores.policy,
            )
        return self._jobs.submit(
            "measure",
            owner=owner,
            demonstrations_id=demonstrations_id,
            metric=metric,
            preset=preset,
            target=target,
            phase=phase,
            policy=self._scores.policy,
        )

    def measure_trust(self, owner: str, demonstrations_id: str, measure: Measure | None) -> str:
        """Queue intervals and null of the score shown; of k-NN beyond state and time where none can be resampled."""
        knn = measure is not None and measure.metric == "knn"
        relevance_id = self._scores.measures(demonstrations_id).get(measure) if knn and measure is not None else None
        if relevance_id and self._has_outputs(relevance_id):
            return self._jobs.submit("trust", owner=owner, relevance_id=relevance_id)
        asked = {name: getattr(measure, name) for name in ("preset", "target", "phase")} if knn else {}
        return self._jobs.submit(
            "measure",
            owner=owner,
            demonstrations_id=demonstrations_id,
            metric="knn",
            trusted=True,
            policy=self._scores.policy,
            **asked,
        )

    def trust(self, demonstrations_id: str, measure: str) -> Trust | None:
        """Intervals and null of the scores shown, where they were measured."""
        stored = not self.answers(demonstrations_id, measure)
        relevance_id = self._scores.relevance_id(demonstrations_id, measure) if stored else None
        return self._scores.trust(relevance_id) if relevance_id else None

    def ended(self, owner: str, now_s: float) -> Ended | None:
        """The newest job of the owner, where it measured or chose heads, ended well and did so just now."""
        for status in self._jobs.recent(owner, limit=1):
            just = status.ended_s is not None and now_s - status.ended_s < RECENT_S
            if just and status.result and status.function in ("measure", "attribute", "trust", "select"):
                return Ended(status.function, status.result)
        return None

    def measure_of_result(self, demonstrations_id: str, result: str) -> str:
        """The key of the measure of a relevance, or of the one that a trust is of; empty where it is another's."""
        manifest = self._store.manifest(result)
        wanted = manifest.parents[0] if manifest.kind == "trust" else result
        found = self._scores.measures(demonstrations_id).items()
        return next((measure.key for measure, stored in found if stored == wanted), "")

    def _has_outputs(self, relevance_id: str) -> bool:
        """Whether head outputs were kept; damaged ones count, so that asking says what remakes them."""
        captured = self._store.manifest(relevance_id).parents[0]
        try:
            return captured.startswith("activations-") and bool(self._store.folder(captured))
        except Damaged:
            return True
        except NotFound:
            return False  # the samples may come without

    # -- head sets -----------------------------------------------------------------------------------------------

    def above_null(self, demonstrations_id: str, measure: str, stacks: Sequence[str]) -> tuple[Head, ...]:
        """Every head better than chance by the Trust of the measure shown."""
        relevance, trust = self._scores.relevance(demonstrations_id, measure), self.trust(demonstrations_id, measure)
        if trust is None or relevance is None or not trust.permutations:
            raise InputError(
                "Chance was not measured for these scores yet. Open Measure… and press Intervals and chance."
            )
        return rules.above_null(relevance, trust.p, stacks=tuple(stacks)).heads

    def within(
        self, demonstrations_id: str, measure: str, parameters: int, rank: int, stacks: Sequence[str]
    ) -> tuple[Head, ...]:
        """As many of the best heads as train at most `parameters` at `rank`."""
        size = self._scores.size
        relevance = self._scored(demonstrations_id, measure)
        return rules.budget(relevance, parameters, lambda heads: size.steering(heads, rank), tuple(stacks)).heads

    def other_task(self, demonstrations_id: str, measure: str, count: int, stacks: Sequence[str]) -> tuple[Head, ...]:
        """The control: the best heads of another task, by the same metric."""
        relevance, found = self._scored(demonstrations_id, measure), self.other_relevance(demonstrations_id, measure)
        other = self._scores.load(self._store.manifest(found).parents[-1])
        return controls.other_task(
            relevance, self._scores.load(found), other.task or other.name, count, tuple(stacks)
        ).heads

    def other_relevance(self, demonstrations_id: str, measure: str) -> str:
        """The newest scores of another task by the metric that is shown. Raises InputError where there are none."""
        relevance = self._scored(demonstrations_id, measure)
        for manifest in self._store.find("demonstrations"):
            other = self._whole(manifest.id)
            if other is not None and other.task != self._scores.load(demonstrations_id).task:
                for asked, found in self._scores.measures(manifest.id).items():
                    if asked.metric == relevance.metric:
                        return found
        raise InputError(
            "No demonstrations of another task were scored by this measure. Record another task in the Demonstrations "
            "step, press Find heads there, and come back."
        )

    def greedy(self, owner: str, demonstrations_id: str, measure: str, count: int, stacks: Sequence[str]) -> str:
        """Queue the forward selection."""
        relevance_id = self._askable(demonstrations_id, measure)
        if relevance_id is None:
            raise InputError(NO_OUTPUTS)
        return self._jobs.submit(
            "select", owner=owner, relevance_id=relevance_id, rule="greedy", count=count, stacks=list(stacks)
        )

    def set_error(self, demonstrations_id: str, measure: str, heads: Sequence[Head]) -> SetError | None:
        """Held-out error of a head set; None without heads or head outputs."""
        relevance_id = self._askable(demonstrations_id, measure)
        return self._asked_of_set(relevance_id, tuple(heads)) if relevance_id and heads else None

    def _set_error(self, relevance_id: str, heads: tuple[Head, ...]) -> SetError:
        return pipeline.held_out_error(self._store, relevance_id=relevance_id, heads=heads)

    def _askable(self, demonstrations_id: str, measure: str) -> str | None:
        """A k-NN relevance whose head outputs are kept: that of the measure shown, else the newest."""
        shown = self._scores.relevance_id(demonstrations_id, measure)
        others = [found for asked, found in self._scores.measures(demonstrations_id).items() if asked.metric == "knn"]
        for found in ([shown] if shown in others else []) + others:
            if found and self._has_outputs(found):
                return found
        return None

    def _scored(self, demonstrations_id: str, measure: str) -> Relevance:
        relevance = self._scores.relevance(demonstrations_id, measure)
        if relevance is None:
            raise self._scores.no_scores(demonstrations_id)
        return relevance

    # -- one head ------------------------------------------------------------------------------------------------

    def why(self, demonstrations_id: str, head: Head, episode: int) -> list[Why]:
        """The nearest frames of every frame of an episode."""
        captured = self._captured(demonstrations_id)
        frames = self._scores.load(demonstrations_id).episodes[episode].frames
        return pipeline.why(
            self._store, activations_id=captured, head=head, episode=episode, frames=range(frames), k=NEIGHBOURS_SHOWN
        )

    def thumbnails(self, demonstrations_id: str) -> dict[str, Any]:
        """Address and layout of one picture with every frame of the set, small."""
        return self._previews.atlas(demonstrations_id)

    def projection(self, demonstrations_id: str, head: Head) -> Projection:
        """The head's outputs in the plane."""
        return pipeline.projection(self._store, activations_id=self._captured(demonstrations_id), head=head)

    def sweep(self, owner: str, demonstrations_id: str, head: Head, episode: int, frame: int) -> GainSweep | Pending:
        """The predicted actions with the head at every gain, once its job has run."""
        row = [head.stack, head.layer, head.head]
        wanted = {"head": row, "episode": episode, "frame": frame}
        return self._job(owner, "predicted_path", "gain_sweep", demonstrations_id, wanted)

    def words(self, owner: str, demonstrations_id: str, episode: int, frame: int) -> FrameAttention | Pending:
        """Attention of all heads at a frame, once its job has run."""
        wanted = {"episode": episode, "frame": frame}
        return self._job(owner, "attention_at", "frame_attention", demonstrations_id, wanted)

    def _job(self, owner: str, function: str, kind: str, demonstrations_id: str, wanted: dict[str, Any]) -> Any:
        """The newest artefact with these parameters, else the state of the job that makes it."""
        asked = {**wanted, "policy": self._scores.policy}
        for manifest in self._store.find(kind):
            fits = demonstrations_id in manifest.parents and asked.items() <= dict(manifest.params).items()
            if fits and (found := self._whole(manifest.id)):
                return found
        owner = _asking(owner)
        arguments = {"demonstrations_id": demonstrations_id, **asked}
        for status in self._jobs.recent(owner):
            if status.function == function and dict(status.arguments) == arguments and status.ended:
                if status.state == "failed" and status.error:
                    return Pending(without_places(status.error), failed=True)
                break
        else:
            for status in self._jobs.active(owner):  # what was asked before and waits is of no use now
                if dict(status.arguments) != arguments and status.state == "queued":
                    self._jobs.cancel(status.id)
        status = self._jobs.status(self._jobs.submit(function, owner=owner, **arguments))
        waits = status.state == "queued" and status.position > 1
        message = f"Waits for other work, place {status.position}" if waits else status.message or "Starting"
        return Pending(message, job_id=status.id, left_s=status.left_s)

    def _whole(self, artefact_id: str) -> Any:
        """An artefact; None where it is damaged, and is to be made again."""
        return unless_damaged(self._scores.load, artefact_id)

    def _captured(self, demonstrations_id: str) -> str:
        found = self.captured(demonstrations_id)
        if found is None:
            raise InputError(NO_OUTPUTS)
        return found


def _asking(owner: str) -> str:
    """Who owns the jobs behind an owner's questions: the panel shows them, not the page's list."""
    return f"{owner}-laboratory"
