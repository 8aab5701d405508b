"""Several comparisons as one table: a cell for each task × variations × words × method, tests corrected together.

Two methods are paired under each condition, and each method with itself under other words where the scenes are the
same. Holm's correction runs over all pairs of the table. Instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from steering.comparison.intervals import success_rate
from steering.comparison.names import method_name
from steering.comparison.outcomes import outcomes
from steering.comparison.paired import holm, mcnemar
from steering.comparison.stopping import rule_of, sign_test
from steering.types import Cell, CellTest, PairedTest, Rollouts


def cells(rollouts: Sequence[Rollouts]) -> tuple[Cell, ...]:
    """One cell for each of `rollouts`, in their order."""
    return tuple(
        Cell(
            one.task,
            tuple(one.variations),
            one.instruction,
            success_rate(method_name(one), np.asarray(one.success, bool)),
            outcomes(one),
        )
        for one in rollouts
    )


def cell_tests(rollouts: Sequence[Rollouts]) -> tuple[CellTest, ...]:
    """Exact McNemar of every pair of cells that differ in the method or in the words alone, Holm over all of them.

    Where their scenes might stop early, the sign test that holds at every look. Pairs with other scenes are left out.
    """
    pairs = [(one, two) for one, two in combinations(rollouts, 2) if _comparable(one, two)]
    tests = holm([_test(one, two) for one, two in pairs])
    return tuple(CellTest(one.task, tuple(one.variations), test) for (one, _), test in zip(pairs, tests, strict=True))


def _test(one: Rollouts, two: Rollouts) -> PairedTest:
    won = (method_name(one), np.asarray(one.success, bool), method_name(two), _aligned(two, one))
    rule = rule_of((one, two))
    return mcnemar(*won) if rule is None else sign_test(*won, rule.most)


def _comparable(one: Rollouts, two: Rollouts) -> bool:
    same = (one.task, sorted(one.variations), sorted(one.seeds)) == (
        two.task,
        sorted(two.variations),
        sorted(two.seeds),
    )
    return same and (one.method == two.method) != (one.instruction == two.instruction)


def _aligned(rollouts: Rollouts, other: Rollouts) -> np.ndarray:
    """bool [episode]: outcomes in the order of the seeds of `other`."""
    position = {seed: i for i, seed in enumerate(rollouts.seeds)}
    return np.asarray(rollouts.success, bool)[[position[seed] for seed in other.seeds]]
