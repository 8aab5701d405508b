"""Scores of heads, the neighbours they come from, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from steering.types.axes import STACKS, Head, HeadShape, Stack, stacks_of
from steering.types.origin import Origin, measure_words
from steering.types.showing import Shown, grid, table


@dataclass(frozen=True, repr=False)
class Relevance(Shown):
    """A score per head. Higher `score` is always more relevant.

    metric: name of the metric, e.g. `knn`. preset: `paper` or `default`, the strict one. score: float32 [stack, layer,
    head]. error: float32 [k, stack, layer, head], leave-one-episode-out squared error averaged over action dimensions,
    then frames; strict: of what state and time leave open. ks: the values of k. best_k, cv_mse: k of the best set of
    top heads and its error, per stack. baselines: name -> leave-one-episode-out squared error of a predictor that sees
    no head (`mean_action`, `time`, `state`, `state_time`; strict: `state_time` is what is left open). inert: bool
    [stack, layer, head], heads that cannot move an action. target: what was predicted. Metrics without neighbours have
    empty `ks` and `best_k` and one row of `error`.

    phase: the frames whose error counts, `whole` or one of PHASES. gain: float32 [stack, layer, head], 1 − error /
    error of `state_time`; strict: the score. gripper: float32 [stack, layer, head], the score of the gripper's
    dimension alone, where `score` leaves it out. dimension_r2: float32 [dim, stack, layer, head], explained variance of
    each dimension of the target beyond the baseline that a score of 0 equals; dimension_names: their names.
    fold_k: stack -> the k chosen without each episode, in their order; empty where k was chosen in sample.
    fold_share: float32 [stack, layer, head], share of those folds whose set of best heads holds the head; then `cv_mse`
    is the error of episodes that took no part in the choice.

    Metrics that run the policy (`steering.metrics`) predict no target: `preset` is `policy`, `error` has no row,
    `baselines` hold what the score is measured against (`loss`: the whole policy's flow-matching loss). effects: name
    -> float32 [stack, layer, head], what else they measured, by the names in the metric's registry entry.

    tokens: of each stack. stacks: unless named, a VLM and an expert with the same heads. A cell that holds no head is
    NaN in every score and marked inert.
    """

    metric: str
    preset: str
    target: str
    score: np.ndarray
    error: np.ndarray
    ks: tuple[int, ...]
    best_k: Mapping[str, int]
    cv_mse: Mapping[str, float]
    baselines: Mapping[str, float]
    inert: np.ndarray
    tokens: tuple[str, ...]
    phase: str = "whole"
    gain: np.ndarray | None = None
    gripper: np.ndarray | None = None
    dimension_r2: np.ndarray | None = None
    dimension_names: tuple[str, ...] = ()
    fold_k: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    fold_share: np.ndarray | None = None
    effects: Mapping[str, np.ndarray] = field(default_factory=dict)
    stacks: tuple[Stack, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "stacks", stacks_of(self.stacks, self.score.shape))
        shape = self.shape
        if shape.present.all():
            return
        object.__setattr__(self, "inert", self.inert | ~shape.present)
        for name in ("score", "error", "gain", "gripper", "dimension_r2", "fold_share"):
            values = getattr(self, name)
            object.__setattr__(self, name, values if values is None else shape.blanked(values))
        object.__setattr__(self, "effects", {name: shape.blanked(one) for name, one in self.effects.items()})

    @property
    def shape(self) -> HeadShape:
        """The heads that were scored."""
        return HeadShape(self.stacks)

    def best(self, count: int = 5) -> tuple[Head, ...]:
        """The heads of highest score among those that can move an action, best first."""
        places = [tuple(place) for place in np.argwhere(~self.inert & np.isfinite(self.score))]
        return tuple(self.shape.at(place) for place in sorted(places, key=lambda place: -self.score[place])[:count])

    def __repr__(self) -> str:
        best = ", ".join(f"{head.label()} {self.score[self.shape.place(head)]:.3f}" for head in self.best(3))
        return f"Relevance({self.metric}, {self.preset}, {self.shape.count} heads; best: {best or 'none'})"

    def _repr_html_(self) -> str:
        """The head map: the stronger the colour the higher the score, grey where a head cannot move an action."""
        scored = self.score[~self.inert & np.isfinite(self.score)]
        high = float(scored.max()) if scored.size else 1.0
        low = float(scored.min()) if high <= 0 else max(0.0, float(np.percentile(scored, 5))) if scored.size else 0.0
        share = np.clip(np.nan_to_num((self.score - low) / ((high - low) or 1.0)), 0, 1)
        maps = []
        for s, stack in enumerate(self.stacks):
            cells = (slice(s, s + 1), slice(stack.layers), slice(stack.heads))
            score, inert = self.score[cells][0], self.inert[cells][0]
            words = [
                [
                    f"{stack.label} {layer}.{head}: {score[layer, head]:.3f}"
                    + (", cannot move an action" if inert[layer, head] else "")
                    for head in range(stack.heads)
                ]
                for layer in range(stack.layers)
            ]
            maps.append(grid(stack.label, share[cells][0], inert | ~np.isfinite(score), words))
        rows = [(head.label(), f"{self.score[self.shape.place(head)]:.3f}") for head in self.best()]
        asked = Origin("manual", self.metric, self.preset, self.target, self.phase)
        said = f"{measure_words(asked)}: faint at {low:.2f} or less, strong at {high:.2f}"
        return f"<div>{''.join(maps)}{table(('best heads', 'score'), rows, said)}</div>"


@dataclass(frozen=True, repr=False)
class HeadChange(Shown):
    """Relevance before and after a finetune, by one question on the same demonstrations.

    method: one of METHODS. trained: the heads that trained apart, () where all did.
    """

    method: str
    trained: tuple[Head, ...]
    before: Relevance
    after: Relevance


@dataclass(frozen=True, repr=False)
class Neighbours(Shown):
    """The nearest frames of every frame, for every head and every baseline that has features: all that k-NN needs.

    order: uint16 (int32 beyond 65 535 frames) [unit, frame, depth], rows of the frames that may predict the frame,
    nearest first. distance: float32 of the same shape, cosine for heads, Euclidean in standard deviations for
    baselines; infinite where no further frame may. grid: (stacks, layers, heads); the first units are its cells in
    that order, then `baselines` by name. stacks: their names.
    episode, frame: int32 [frame], where each row came from.
    """

    order: np.ndarray
    distance: np.ndarray
    grid: tuple[int, int, int]
    baselines: tuple[str, ...]
    episode: np.ndarray
    frame: np.ndarray
    stacks: tuple[str, ...] = STACKS


@dataclass(frozen=True)
class RankAgreement:
    """Spearman's rank correlation of two scores over the same heads, with a bootstrap interval over heads (95 %)."""

    first: str
    second: str
    heads: int
    rho: float
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class Trust(Shown):
    """How far a relevance can be trusted. Arrays are [stack, layer, head]; NaN for inert heads and where there is none.

    score_low, score_high, rank_low, rank_high: 95 % intervals over bootstrap replicates of the episodes; rank 1 is the
    best of its stack. chosen_share: share of the replicates in which the head is among the best `set_size` of its
    stack. stability: stack -> (low, S, high), Nogueira's S of those sets with its 95 % interval; 1 = always the same
    set, 0 = as random sets. p: family-wise p-value over all heads by the permutation null; p_head: of the head alone.
    null_max: float32 [permutation], the best head's score where trajectories were permuted between episodes.
    replicates, permutations, set_size, seed: how it was made; permutations are 0 where there is no null.
    """

    score_low: np.ndarray
    score_high: np.ndarray
    rank_low: np.ndarray
    rank_high: np.ndarray
    chosen_share: np.ndarray
    stability: Mapping[str, tuple[float, float, float]]
    p: np.ndarray
    p_head: np.ndarray
    null_max: np.ndarray
    replicates: int
    permutations: int
    set_size: int
    seed: int
