"""Lessons, and classes that take them: what a learner is asked, and what a teacher sees of all, without names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class LessonChoice:
    """An answer to predict. why: what speaks against it where it is not the right one; `{name}` as in `Lesson`."""

    name: str
    words: str
    why: str


@dataclass(frozen=True)
class LessonTask:
    """A thing to do. done: the condition of static/learn that ends it; tab: where; find: selector to point at."""

    text: str
    done: str
    tab: str
    find: str


@dataclass(frozen=True)
class Lesson:
    """idea: what to know first; question with choices: the prediction; reveal: what the data says; know: what stays.
    covers: selectors of what shows the answer, covered until a prediction is made. `{name}` in question, reveal and
    `why` is a fact that static/learn reads from what is open; a choice is right when its name is the fact `answer`.
    """

    id: str
    title: str
    minutes: int
    idea: str
    question: str
    choices: tuple[LessonChoice, ...]
    tasks: tuple[LessonTask, ...]
    reveal: str
    know: str
    covers: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassCard:
    """A class. code: what its link carries; secret: opens the teacher's view without their cookie, told only to whoever
    made the class. since_s: when whoever asks joined, in seconds since the epoch, 0 for its teacher. until: the day on
    which it goes unless it is used.
    """

    code: str
    title: str
    learners: int
    until: str
    secret: str = ""
    since_s: float = 0.0


@dataclass(frozen=True)
class Tally:
    """How the learners answered one question: answer -> how many. found: what their own data said at the reveal,
    likewise; empty for votes.
    """

    question: str
    answers: Mapping[str, int]
    found: Mapping[str, int]


@dataclass(frozen=True)
class ClassRun:
    """A learner's finetune. heads: how many, None for all; before, after: held-out error, None where not measured."""

    method: str
    control: str
    demonstrations: str
    heads: int | None
    steps: int
    seed: int
    before: float | None
    after: float | None


@dataclass(frozen=True)
class ClassChart:
    """What a class has answered, by question; votes: method -> how often it was voted the best; runs, newest first."""

    title: str
    learners: int
    predictions: tuple[Tally, ...]
    votes: Mapping[str, int]
    runs: tuple[ClassRun, ...]
