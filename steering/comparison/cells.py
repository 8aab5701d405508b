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
from steering.types import Cell, CellTest, Rollouts


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

    Pairs with other scenes are left out.
    """
    pairs = [(one, two) for one, two in combinations(rollouts, 2) if _comparable(one, two)]
    tests = holm(
        [mcnemar(method_name(a), np.asarray(a.success, bool), method_name(b), _aligned(b, a)) for a, b in pairs]
    )
    return tuple(CellTest(one.task, tuple(one.variations), test) for (one, _), test in zip(pairs, tests, strict=True))


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
