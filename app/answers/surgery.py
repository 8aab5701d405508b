"""Paired runs of head surgery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.answers.comparison import Effects
from steering.types import SuccessRate

MAX_SURGERY_SCENES = 40


@dataclass(frozen=True)
class SurgerySummary:
    """A paired run. heads, control: digits of the heads that were changed, and of the control's, empty without one.

    told: when it was run, and in which scenes. rates: untouched, changed and control, in this order, as are `films`:
    scene's seed -> address of its film.
    """

    id: str
    task: str
    heads: str
    control: str
    factor: float
    from_s: float
    sentence: str
    told: str
    rates: tuple[SuccessRate, ...]
    effects: tuple[Effects, ...]
    films: tuple[Mapping[str, str], ...]
