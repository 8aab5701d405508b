"""Scores of heads, head sets and neighbouring frames, in plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from steering.types import Head


class Atlas(TypedDict):
    """Frames of a set in one picture, as the page's scripts read it. url: its address; tile: side in pixels; columns:
    of tiles; step: frames between two tiles; starts: the first tile of every episode.
    """

    url: str
    tile: int
    columns: int
    step: int
    starts: list[int]


@dataclass(frozen=True)
class KeptMeasure:
    """A measure that heads were scored by. key: what other questions call it; the rest as in `Measure`."""

    key: str
    metric: str
    preset: str
    target: str
    phase: str
    tokens: str


@dataclass(frozen=True)
class HeadScore:
    """A head's score. inert: it cannot move an action. low, high: 95 % interval; p: corrected over all heads; None
    where they were not measured.
    """

    stack: str
    layer: int
    head: int
    score: float
    inert: bool
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class HeadScores:
    """The scores of every head by one measure, stack by stack. sentence: what they say."""

    measure: str
    sentence: str
    heads: tuple[HeadScore, ...]


@dataclass(frozen=True)
class ChosenHeads:
    """A head set. digits: the set in hexadecimal, as links and other questions name it; origin: where it comes from."""

    digits: str
    heads: tuple[Head, ...]
    origin: str


@dataclass(frozen=True)
class NearFrame:
    """A frame in which a head said nearly the same. distance: cosine; weight: its share in the prediction."""

    episode: int
    frame: int
    distance: float
    weight: float


@dataclass(frozen=True)
class Nearest:
    """Why a head predicts what it does at a frame. predicted, true: the action, by names, in its own units."""

    frames: tuple[NearFrame, ...]
    names: tuple[str, ...]
    predicted: tuple[float, ...]
    true: tuple[float, ...]
