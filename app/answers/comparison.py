"""Comparisons in scenes and on recordings, and the evidence of the grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steering.types import (
    Cell,
    CellTest,
    Comparison,
    FinetuneResult,
    OpenLoop,
    OpenLoopComparison,
    Rollouts,
    SuccessRate,
)

MAX_SCENES = 40
MAX_SCENE_SET = 80  # seeds of rollouts end where those of demonstrations begin (steering.pipeline.scene_seeds)


@dataclass(frozen=True)
class Choice:
    """A comparison that can be shown. sample: one that came with the workbench; date: when it was run, as 2026-11-30;
    own: whoever looks may delete it.
    """

    id: str
    task: str
    variations: tuple[str, ...]
    instruction: str
    methods: int
    scenes: int
    sample: bool
    date: str = ""
    own: bool = False


@dataclass(frozen=True)
class Effects:
    """A pair's difference: words for it, and difference, low and high in percentage points."""

    words: str
    difference: float
    low: float
    high: float
    shown: bool


@dataclass(frozen=True)
class Predictions:
    """An open-loop comparison, the predictions it was made of (method by method), and what it says in sentences.
    origins: when it was made, with which seeds and heads, a line each.
    """

    id: str
    comparison: OpenLoopComparison
    made: tuple[OpenLoop, ...]
    sentences: tuple[str, ...]
    origins: tuple[str, ...] = ()


Part = tuple[str, Sequence[str], Sequence[Sequence[str]], Sequence[str]]


@dataclass(frozen=True)
class Beside:
    """A condition of the paper: success in percent of LoRA and of Robotic Steering, the paper's and the twin's.

    twin: None where it was not run.
    """

    condition: str
    paper: tuple[float, float]
    twin: tuple[float, float] | None


@dataclass(frozen=True)
class Evidence:
    """What is made of an experiment. name: grid, screen or trial. done: of its `cells`; figures: names of those that
    can be drawn; headline: what it says in a sentence; beside: a line a condition of the paper.
    """

    name: str
    done: int
    cells: int
    sections: tuple[Part, ...]
    figures: tuple[str, ...]
    headline: str = ""
    beside: tuple[Beside, ...] = ()


@dataclass(frozen=True)
class Square:
    """How one method did in one scene. filmed: a video of it is kept, so a click can play it."""

    seed: int
    number: int
    success: bool
    filmed: bool


@dataclass(frozen=True)
class Compared:
    """A comparison with what it was made of. videos, traces: addresses by scene's seed, method by method, and so are
    squares; costs: finetune of a method, None for the untouched policy. cells, tests: of every condition that the same
    policies ran under. sentence: what leads; sentences: the verdict; origins: when it was made, with which seeds and
    heads, a line each. made: how a ready example came about, empty for one's own.
    """

    id: str
    comparison: Comparison
    rollouts: tuple[Rollouts, ...]
    videos: tuple[Mapping[int, str], ...]
    traces: tuple[Mapping[int, str], ...]
    squares: tuple[tuple[Square, ...], ...]
    costs: Mapping[str, FinetuneResult | None]
    cells: tuple[Cell, ...]
    tests: tuple[CellTest, ...]
    effects: tuple[Effects, ...]
    sentence: str
    sentences: tuple[str, ...]
    origins: tuple[str, ...]
    made: str = ""


@dataclass(frozen=True)
class ComparisonSummary:
    """What a comparison shows, in numbers and words. seeds: of its scenes; sentence: what leads; sentences: the
    verdict; origins: when it was made, with which seeds and heads, a line each.
    """

    id: str
    task: str
    seeds: tuple[int, ...]
    sentence: str
    sentences: tuple[str, ...]
    rates: tuple[SuccessRate, ...]
    effects: tuple[Effects, ...]
    origins: tuple[str, ...]
