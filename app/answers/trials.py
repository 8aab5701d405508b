"""Trials on a robot as the page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from steering.types import TrialSlot


@dataclass(frozen=True)
class BookCard:
    """A trial book. slot: the trial to run now, None where all have an outcome; done, total: of trials; recorded: how
    many lines it has, void ones too, of which the last may be taken back. power: what the plan can show, before the
    first trial. verdicts: sentences. rows: method, condition, successes, interval, progress; none while the operator
    must not know the names. command: that serves the policies to the robot. media: name of the photograph or film that
    goes along with the next trial, empty for none; sending: the address that it is on its way to.
    """

    name: str
    slot: TrialSlot | None
    blocks: int
    done: int
    total: int
    recorded: int
    stages: tuple[str, ...]
    power: str
    verdicts: tuple[str, ...]
    rows: tuple[tuple[str, str, str, str, str], ...]
    command: str
    media: str = ""
    sending: str = ""


@dataclass(frozen=True)
class Trials:
    """Books by name, newest first; the open one; and the methods that a new one may have, by label."""

    books: tuple[str, ...]
    card: BookCard | None
    methods: Mapping[str, str]
