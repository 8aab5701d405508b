"""Artefacts in memory: what each takes is known as it is now, and old ones make room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from steering import kept
from steering.kept import Kept


class Frames(list[Any]):
    """Decoded when touched, as camera frames are."""


def asking(found: Kept) -> tuple[Callable[[str], Frames], list[str]]:
    """What asks `found` for frames by name, and the names that had to be read."""
    read = list[str]()

    def ask(name: str) -> Frames:
        def make() -> Frames:
            read.append(name)
            return Frames()

        value: Frames = found.get(name, 1, make)
        return value

    return ask, read


def test_what_was_decoded_since_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT_BYTES", 1000)
    ask, read = asking(Kept())
    for name in "abcd":
        ask(name)
    assert [ask(name) == [] for name in "abcd"] and read == list("abcd")  # all fit
    ask("a").append(np.zeros(2000, np.uint8))
    ask("e")  # now all are measured again; the two that were asked for last beside it stay
    assert [ask(name) == [] for name in "de"] and len(ask("a")) == 1 and read == list("abcde")
    assert ask("b") == [] and read == [*"abcde", "b"]


def test_what_grows_while_it_is_asked_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT_BYTES", 1000)
    monkeypatch.setattr(kept, "MEASURED_S", 0.0)
    ask, read = asking(Kept())
    for name in "abcd":
        ask(name)
    ask("d").append(np.zeros(2000, np.uint8))
    for name in "dcb":
        ask(name)
    assert ask("a") == [] and read == [*"abcd", "a"]
