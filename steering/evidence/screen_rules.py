"""The rules of the screen: from demonstrations to the heads of the VLM that each rule would train.

A rule sees the training demonstrations alone. What rules share (head outputs, scores, gradients) is made once per
(task, seed) through the store, or kept in `Asked`. Cost on a core: seconds, but a minute or more for movers and for
mean ablation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from steering import pipeline, policy_cache
from steering.evidence import greedy
from steering.evidence.draws import lot
from steering.progress import Progress
from steering.selection import trainable
from steering.selection.trainable import Place
from steering.store import Store
from steering.types import Demonstrations, FinetuneSettings, Head, Relevance, Selection

if TYPE_CHECKING:
    from steering.finetune.trying import Trying

STACK = "vlm"
PROBE_FRAMES = 96
PROBING_STEPS = 20
DRAWS = 5


@dataclass(frozen=True)
class Asked:
    """Demonstrations of one task and seed, and what rules want to know of them, made when first asked for.

    heldout_id: demonstrations that no rule sees, `heldout_frames` of whose frames judge a training.
    """

    store: Store
    demonstrations_id: str
    heldout_id: str
    heldout_frames: int
    policy: str
    settings: FinetuneSettings
    task: str
    seed: int
    ks: tuple[int, ...] | None = None

    def lot(self, name: str) -> int:
        """Seed of what a rule draws: another for every task, seed and `name`, so that tasks are draws of their own."""
        return lot(self.task, self.seed, name)

    @cached_property
    def movable(self) -> np.ndarray:
        """Heads that can move an action, bool [layer, head]."""
        return ~policy_cache.get(self.policy).layout.inert[self._stack]

    def relevance(self, preset: str, keyframes: bool | None) -> np.ndarray:
        """k-NN scores by a preset, float [layer, head]."""
        activations_id = pipeline.capture(
            self.store, demonstrations_id=self.demonstrations_id, policy=self.policy, seed=self.seed
        )
        made = pipeline.score(self.store, activations_id=activations_id, preset=preset, keyframes=keyframes, ks=self.ks)
        return self._score(made)

    def measure(self, metric: str) -> np.ndarray:
        """Scores of a metric that runs the policy, float [layer, head]."""
        made = pipeline.attribute(
            self.store, demonstrations_id=self.demonstrations_id, metric=metric, policy=self.policy
        )
        return self._score(made)

    @cached_property
    def fall(self) -> np.ndarray:
        """Predicted fall of the loss per head, `attribution.trainability.adam_fall`."""
        from steering.attribution.probe import probe
        from steering.attribution.trainability import adam_fall

        policy = policy_cache.get(self.policy)
        return adam_fall(probe(policy, self.demonstrations, frames=PROBE_FRAMES, seed=self.seed), STACK)

    @cached_property
    def moved(self) -> np.ndarray:
        """Fall of the loss that each head's change accounts for after a few steps with all heads, float [layer, head].

        −½ ⟨g₀ + g₁, ΔW⟩ over the head's blocks, with the gradients before and after the steps: the trapezoid of the
        line between, as integrated gradients with two points (Sundararajan et al. 2017), over weights.
        """
        from dataclasses import replace

        import torch

        from steering.attribution.probe import probe
        from steering.attribution.trainability import blocks, weight_gradients
        from steering.finetune.trying import Trying

        policy = policy_cache.get(self.policy)
        every = Selection(
            heads=_heads(tuple((int(layer), int(head)) for layer, head in np.argwhere(self.movable))), rule="all"
        )
        settings = replace(self.settings, steps=PROBING_STEPS, warmup_steps=5)
        tried = Trying(policy, self.demonstrations, self.demonstrations, settings, 8).heads(every, with_change=True)
        asked = probe(policy, self.demonstrations, frames=PROBE_FRAMES, seed=self.seed)
        gradients = weight_gradients(asked, STACK)
        weights = {name: policy.model.get_submodule(name).weight for name in tried.change}
        before = {name: weight.detach().clone() for name, weight in weights.items()}
        try:
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.add_(tried.change[name].to(weight))
            gradients += weight_gradients(asked, STACK)
        finally:
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.copy_(before[name])
        sites, shape = policy.layout[STACK], policy.head_shape[STACK]
        names = [sites.name(layer, m) for layer in range(shape.layers) for m in (sites.query, sites.output)]
        change = blocks(
            asked,
            {n: tried.change.get(n, torch.zeros_like(policy.model.get_submodule(n).weight)) for n in names},
            STACK,
        )
        found = np.zeros(self.movable.shape)
        for place, delta in change.items():
            mean = torch.stack([one[place] for one in gradients]).mean(0)
            found[place] = -float((mean * delta).sum())
        return found

    def greedily(self, count: int) -> tuple[Place, ...]:
        """Heads chosen one after another by what short trainings reach on a fifth of the demonstrations."""
        from steering.finetune.trying import Trying

        policy, settings = policy_cache.get(self.policy), greedy.short(self.settings)
        training, apart = greedy.split(self.demonstrations)
        trying = Trying(policy, training, apart, settings, greedy.FRAMES)
        key = f"{self.demonstrations_id}-{policy_cache.fingerprint(self.policy)}-{lot(repr(settings)):016x}"

        def error(places: tuple[Place, ...]) -> float:
            return trying.heads(Selection(heads=_heads(places), rule="greedy")).after

        known = greedy.remembered(self.store.root / "greedy" / f"{key}.json", error)
        return greedy.greedy(self.fall, self.movable, count, known)

    @cached_property
    def demonstrations(self) -> Demonstrations:
        """The training demonstrations."""
        loaded: Demonstrations = self.store.load(self.demonstrations_id)
        return loaded

    @cached_property
    def trying(self) -> Trying:
        """Trains sets of heads on the demonstrations and judges them by the held-out ones."""
        from steering.finetune.trying import Trying

        heldout = self.store.load(self.heldout_id)
        return Trying(policy_cache.get(self.policy), self.demonstrations, heldout, self.settings, self.heldout_frames)

    @cached_property
    def _stack(self) -> int:
        return policy_cache.get(self.policy).head_shape.index(STACK)

    def _score(self, relevance_id: str) -> np.ndarray:
        relevance: Relevance = self.store.load(relevance_id)
        return relevance.score[self._stack].astype(float)


@dataclass(frozen=True)
class Rule:
    """A rule of the screen. label: for people. source: where it comes from. choose: (asked, count) -> places."""

    label: str
    source: str
    choose: Callable[[Asked, int], tuple[Place, ...]]


def _by(score: Callable[[Asked], np.ndarray]) -> Callable[[Asked, int], tuple[Place, ...]]:
    return lambda asked, count: trainable.best(score(asked), asked.movable, count)


def _draw(number: int) -> Rule:
    return Rule(
        f"random, draw {number + 1}",
        "chance",
        lambda asked, count: trainable.drawn(asked.movable, count, asked.lot(f"draw {number}")),
    )


RULES: Mapping[str, Rule] = {
    "paper_keyframes": Rule(
        "published rule, keyframes", "arXiv 2511.22697", _by(lambda asked: asked.relevance("paper", True))
    ),
    "paper_all": Rule(
        "published rule, all frames", "arXiv 2511.22697", _by(lambda asked: asked.relevance("paper", False))
    ),
    "random_0": _draw(0),
    "random_1": _draw(1),
    "random_2": _draw(2),
    "trainability": Rule(
        "trainability, with spread",
        "gradient in Adam's geometry, Kingma & Ba 2015",
        lambda asked, count: trainable.with_spread(asked.fall, asked.movable, count),
    ),
    "within_layers": Rule(
        "relevance within the lower layers",
        "published score, spread over layers",
        lambda asked, count: trainable.within_layers(asked.relevance("paper", False), asked.movable, count),
    ),
    "reach": Rule(
        "reach alone (lowest layers)",
        "π0's architecture, arXiv 2410.24164",
        lambda asked, count: trainable.by_reach(asked.movable, count, asked.lot("reach")),
    ),
    "reach_relevance": Rule(
        "reach × relevance",
        "published score times reach",
        lambda asked, count: trainable.by_reach_and_relevance(asked.relevance("paper", False), asked.movable, count),
    ),
    "movers": Rule("movers after 20 steps", "probing steps with all heads", _by(lambda asked: asked.moved)),
    "gradient_activation": Rule(
        "gradient × activation", "Michel et al. 2019", _by(lambda asked: asked.measure("gradient_activation"))
    ),
    "attribution_patching": Rule(
        "attribution patching", "Nanda 2023", _by(lambda asked: asked.measure("attribution_patching"))
    ),
    "worst": Rule(
        "worst (least trainable)",
        "control",
        lambda asked, count: trainable.worst(asked.fall, asked.movable, count),
    ),
    "conditional": Rule(
        "conditional score",
        "published score of what state and time leave open",
        _by(lambda asked: asked.relevance("default", None)),
    ),
    "random_3": _draw(3),
    "random_4": _draw(4),
    "mean_ablation": Rule(
        "mean ablation", "loss added when a head is set to its mean", _by(lambda asked: asked.measure("mean_ablation"))
    ),
    "greedy": Rule("greedy on held-out error (ceiling)", "short trainings", lambda asked, count: asked.greedily(count)),
}
CEILING = "greedy"
"""What choosing by training reaches: shown beside the rules, compared with none."""
GROUPS: tuple[tuple[str, ...], ...] = (
    ("paper_keyframes", "reach", "random_0"),
    ("trainability", "reach_relevance", "random_1"),
    ("conditional", "within_layers", "random_2"),
    ("worst", "random_3", "paper_all", "random_4"),
    ("movers", "gradient_activation", "attribution_patching", "mean_ablation"),
)
"""Rules in the order in which the screen asks them: a group runs on every task before the next one does."""


def choose(rule: str, asked: Asked, count: int, progress: Progress = Progress()) -> Selection:
    """The heads that a rule of RULES would train."""
    progress.report(0.0, f"Choosing heads: {RULES[rule].label}")
    return Selection(heads=_heads(RULES[rule].choose(asked, count)), rule=RULES[rule].label)


def _heads(places: tuple[Place, ...]) -> tuple[Head, ...]:
    return tuple(Head(STACK, int(layer), int(head)) for layer, head in places)
