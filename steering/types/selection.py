"""Sets of heads, what is known of a set, and why a head scores as it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from steering.types.axes import Head, HeadShape, Stack, in_order, stack_label, stacks_of
from steering.types.origin import Origin, origin_words
from steering.types.showing import Shown, table


@dataclass(frozen=True, repr=False)
class Selection(Shown):
    """A set of heads and the rule that chose it. `best_k` and `cv_mse` are None for sets chosen by hand.

    origin: on what it was chosen; None where that is not known, or stands in the store (`pipeline.origin_of`).
    """

    heads: tuple[Head, ...]
    rule: str
    best_k: int | None = None
    cv_mse: float | None = None
    origin: Origin | None = None

    @property
    def by_stack(self) -> dict[str, tuple[Head, ...]]:
        """The heads of each stack that has some, in order."""
        found: dict[str, tuple[Head, ...]] = {}
        for head in in_order(self.heads):
            found[head.stack] = (*found.get(head.stack, ()), head)
        return found

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(heads)} of the {stack_label(stack)}" for stack, heads in self.by_stack.items())
        return f"Selection({counts or 'no head'}; {self.rule})"

    def _repr_html_(self) -> str:
        """The heads by stack, and where they come from."""
        rows = [
            (stack_label(stack), ", ".join(f"{head.layer}.{head.head}" for head in heads))
            for stack, heads in self.by_stack.items()
        ]
        said = origin_words(self.origin) if self.origin else self.rule
        return table(("stack", "layer.head"), rows, f"{len(self.heads)} heads. {said}")


@dataclass(frozen=True, repr=False)
class SetError(Shown):
    """Leave-one-episode-out error of a head set, whose outputs are concatenated and scored as one head's.

    errors: at each of `ks`, squared error averaged over the dimensions of the target, then the frames that count; k:
    that of the lowest. score: explained variance at k beyond the baseline `zero` of the relevance that was asked.
    """

    heads: tuple[Head, ...]
    ks: tuple[int, ...]
    errors: tuple[float, ...]
    k: int
    score: float
    zero: str

    @property
    def error(self) -> float:
        """The error at `k`."""
        return self.errors[self.ks.index(self.k)]


@dataclass(frozen=True, repr=False)
class Overlap(Shown):
    """What two head sets share, beside what random sets of their sizes would share.

    names: of the sets. sizes: their numbers of heads. shared: the heads of both. jaccard: shared over union.
    expected, expected_jaccard: means over random sets with as many movable heads in each stack. p: probability that
    random sets share as many or more.
    """

    names: tuple[str, str]
    sizes: tuple[int, int]
    shared: tuple[Head, ...]
    jaccard: float
    expected: float
    expected_jaccard: float
    p: float


@dataclass(frozen=True, repr=False)
class Why(Shown):
    """Why a head predicts what it does at a frame: the frames in which it says similar things, and what was done there.

    episode, frame: of the query. neighbour_episode, neighbour_frame: int32 [k], nearest first, none of the query's own
    episode (of a single episode, none of the frames around it). distance: float32 [k], cosine. weight: float32 [k],
    summing to 1. action: float32 [k, dim], demonstrated there. predicted: float32 [dim], their weighted mean; true:
    float32 [dim]. spread: float32 [dim], standard deviation over all frames. names: of the dimensions.
    """

    head: Head
    episode: int
    frame: int
    neighbour_episode: np.ndarray
    neighbour_frame: np.ndarray
    distance: np.ndarray
    weight: np.ndarray
    action: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    spread: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Projection(Shown):
    """A head's outputs in two dimensions. Near points are near for k-NN: the directions of the outputs are projected.

    points: float32 [frame, 2]. explained: share of the variance along each axis. episode, frame: int32 [frame].
    phase: int8 [frame], index into PHASES.
    """

    head: Head
    points: np.ndarray
    explained: tuple[float, float]
    episode: np.ndarray
    frame: np.ndarray
    phase: np.ndarray


@dataclass(frozen=True, repr=False)
class ScoreByFrame(Shown):
    """What every frame adds to the score of a head.

    error: float32 [frame], squared error of the head's k-NN in the held-out episode, averaged over the scored
    dimensions. zero_error: float32 [frame], that of the baseline `zero`. k: of the k-NN. episode, frame: int32 [frame].
    phase: int8 [frame], index into PHASES.
    """

    head: Head
    error: np.ndarray
    zero_error: np.ndarray
    zero: str
    k: int
    episode: np.ndarray
    frame: np.ndarray
    phase: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """float64 [frame]: what the head saves of the baseline's error there, in mean errors of the baseline. Their
        mean is the head's score; below 0 the head does worse than the baseline.
        """
        saved: np.ndarray = self.zero_error.astype(np.float64) - self.error
        return saved / (float(self.zero_error.mean(dtype=np.float64)) or 1.0)


@dataclass(frozen=True)
class OutcomeGap:
    """A head's mean score by frame in episodes that fail and that succeed, and the 95 % interval of the difference.

    low, high: of `succeeded` − `failed`, by bootstrap over episodes. failures, successes: episodes.
    """

    failures: int
    successes: int
    failed: float
    succeeded: float
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class RelevanceOverTime(Shown):
    """Relevance of every head by time in the episode.

    edges: float32 [bin + 1], 0..1. score: float32 [bin, stack, layer, head], explained variance beyond the baseline
    `zero` over the frames of the bin; NaN where there are none, and where there is no head. frames: int32 [bin]. k: of
    the k-NN. stacks: unless named, a VLM and an expert with the same heads.
    """

    edges: np.ndarray
    score: np.ndarray
    frames: np.ndarray
    zero: str
    k: int
    stacks: tuple[Stack, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "stacks", stacks_of(self.stacks, self.score.shape[1:]))
        object.__setattr__(self, "score", self.shape.blanked(self.score))

    @property
    def shape(self) -> HeadShape:
        """The heads that were scored."""
        return HeadShape(self.stacks)


@dataclass(frozen=True, repr=False)
class Replication(Shown):
    """How well head choice repeats on other demonstrations: of two disjoint pools, `count` episodes are drawn of each.

    counts: demonstrations in a draw. stability: stack -> float32 [count, 3], Nogueira's S of the two sets of `set_size`
    best heads, 1 = the same set, 0 = as random sets: mean over draws, and the range that holds 95 % of them (NaN for a
    single draw). rho: the same for Spearman's rank correlation of the two score lists. replicates: pairs of draws.
    """

    counts: tuple[int, ...]
    stability: Mapping[str, np.ndarray]
    rho: Mapping[str, np.ndarray]
    set_size: int
    replicates: int
