"""An adapter at several strengths: its own task against what the policy knew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from steering.types import SuccessRate

MAX_STRENGTH_SCENES = 40
SHARES = {"halves": (0.0, 0.5, 1.0), "quarters": (0.0, 0.25, 0.5, 0.75, 1.0)}
"""Strengths that can be asked for together, by name."""


@dataclass(frozen=True)
class Weakened:
    """An adapter at several strengths. strengths: shares of its change of every weight, ascending; rates: its own task,
    then families of the pretraining -> success at each strength. sentence: what leads; origins: when it was run, with
    which seeds and heads, a line each.
    """

    id: str
    adapter_id: str
    method: str
    task: str
    strengths: tuple[float, ...]
    rates: Mapping[str, tuple[SuccessRate, ...]]
    sentence: str
    origins: tuple[str, ...]
