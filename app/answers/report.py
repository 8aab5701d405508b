"""A run as its report shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.answers import Json
from app.answers.comparison import Predictions
from app.answers.trials import BookCard
from steering.types import Comparison, FinetuneResult, Relevance


@dataclass(frozen=True)
class Finetuned:
    """A finetune and what it was made from; relevance None where none led to it. heads: None where it trained all.
    notice: what is to be known of its held-out error, as a sentence; origin: where its heads come from, in words.
    """

    id: str
    result: FinetuneResult
    task: str
    instruction: str
    episodes: int
    relevance: Relevance | None
    heads: int | None = None
    notice: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Shot:
    """One method in one scene. video: a data URL, empty where none was kept; how: how it failed; poster:
    its last picture, as the video.
    """

    method: str
    success: bool
    seconds: float
    video: str
    how: str = ""
    poster: str = ""


@dataclass(frozen=True)
class Scene:
    """One scene, method by method. number: its place in the comparison, from 1."""

    number: int
    seed: int
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class Run:
    """What a report shows. comparison: in scenes, sentences: its verdict; predictions: on recordings. A finetune alone
    has neither. trials: books of the same policies on a robot. notes: what is to be known of all of it, as sentences.
    policy, data: what ran, and on what, as people call them; date: when it was finished; told: in which scenes and with
    which seeds; document: what a workbench reads to open the report again.
    """

    title: str
    finetunes: tuple[Finetuned, ...]
    comparison: Comparison | None = None
    sentences: tuple[str, ...] = ()
    scenes: tuple[Scene, ...] = ()
    predictions: Predictions | None = None
    notes: tuple[str, ...] = ()
    trials: tuple[BookCard, ...] = ()
    policy: str = ""
    data: str = ""
    date: str = ""
    told: str = ""
    document: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class File:
    """A file in the media folder: its address, and the name under which the browser keeps it."""

    url: str
    name: str
