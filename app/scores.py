"""What the page asks about heads: by which measures they were scored, attention, head sets by rule and in links.

Part of the gateway (`app.service.Workbench`). Everything is read from the store or computed in milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from app import measures
from app.costs import PolicySize
from app.damage import of_scores, unless_damaged
from app.measures import Measure
from app.policies import Policies
from steering import pipeline
from steering.errors import NotFound, SteeringError
from steering.integrity import Damaged
from steering.relevance.scoring import PRESETS
from steering.selection import controls, exchange, rules
from steering.store import Store
from steering.types import Attention, Head, HeadShape, Origin, Relevance, Selection, Spread, Trust


class Scores:
    """Scores and head sets of a store, for the policy in use."""

    def __init__(self, store: Store, policies: Policies) -> None:
        self.store, self.policies = store, policies
        self._spread = lru_cache(maxsize=64)(self._asked_spread)
        self.masses = lru_cache(maxsize=8)(self._without_images)

    def load(self, artefact_id: str) -> Any:
        """An artefact, kept in memory for the next question."""
        return self.store.kept(artefact_id)

    @property
    def policy_name(self) -> str:
        """The policy's name for people."""
        return self.policies.name(self.policies.key)

    @property
    def policy(self) -> str:
        """The policy's source, as `steering.models.loading` knows it."""
        return self.policies.source

    @property
    def size(self) -> PolicySize:
        """Sizes of the policy; NotFound when there is none."""
        return self.policies.size()

    def measures(self, demonstrations_id: str) -> dict[Measure, str]:
        """Every measure that a set was scored by -> its newest relevance, by `precedence`, then newest first."""
        found: dict[Measure, str] = {}
        for manifest in self.store.find("relevance"):
            if demonstrations_id in manifest.parents and self.policies.made(manifest):
                value, shape = unless_damaged(self.load, manifest.id), self._shape
                if value is None:
                    continue
                if shape is None or shape.has_the_heads_of(value.shape):
                    found.setdefault(measures.measure_of(manifest.params, value), manifest.id)
        return dict(sorted(found.items(), key=lambda one: measures.precedence(one[0])))

    @property
    def _shape(self) -> HeadShape | None:
        """Heads of the policy; None where there is no policy, and relevance can still be looked at."""
        try:
            return self.size.head_shape
        except NotFound:
            return None

    def relevance_id(self, demonstrations_id: str, measure: str = "") -> str | None:
        """The newest score of the heads over a set by `measure` (a key), else by the first of `measures`."""
        available = self.measures(demonstrations_id)
        found = measures.chosen(tuple(available), measure)
        return available[found] if found else None

    def relevance(self, demonstrations_id: str, measure: str = "") -> Relevance | None:
        """The relevance of `relevance_id`."""
        found = self.relevance_id(demonstrations_id, measure)
        return self.load(found) if found else None

    def spread(self, demonstrations_id: str, measure: Measure) -> Spread | None:
        """Frames, keyframes and weights that a score of `measure` is measured on; None where it predicts nothing."""
        if measure.preset not in PRESETS:
            return None
        stored = self.measures(demonstrations_id).get(measure)
        relevance = self.relevance(demonstrations_id, measure.key)
        keyframes = bool(stored and self.store.manifest(stored).params.get("keyframes"))
        steps = 1 + max((int(name.rpartition("@")[2]) for name in _steps(relevance)), default=0)
        try:
            return self._spread(demonstrations_id, measure.preset, measure.target, measure.phase, keyframes, steps)
        except SteeringError:
            return None  # a target that these demonstrations do not have

    def _asked_spread(self, demonstrations_id: str, *question: Any) -> Spread:
        names = ("preset", "target", "phase", "keyframes", "steps")
        asked = dict(zip(names, question, strict=True))
        return pipeline.spread(self.store, demonstrations_id=demonstrations_id, **asked)

    def old_words(self, demonstrations_id: str, measure: Measure) -> str:
        """That a stored score was made by an older version, in words; empty for one of today."""
        stored = self.measures(demonstrations_id).get(measure)
        return self.store.old_words(stored) if stored else ""

    def trust(self, relevance_id: str) -> Trust | None:
        """Intervals, stability and null of a relevance, where they were computed."""
        found = [manifest for manifest in self.store.find("trust") if relevance_id in manifest.parents]
        return self.load(found[0].id) if found else None

    def attention(self, demonstrations_id: str, index: int) -> tuple[str, Attention] | None:
        """The attention weights over an episode, where they were computed; `image` without its frames (`Previews`)."""
        for manifest in self.store.find("attention"):
            of_episode = demonstrations_id in manifest.parents and manifest.params.get("episode") == index
            if of_episode and self.policies.made(manifest):
                return manifest.id, self.masses(manifest.id)
        return None

    def _without_images(self, attention_id: str) -> Attention:
        """What the page keeps of an attention: 3 MB of 130 for an episode of 600 frames at π0's size."""
        value: Attention = self.store.load(attention_id)
        return replace(value, image=value.image[:0].copy())

    def movable(self, demonstrations_id: str, measure: str = "", stacks: Sequence[str] | None = None) -> int:
        """How many heads of `stacks`, of all unless named, can move an action."""
        relevance = self._scored(demonstrations_id, measure)
        return _movable(relevance, relevance.shape.names if stacks is None else stacks)

    def auto_select(
        self, demonstrations_id: str, count: int, stacks: Sequence[str] | None, measure: str = "", rule: str = "top"
    ) -> tuple[Head, ...]:
        """`count` heads of `stacks` (`rules.chosen_stacks`): the best (`top`), the worst (`bottom`), or as many at
        random in the layers of the best (`random`, a control; another draw at each call).
        """
        relevance = self._scored(demonstrations_id, measure)
        stacks = rules.chosen_stacks(relevance, stacks)
        count = min(count, _movable(relevance, stacks))
        if rule == "bottom":
            return controls.bottom(relevance, count, stacks).heads
        best = rules.top_k(relevance, count, stacks)
        if rule == "random":
            seed = time.time_ns() % (1 << 32)
            return controls.random_heads(best, self.size.head_shape, seed, relevance.inert).heads
        return best.heads

    def _scored(self, demonstrations_id: str, measure: str) -> Relevance:
        relevance = self.relevance(demonstrations_id, measure)
        if relevance is None:
            raise self.no_scores(demonstrations_id)
        return relevance

    def no_scores(self, demonstrations_id: str) -> SteeringError:
        """Why a set has no scores that could be used: they are damaged, or were never made."""
        if found := of_scores(self.store, demonstrations_id):
            return Damaged(found)
        return NotFound("These demonstrations have no head scores yet. Press Find heads on their card first.")

    def selection(
        self, demonstrations_id: str, heads: Sequence[Head], measure: str = "", origin: Origin | None = None
    ) -> Selection:
        """The head set as a selection; with rule, k and error where it is the best by relevance of its size."""
        relevance = self.relevance(demonstrations_id, measure)
        if relevance is not None and heads:
            stacks = tuple(name for name in relevance.shape.names if any(head.stack == name for head in heads))
            best = rules.top_k(relevance, len(heads), stacks) if not _has_inert(relevance, heads) else None
            if best and best.heads == tuple(heads):
                return replace(best, origin=origin)
        return replace(rules.manual(heads, self.size.head_shape), origin=origin)

    def read_selection(self, content: str) -> Selection:
        """The head set in a selection file of the Robotic Steering release, or ours."""
        return exchange.from_json(content, self.size.head_shape)

    def heads(self, digits: object) -> tuple[Head, ...]:
        """The heads that hexadecimal digits name; none where they are empty, no text, or of another policy."""
        if not isinstance(digits, str) or not digits:
            return ()
        try:
            return exchange.from_hex(digits, self.size.head_shape)
        except SteeringError:
            return ()

    def digits(self, heads: Sequence[Head]) -> str:
        """The head set as hexadecimal digits; empty for no heads."""
        return exchange.to_hex(heads, self.size.head_shape) if heads else ""


def _steps(relevance: Relevance | None) -> list[str]:
    """The dimensions of a target that are steps of a chunk."""
    return [name for name in (relevance.dimension_names if relevance else ()) if "@" in name]


def _movable(relevance: Relevance, stacks: Sequence[str]) -> int:
    return int((~relevance.inert[[relevance.shape.index(stack) for stack in stacks]]).sum())


def _has_inert(relevance: Relevance, heads: Sequence[Head]) -> bool:
    return any(relevance.inert[relevance.shape.place(head)] for head in heads)
