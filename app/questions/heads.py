"""One head: the frames nearest to its output, its gain, attention, and outputs in the plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from app.answers.heads import Atlas
from app.answers.jobs import Pending
from app.answers.measures import BEST, Measure
from app.questions import measures
from app.questions.context import Context, remembered
from app.visitors import owner
from app.words import without_places
from steering import pipeline
from steering.errors import InputError
from steering.types import (
    Attention,
    Demonstrations,
    FrameAttention,
    GainSweep,
    Head,
    OutcomeGap,
    Projection,
    ScoreByFrame,
    Why,
)

Made = TypeVar("Made")
NEIGHBOURS_SHOWN = 6


def attention(context: Context, demonstrations_id: str, index: int) -> tuple[str, Attention] | None:
    """The attention weights over an episode, where they were computed; `image` without its frames (`Media`)."""
    for manifest in context.store.find("attention"):
        of_episode = demonstrations_id in manifest.parents and manifest.params.get("episode") == index
        if of_episode and context.policies.made(manifest):
            return manifest.id, masses(context, manifest.id)
    return None


@remembered(8)
def masses(context: Context, attention_id: str) -> Attention:
    """What the page keeps of an attention: 3 MB of 130 for an episode of 600 frames at π0's size."""
    value: Attention = context.store.load(attention_id)
    return replace(value, image=value.image[:0].copy())


def compute_attention(context: Context, demonstrations_id: str, index: int) -> str:
    """Queue the attention weights of an episode."""
    return context.submit("attention", demonstrations_id=demonstrations_id, episode=index, policy=context.policy)


def why(context: Context, demonstrations_id: str, head: Head, episode: int) -> list[Why]:
    """The nearest frames of every frame of an episode."""
    captured = _captured(context, demonstrations_id)
    frames = context.load(demonstrations_id, Demonstrations).episodes[episode].frames
    return pipeline.why(
        context.store, activations_id=captured, head=head, episode=episode, frames=range(frames), k=NEIGHBOURS_SHOWN
    )


def thumbnails(context: Context, demonstrations_id: str) -> Atlas:
    """Address and layout of one picture with every frame of the set, small."""
    return context.media.atlas(demonstrations_id)


def projection(context: Context, demonstrations_id: str, head: Head) -> Projection:
    """The head's outputs in the plane."""
    return pipeline.projection(context.store, activations_id=_captured(context, demonstrations_id), head=head)


def by_frame(context: Context, demonstrations_id: str, head: Head, measure: Measure) -> ScoreByFrame:
    """What every frame adds to the head's score by the k-NN that stands for `measure`; at the k of the head's stack
    where that was chosen, so that the score is the one shown.
    """
    captured = _captured(context, demonstrations_id)
    k, preset, target = measures.asked_of_neighbours(context, demonstrations_id, measure)
    if measure.metric == "knn" and measure.k == BEST:
        k = measures.scored(context, demonstrations_id, measure.key).best_k.get(head.stack, k)
    return pipeline.by_frame(context.store, activations_id=captured, head=head, k=k, preset=preset, target=target)


def outcome_gap(scored: ScoreByFrame, outcomes: Sequence[bool | None]) -> OutcomeGap | None:
    """Its score in episodes that fail against those that succeed; None unless both are there."""
    from steering.relevance import by_frame as stage

    return stage.outcome_gap(scored, outcomes)


def sweep(context: Context, demonstrations_id: str, head: Head, episode: int, frame: int) -> GainSweep | Pending:
    """The predicted actions with the head at every gain, once its job has run."""
    row = [head.stack, head.layer, head.head]
    wanted = {"head": row, "episode": episode, "frame": frame}
    return _job(context, "predicted_path", "gain_sweep", GainSweep, demonstrations_id, wanted)


def words(context: Context, demonstrations_id: str, episode: int, frame: int) -> FrameAttention | Pending:
    """Attention of all heads at a frame, once its job has run."""
    wanted = {"episode": episode, "frame": frame}
    return _job(context, "attention_at", "frame_attention", FrameAttention, demonstrations_id, wanted)


def _job(
    context: Context, function: str, stored: str, kind: type[Made], demonstrations_id: str, wanted: Mapping[str, object]
) -> Made | Pending:
    """The newest artefact with these parameters, else the state of the job that makes it. stored: as the store calls
    what is of the dataclass `kind`.
    """
    asked = {**wanted, "policy": context.policy}
    for manifest in context.store.find(stored):
        fits = demonstrations_id in manifest.parents and asked.items() <= dict(manifest.params).items()
        if fits and (found := measures.whole(context, manifest.id, kind)):
            return found
    apart = f"{owner()}-heads"  # the panel shows these jobs, not the page's list
    arguments = {"demonstrations_id": demonstrations_id, **asked}
    for status in context.jobs.recent(apart):
        if status.function == function and dict(status.arguments) == arguments and status.ended:
            if status.state == "failed" and status.error:
                return Pending(without_places(status.error), failed=True)
            break
    else:
        for status in context.jobs.active(apart):  # what was asked before and waits is of no use now
            if dict(status.arguments) != arguments and status.state == "queued":
                context.jobs.cancel(status.id)
    status = context.jobs.status(context.jobs.submit(function, owner=apart, **arguments))
    waits = status.state == "queued" and status.position > 1
    message = f"Waits for other work, place {status.position}" if waits else status.message or "Starting"
    return Pending(message, job_id=status.id, left_s=status.left_s)


def _captured(context: Context, demonstrations_id: str) -> str:
    found = measures.captured(context, demonstrations_id)
    if found is None:
        raise InputError(measures.NO_OUTPUTS)
    return found
