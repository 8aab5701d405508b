"""The difference of paired success rates with its interval."""

from __future__ import annotations

import numpy as np
import pytest

from steering.comparison.effect import Z, effect
from steering.comparison.paired import mcnemar
from steering.errors import InputError
from steering.types import PairedTest


def counted(one: int, two: int) -> PairedTest:
    return PairedTest("steering", "lora", one, two, 1.0, 1.0)


def test_by_hand() -> None:
    found = effect(counted(8, 2), 20)
    assert found.difference == pytest.approx(0.3)
    # (9 - 3) / 22 ± 1.96 √((12/22 − (6/22)²) / 22)
    assert found.low == pytest.approx(6 / 22 - 1.959964 * ((12 / 22 - (6 / 22) ** 2) / 22) ** 0.5)
    assert found.high == pytest.approx(6 / 22 + 1.959964 * ((12 / 22 - (6 / 22) ** 2) / 22) ** 0.5)


def test_it_has_a_width_where_nothing_differs_and_turns_with_the_pair() -> None:
    same = effect(counted(0, 0), 100)
    assert same.difference == 0 and -0.04 < same.low < 0 < same.high < 0.04
    one, other = effect(counted(7, 1), 30), effect(counted(1, 7), 30)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert effect(counted(1, 0), 1).high <= 1


@pytest.mark.parametrize(("p", "q", "scenes"), [(0.5, 0.5, 20), (0.9, 0.6, 40), (0.2, 0.1, 100)])
def test_it_covers_the_truth_about_as_often_as_it_says(p: float, q: float, scenes: int) -> None:
    rng = np.random.default_rng(0)
    draws = rng.random((2000, 2, scenes)) < np.array([p, q])[:, None]
    held = 0
    for one, two in draws:
        found = effect(mcnemar("a", one, "b", two), scenes)
        held += found.low <= p - q <= found.high
    assert 0.93 <= held / len(draws) <= 0.99


def test_fewer_scenes_than_tell_them_apart_are_refused() -> None:
    with pytest.raises(InputError, match="10 scenes"):
        effect(counted(8, 2), 9)


def test_at_the_ends() -> None:
    assert Z == 1.959964
    assert effect(counted(8, 2), 10).difference == pytest.approx(0.6)
    assert effect(counted(1, 0), 1).high == 1 and effect(counted(0, 1), 1).low == -1
    assert effect(counted(0, 0), 1).difference == 0
    with pytest.raises(InputError, match="got 0"):
        effect(counted(0, 0), 0)
