"""Which demonstrations there are, and what they hold. Milliseconds; frames are decoded when touched."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from app.answers.demonstrations import EXPERT, POLICY, SetCard
from app.damage import lines, of_scores, unless_damaged
from app.questions import measures, uploads
from app.questions.context import Context
from app.questions.methods import trained_as
from app.visitors import owner
from app.words import label_of, without_places
from steering.errors import InputError, SteeringError
from steering.public import quota
from steering.relevance.keyframes import of_demonstrations
from steering.types import CAMERAS, Demonstrations, Episode, Robot

TASKS = ("place_marker_in_mug", "press_button", "pick_cube", "place_cube_in_bowl", "push_cup_to_bowl")


UNSEEN_TASK = "pick_mug"


VARIATIONS = ("lighting", "form", "distractors")


def sets(context: Context) -> list[SetCard]:
    """Every demonstration set that whoever asks may see, own ones first, newest first."""
    cards = []
    for manifest in context.store.find("demonstrations"):
        try:
            cards.append(card(context, manifest.id))
        except SteeringError:
            continue  # the line about damage names it
    return sorted(cards, key=lambda card: card.sample)


def card(context: Context, demonstrations_id: str) -> SetCard:
    """What a set's card says."""
    value, scores = summary(context, demonstrations_id), measures.relevance_id(context, demonstrations_id)
    report = uploads.health(context, demonstrations_id)
    return SetCard(
        id=demonstrations_id,
        name=value.name,
        task=value.task,
        instruction=" → ".join(value.episodes[0].all_instructions),
        variations=value.variations,
        frames=tuple(episode.frames for episode in value.episodes),
        outcomes=tuple(episode.success for episode in value.episodes),
        sample=context.store.is_sample(demonstrations_id),
        own=context.store.owns(demonstrations_id),
        kept_until=_kept_until(context, demonstrations_id),
        scored=scores is not None,
        damaged=scores is None and of_scores(context.store, demonstrations_id) is not None,
        old=context.store.old_words(demonstrations_id) or (context.store.old_words(scores) if scores else ""),
        usable=report.usable if report else "",
        by=_by(context, demonstrations_id),
    )


def card_images(context: Context, demonstrations_id: str) -> tuple[str, ...]:
    """Addresses of the first frames of the first episode."""
    cameras = summary(context, demonstrations_id).episodes[0].cameras
    return tuple(context.media.thumbnail(demonstrations_id, 0, camera) for camera in cameras)


def thumbnails(context: Context, demonstrations_id: str) -> list[str]:
    """Address of the first exterior frame of every episode."""
    episodes = summary(context, demonstrations_id).episodes
    camera = CAMERAS[0] if CAMERAS[0] in episodes[0].cameras else next(iter(episodes[0].cameras))
    return [context.media.thumbnail(demonstrations_id, i, camera) for i in range(len(episodes))]


def open_set(context: Context, wanted: str = "") -> str:
    """`wanted` where it exists; else a scored set, samples before others; else any; else an empty string."""
    context.store.follow(wanted)
    known = {manifest.id for manifest in context.store.find("demonstrations")}
    if wanted in known and unless_damaged(summary, context, wanted) is not None:
        return wanted
    cards = sorted(sets(context), key=lambda card: (not card.scored, not card.sample))
    return cards[0].id if cards else ""


def why_not_open(context: Context, demonstrations_id: str) -> str:
    """Why `open_set` gives another set than this one."""
    try:
        summary(context, demonstrations_id)
    except SteeringError as error:
        return f"{without_places(str(error))} The first set is shown instead."
    return ""


def damage(context: Context) -> list[str]:
    """What of the store is damaged and what remakes it, as far as it was looked at."""
    return [without_places(line) for line in lines(context.store)]


def episode(context: Context, demonstrations_id: str, index: int) -> Episode:
    """One episode; its frames stay undecoded: this process would keep them."""
    episodes: tuple[Episode, ...] = summary(context, demonstrations_id).episodes
    return episodes[min(max(index, 0), len(episodes) - 1)]


def keyframes(context: Context, demonstrations_id: str, index: int) -> np.ndarray:
    """bool [frame]: the keyframes of an episode."""
    return of_demonstrations(summary(context, demonstrations_id))[index]


def robot(context: Context, demonstrations_id: str) -> Robot:
    """What the columns of states and actions are."""
    return summary(context, demonstrations_id).columns


def record(context: Context, task: str, count: int, seed: int, variations: Sequence[str], by: str = EXPERT) -> str:
    """Queue a recording. by: EXPERT, POLICY for the one in use as it is, or the id of one of `recorders`."""
    chosen = [name for name in VARIATIONS if name in variations]
    acting = {EXPERT: {}, POLICY: {"policy": context.policy}}.get(by)
    if acting is None:
        if by not in recorders(context):
            raise InputError(
                "There is no such finetune of yours with this policy. Choose the expert, the policy or a finetune."
            )
        acting = {"policy": context.policy, "adapter_id": by}
    return context.submit("record", task=task, count=count, seed=seed, variations=chosen, **acting)


def recorders(context: Context) -> dict[str, str]:
    """One's own finetunes of the policy in use that can act in the simulator: id -> method and task, newest first."""
    found: dict[str, str] = {}
    for manifest in context.store.find("adapter"):
        if not (context.store.owns(manifest.id) and context.policies.made(manifest)):
            continue
        trained_on = unless_damaged(summary, context, manifest.parents[0])
        method = unless_damaged(trained_as, context.store, manifest)
        if trained_on is None or not trained_on.task or method is None:
            continue
        found[manifest.id] = f"{label_of(method)}, {trained_on.task.replace('_', ' ')}"
    return found


def summary(context: Context, demonstrations_id: str) -> Demonstrations:
    """Demonstrations without their frames, which stay undecoded. Raises InputError for what is none."""
    value = context.store.kept(demonstrations_id)  # frames stay undecoded: nothing here touches them
    if not isinstance(value, Demonstrations) or not value.episodes:
        raise InputError(f"{demonstrations_id} holds no demonstrations. Choose another set.")
    return value


def _by(context: Context, demonstrations_id: str) -> str:
    """Who acted in a set, see SetCard."""
    params = context.store.manifest(demonstrations_id).params
    if params.get("by") != POLICY:
        return str(params.get("by", ""))
    try:
        return label_of(trained_as(context.store, context.store.manifest(str(params["adapter"]))))
    except SteeringError:  # without a finetune, or it cannot be used any more
        return "the policy"


def _kept_until(context: Context, artefact_id: str) -> str:
    """The day on which an artefact goes unless it is worked with, such as 6 December; empty where it stays."""
    since_s = context.store.owners.own(owner()).get(artefact_id)
    keep_s = quota().keep_s
    if since_s is None or math.isinf(keep_s):
        return ""
    return time.strftime("%-d %B", time.gmtime(since_s + keep_s))
