"""By which measures heads were scored, other questions to what is kept, and jobs that measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from app.answers.jobs import Ended
from app.answers.measures import BEST, Measure, chosen, measure_of, nearest, parsed, precedence
from app.damage import of_scores, unless_damaged
from app.questions.context import Context, remembered
from app.visitors import owner
from steering import pipeline
from steering.errors import InputError, NotFound, SteeringError
from steering.integrity import Damaged
from steering.metrics import KS, PRESETS, WITH_POLICY
from steering.types import (
    PHASES,
    Demonstrations,
    HeadShape,
    RankAgreement,
    Relevance,
    RelevanceOverTime,
    Spread,
    Trust,
)

Value = TypeVar("Value")
TARGETS = ("action", "chunk", "state", "gripper", "object", "instruction")


LIVE_K = 20  # of a question that was not stored, where none is chosen


NO_OUTPUTS = (
    "This needs what every head said at every frame, which is not kept for these demonstrations yet. "
    "Measure this set runs the policy over them once, in about a minute."
)


def stored(context: Context, demonstrations_id: str) -> dict[Measure, str]:
    """Every measure that a set was scored by -> its newest relevance, by `precedence`, then newest first."""
    found: dict[Measure, str] = {}
    for manifest in context.store.find("relevance"):
        if demonstrations_id in manifest.parents and context.policies.made(manifest):
            value, shape = whole(context, manifest.id, Relevance), _shape(context)
            if value is None:
                continue
            if shape is None or shape.has_the_heads_of(value.shape):
                found.setdefault(measure_of(manifest.params, value), manifest.id)
    return dict(sorted(found.items(), key=lambda one: precedence(one[0])))


def relevance_id(context: Context, demonstrations_id: str, measure: str = "") -> str | None:
    """The newest score of the heads over a set by `measure` (a key), else by the first of `measures`."""
    available = stored(context, demonstrations_id)
    found = chosen(tuple(available), measure)
    return available[found] if found else None


def shown(context: Context, demonstrations_id: str, key: str) -> Measure | None:
    """The measure of `key`: stored, or asked of kept neighbours; else the first stored one."""
    asked = answered(context, demonstrations_id, key) if demonstrations_id else None
    return asked or chosen(tuple(stored(context, demonstrations_id)), key)


def relevance(context: Context, demonstrations_id: str, measure: str = "") -> Relevance | None:
    """The scores of the measure that `shown` gives."""
    asked = answered(context, demonstrations_id, measure) if demonstrations_id else None
    if asked:
        return rescored(context, demonstrations_id, asked)
    found = relevance_id(context, demonstrations_id, measure)
    return context.load(found, Relevance) if found else None


def scored(context: Context, demonstrations_id: str, measure: str) -> Relevance:
    """The scores of the measure that is shown. Raises where there are none (`no_scores`)."""
    found = relevance(context, demonstrations_id, measure)
    if found is None:
        raise no_scores(context, demonstrations_id)
    return found


def no_scores(context: Context, demonstrations_id: str) -> SteeringError:
    """Why a set has no scores that could be used: they are damaged, or were never made."""
    if found := of_scores(context.store, demonstrations_id):
        return Damaged(found)
    return NotFound("These demonstrations have no head scores yet. Press Find heads on their card first.")


def spread(context: Context, demonstrations_id: str, measure: Measure) -> Spread | None:
    """Frames, keyframes and weights that a score of `measure` is measured on; None where it predicts nothing."""
    if measure.preset not in PRESETS:
        return None
    own = stored(context, demonstrations_id).get(measure)
    keyframes = bool(own and context.store.manifest(own).params.get("keyframes"))
    scores = relevance(context, demonstrations_id, measure.key)
    steps = 1 + max((int(name.rpartition("@")[2]) for name in _steps(scores)), default=0)
    try:
        return _spread(context, demonstrations_id, measure.preset, measure.target, measure.phase, keyframes, steps)
    except SteeringError:
        return None  # a target that these demonstrations do not have


@remembered(64)
def _spread(
    context: Context, demonstrations_id: str, preset: str, target: str, phase: str, keyframes: bool, steps: int
) -> Spread:
    return pipeline.spread(
        context.store,
        demonstrations_id=demonstrations_id,
        preset=preset,
        target=target,
        phase=phase,
        keyframes=keyframes,
        steps=steps,
    )


def old_words(context: Context, demonstrations_id: str, measure: Measure) -> str:
    """That a stored score was made by an older version, in words; empty for one of today."""
    own = stored(context, demonstrations_id).get(measure)
    return context.store.old_words(own) if own else ""


def trust_of(context: Context, relevance_id: str) -> Trust | None:
    """Intervals, stability and null of a relevance, where they were computed."""
    found = [manifest for manifest in context.store.find("trust") if relevance_id in manifest.parents]
    return context.load(found[0].id, Trust) if found else None


def trust(context: Context, demonstrations_id: str, measure: str) -> Trust | None:
    """Intervals and null of the scores shown, where they were measured."""
    if answered(context, demonstrations_id, measure):
        return None
    own = relevance_id(context, demonstrations_id, measure)
    return trust_of(context, own) if own else None


def captured(context: Context, demonstrations_id: str) -> str | None:
    """The newest head outputs of a set, of every frame, that fit the policy."""
    for manifest in context.store.find("activations"):
        whole = demonstrations_id in manifest.parents and manifest.params.get("stride", 1) == 1
        if whole and context.policies.made(manifest):
            return manifest.id
    return None


def neighbours(context: Context, demonstrations_id: str) -> str | None:
    """The neighbours of all frames of a set."""
    outputs = captured(context, demonstrations_id)
    for manifest in context.store.find("neighbours"):
        if outputs in manifest.parents and not manifest.params.get("keyframes"):
            return manifest.id
    return None


def tokens(context: Context, demonstrations_id: str) -> str:
    """Where the kept head outputs were read, as in `Measure.tokens`; empty where none are kept."""
    found = neighbours(context, demonstrations_id)
    if found is None:
        return ""
    params = context.store.manifest(context.store.manifest(found).parents[0]).params
    return f"{params.get('vlm_token', 'last_prefix')}+{params.get('expert_token', 'first_action')}"


def targets(context: Context, demonstrations_id: str) -> tuple[str, ...]:
    """What heads can be asked to tell of a set."""
    episodes = context.load(demonstrations_id, Demonstrations).episodes
    known = set(TARGETS)
    if not any(episode.ground_truth for episode in episodes):
        known.discard("object")
    if len({text for episode in episodes for text in episode.all_instructions}) < 2:
        known.discard("instruction")
    return tuple(name for name in TARGETS if name in known)


def answered(context: Context, demonstrations_id: str, key: str) -> Measure | None:
    """The question of `key` where kept neighbours answer it at once."""
    measure = parsed(key)
    if measure is None or measure.k == BEST or measure.metric != "knn" or int(measure.k) not in KS:
        return None
    fits = measure.tokens == tokens(context, demonstrations_id) and measure.preset in ("paper", "default")
    asked = measure.phase in ("whole", *PHASES) and measure.target in targets(context, demonstrations_id)
    return measure if fits and asked else None


def asked(
    context: Context, demonstrations_id: str, available: Sequence[Measure], current: Measure, field: str, value: str
) -> Measure:
    """The measure with `value` in `field` and all else as it is: stored, asked at once, or the nearest stored."""
    wanted = replace(current, **{field: value})
    if wanted in available:
        return wanted
    live = replace(wanted, k=str(LIVE_K)) if wanted.k == BEST and field != "k" else wanted
    for one in (replace(wanted, k=BEST), live):
        if one in available and field != "k":
            return one
        if answered(context, demonstrations_id, one.key):
            return one
    return nearest(available, current, field, value)


def rescored(context: Context, demonstrations_id: str, measure: Measure) -> Relevance:
    """The scores of a question of `answers`, about 0.1 s at the embedded size."""
    found = neighbours(context, demonstrations_id)
    if found is None:
        raise InputError(NO_OUTPUTS)
    return _rescored(context, found, measure)


@remembered(12)
def _rescored(context: Context, neighbours_id: str, measure: Measure) -> Relevance:
    return pipeline.rescore(
        context.store,
        neighbours_id=neighbours_id,
        k=int(measure.k),
        preset=measure.preset,
        target=measure.target,
        phase=measure.phase,
    )


def asked_of_neighbours(context: Context, demonstrations_id: str, measure: Measure) -> tuple[int, str, str]:
    """k, preset and target of the k-NN that stands for `measure` by time or by frame: its own, or that of the action
    beyond state and time.
    """
    by_neighbours = measure.metric == "knn" and measure.target in targets(context, demonstrations_id)
    k = LIVE_K if measure.k == BEST else int(measure.k)
    return (k, measure.preset, measure.target) if by_neighbours else (k, "default", "action")


def over_time(context: Context, demonstrations_id: str, measure: Measure) -> RelevanceOverTime | None:
    """k-NN relevance by time in the episode, as it came with the samples or else from kept neighbours, else None."""
    k, preset, target = asked_of_neighbours(context, demonstrations_id, measure)
    outputs, question = captured(context, demonstrations_id), {"k": k, "preset": preset, "target": target}
    for manifest in context.store.find("over_time"):  # read first: neighbours and what goes with them are 0.2 GB
        same = outputs in manifest.parents and dict(manifest.params) == question
        if same and (read := whole(context, manifest.id, RelevanceOverTime)) is not None:
            return read
    found = neighbours(context, demonstrations_id)
    return None if found is None else _over_time(context, found, k, preset, target)


@remembered(4)
def _over_time(context: Context, neighbours_id: str, k: int, preset: str, target: str) -> RelevanceOverTime | None:
    try:
        return pipeline.over_time(context.store, neighbours_id=neighbours_id, k=k, preset=preset, target=target)
    except SteeringError:
        return None  # a target that this baseline cannot be asked about has no strip; nor have damaged neighbours


def find_heads(context: Context, demonstrations_id: str) -> str:
    """Queue everything that the Heads step opens with, as one job."""
    return context.submit("find_heads", demonstrations_id=demonstrations_id, policy=context.policy)


def start(context: Context, demonstrations_id: str, metric: str, preset: str, target: str, phase: str) -> str:
    """Queue a score of the heads: a metric that runs the policy, or one from head outputs with its question."""
    if metric in WITH_POLICY:
        return context.submit(
            "attribute",
            demonstrations_id=demonstrations_id,
            metric=metric,
            policy=context.policy,
        )
    return context.submit(
        "measure",
        demonstrations_id=demonstrations_id,
        metric=metric,
        preset=preset,
        target=target,
        phase=phase,
        policy=context.policy,
    )


def start_trust(context: Context, demonstrations_id: str, measure: Measure | None) -> str:
    """Queue intervals and null of the score shown; of k-NN beyond state and time where none can be resampled."""
    knn = measure is not None and measure.metric == "knn"
    relevance_id = stored(context, demonstrations_id).get(measure) if knn and measure is not None else None
    if relevance_id and has_outputs(context, relevance_id):
        return context.submit("trust", relevance_id=relevance_id)
    asked = {name: getattr(measure, name) for name in ("preset", "target", "phase")} if knn else {}
    return context.submit(
        "measure",
        demonstrations_id=demonstrations_id,
        metric="knn",
        trusted=True,
        policy=context.policy,
        **asked,
    )


def just_measured(context: Context, since_s: float) -> Ended | None:
    """The newest job of the owner, where it measured or chose heads, ended well and did so after `since_s`."""
    for status in context.jobs.recent(owner(), limit=1):
        if status.ended_s is None or status.ended_s <= since_s or not status.result:
            continue
        if status.function in ("measure", "attribute", "trust", "select"):
            return Ended(status.function, status.result, status.ended_s)
    return None


def of_result(context: Context, demonstrations_id: str, result: str) -> str:
    """The key of the measure of a relevance, or of the one that a trust is of; empty where it is another's."""
    manifest = context.store.manifest(result)
    wanted = manifest.parents[0] if manifest.kind == "trust" else result
    found = stored(context, demonstrations_id).items()
    return next((measure.key for measure, stored in found if stored == wanted), "")


def has_outputs(context: Context, relevance_id: str) -> bool:
    """Whether head outputs were kept; damaged ones count, so that asking says what remakes them."""
    captured = context.store.manifest(relevance_id).parents[0]
    try:
        return captured.startswith("activations-") and bool(context.store.folder(captured))
    except Damaged:
        return True
    except NotFound:
        return False  # the samples may come without


def whole(context: Context, artefact_id: str, kind: type[Value]) -> Value | None:
    """An artefact of the dataclass `kind`; None where it is damaged, and is to be made again."""
    return unless_damaged(context.load, artefact_id, kind)


def _shape(context: Context) -> HeadShape | None:
    """Heads of the policy; None where there is no policy, and relevance can still be looked at."""
    try:
        return context.size.head_shape
    except NotFound:
        return None


def _steps(relevance: Relevance | None) -> list[str]:
    """The dimensions of a target that are steps of a chunk."""
    return [name for name in (relevance.dimension_names if relevance else ()) if "@" in name]


def agreements(first: Relevance, second: Relevance) -> list[RankAgreement]:
    """Spearman's rank correlation of two measures within each stack."""
    from steering.relevance.stability import rank_agreement

    found = []
    for s, one in enumerate(first.shape.stacks):
        inert = first.inert[s] | second.inert[s]
        if (~inert).sum() > 2:
            found.append(rank_agreement(first.score[s], second.score[s], (one.label, one.label), inert))
    return found
