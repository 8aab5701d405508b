"""The difference of two success rates on the same scenes, with its 95 % interval. Instant.

Bonett and Price (2012, Statistics in Medicine 31): the Wald interval of a difference of paired proportions after one
scene is added to each kind that tells the methods apart. It keeps its coverage with few scenes, where the plain one
has no width at all when no scene tells them apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from steering.errors import InputError
from steering.types import PairedTest

Z = 1.959964  # of a two-sided 95 % interval


@dataclass(frozen=True)
class Effect:
    """first − second in success, −1..1, and both ends of its interval. first, second: methods."""

    first: str
    second: str
    difference: float
    low: float
    high: float


def effect(test: PairedTest, scenes: int) -> Effect:
    """How far `test.first` is ahead of `test.second` on `scenes` scenes that both ran in, each once."""
    one, two = test.only_first, test.only_second
    if scenes < 1 or one + two > scenes:
        raise InputError(f"Expected at least the {one + two} scenes that tell the methods apart, got {scenes}.")
    first, second = (one + 1) / (scenes + 2), (two + 1) / (scenes + 2)
    middle = first - second
    half = Z * math.sqrt((first + second - middle**2) / (scenes + 2))
    return Effect(test.first, test.second, (one - two) / scenes, max(middle - half, -1.0), min(middle + half, 1.0))
