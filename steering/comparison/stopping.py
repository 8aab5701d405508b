"""Simulated comparisons that may stop early: tests that hold at every look, and whether every pair is decided.

Each pair of methods has the sign test of `steering.comparison.anytime`, whose p is the chance that equal methods come
so far at some look within the most scenes; Holm's correction runs over the pairs as at a fixed number of scenes, so the
chance of any false difference stays at the level however early it stops. "None that matters" rejects a difference of
that size on either side, each at the level shared among the pairs. Milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from steering.comparison.anytime import bound_evidence, chance, interval, sign_evidence
from steering.comparison.paired import holm
from steering.types import PairedTest, Rollouts, Stopping, StopRule

LEVEL = 0.05
MATTERS = 0.2
"""The difference of success rates that matters, where nobody says."""
SCENES_A_LOOK = 8
"""Scenes of every method between two looks: seven that all go one way are the fewest that show a difference."""


def rule_of(rollouts: Sequence[Rollouts]) -> StopRule | None:
    """The rule by which their number of scenes was found, the longest of several; None where it was fixed."""
    return max(
        (one.may_stop for one in rollouts if one.may_stop), key=lambda one: (one.most, one.matters), default=None
    )


def sign_test(first: str, first_success: np.ndarray, second: str, second_success: np.ndarray, most: int) -> PairedTest:
    """Test of two methods that holds at every look within `most` scenes; `p_holm` equals `p` until `holm` has seen all.

    first_success, second_success: bool [scene], in the order in which the scenes were run.
    """
    differences = _differences(first_success, second_success)
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    p = chance(float(sign_evidence(differences).max()), most)
    return PairedTest(first, second, wins, losses, p, p)


def looked(success: Mapping[str, np.ndarray], rule: StopRule) -> tuple[tuple[PairedTest, ...], tuple[str, ...]]:
    """What the scenes so far show of every pair of methods: the tests with Holm's correction, and their kinds, as
    `types.Stopping` has them. Without an `open` one nothing is left to find out.

    success: method -> bool [scene], in the order in which the scenes were run.
    """
    pairs = list(combinations(success, 2))
    tests = holm([sign_test(a, success[a], b, success[b], rule.most) for a, b in pairs])
    rows = [_differences(success[a], success[b]) for a, b in pairs]
    return tests, tuple(_kind(*one, rule.matters, LEVEL / len(pairs)) for one in zip(tests, rows, strict=True))


def intervals(success: Mapping[str, np.ndarray]) -> tuple[tuple[float, float], ...]:
    """Lower and upper end of each pair's difference, first minus second, that hold at every look, each at the level."""
    pairs = combinations(success, 2)
    return tuple(interval(_differences(success[a], success[b]), LEVEL) for a, b in pairs)


def none_shown(differences: np.ndarray, matters: float, level: float) -> bool:
    """Whether a difference of `matters` or more is rejected on both sides, at some look each.

    differences: [pair], in [-1, 1].
    """
    sides = (bound_evidence(sign * differences, matters).max(initial=-math.inf) for sign in (1, -1))
    return min(sides) >= math.log(1 / level)


def _kind(test: PairedTest, differences: np.ndarray, matters: float, level: float) -> str:
    if test.p_holm < LEVEL:
        return "difference"
    return "none" if none_shown(differences, matters, level) else "open"


def _differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """int [scene]: 1 where only the first solved it, -1 where only the second did."""
    return np.asarray(first, int) - np.asarray(second, int)


def stopped_words(stopping: Stopping, scenes: int, labels: Sequence[tuple[str, str]]) -> str:
    """What ended a comparison after so many scenes, as a sentence. labels: of both methods of each pair."""
    rule, points = stopping.rule, f"{100 * stopping.rule.matters:.0f} points"
    left = [f"{a} and {b}" for kind, (a, b) in zip(stopping.kinds, labels, strict=True) if kind == "open"]
    shown = stopping.kinds.count("difference")
    if left:
        what = f"still open between {', '.join(left)}"
    elif shown == len(stopping.kinds):
        what = "a difference is shown" if shown == 1 else "a difference is shown between any two methods"
    elif shown:
        what = f"between any two methods a difference is shown, or none of {points} or more is likely"
    else:
        what = f"no difference of {points} or more is likely"
    early = (
        f"Stopped after {scenes} of at most {rule.most} scenes" if scenes < rule.most else f"All {scenes} scenes ran"
    )
    return f"{early}: {what}."
