"""Outcomes beyond success, counted by hand; the table; changed instructions beside the original."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steering.comparison.compare import compare, report
from steering.comparison.outcomes import outcomes, table
from steering.types import Rollouts


def rollouts(method: str = "steering", **fields: object) -> Rollouts:
    values: dict = {
        "task": "pick_cube",
        "variations": ("lighting",),
        "seeds": (1, 2, 3, 4, 5),
        "success": np.array([1, 1, 1, 0, 0], bool),
        "steps": np.array([40, 60, 50, 140, 140], np.int32),
        "failure": ("", "", "", "dropped", "never_reached"),
        "distance_m": np.array([0, 0, 0, 0.02, 0.1], np.float32),
        "wrong_object": np.array([0, 1, 0, 0, 1], bool),
    }
    return Rollouts(method, **{**values, **fields})


def test_numbers_are_those_counted_by_hand() -> None:
    found = outcomes(rollouts())
    assert found is not None
    assert found.steps == (50.0, 45.0, 55.0) and found.distance_left_m == pytest.approx(0.06)
    assert found.wrong_object == 2 and found.failures == {"never_reached": 1, "dropped": 1} and found.named is None
    lost = outcomes(rollouts(success=np.zeros(5, bool), failure=("dropped",) * 5))
    assert lost is not None and lost.steps is None and lost.failures == {"dropped": 5}
    won = outcomes(rollouts(success=np.ones(5, bool), failure=("",) * 5))
    assert won is not None and won.distance_left_m is None and won.failures == {}


def test_rollouts_of_older_versions_say_nothing() -> None:
    old = rollouts(failure=(), distance_m=None, wrong_object=None)
    assert outcomes(old) is None and compare([old]).outcomes == ()
    assert table([compare([old])]).endswith("|  |  |  |  |")


@pytest.mark.parametrize("lacks", [{"failure": ()}, {"distance_m": None}, {"wrong_object": None}])
def test_one_thing_that_is_not_said_is_enough_to_say_nothing(lacks: dict[str, object]) -> None:
    assert outcomes(rollouts(**lacks)) is None


def test_the_table_has_a_row_for_each_task_variation_and_method() -> None:
    other = rollouts("lora", success=np.ones(5, bool), failure=("",) * 5)
    plain = [rollouts(variations=()), replace(other, variations=())]
    rows = table([compare([rollouts(), other]), compare(plain)]).splitlines()
    assert len(rows) == 2 + 4
    assert rows[2] == (
        "| pick cube | lighting | Robotic Steering | 3 of 5 | 23 to 88 % | 50 (45 to 55) | 6.0 | 2 | "
        "never reached it 1, picked up, then dropped 1 |"
    )
    assert rows[4].startswith("| pick cube | none | Robotic Steering |")


def test_instructions_of_one_method_are_compared_as_methods_of_their_own() -> None:
    renamed = rollouts(
        instruction="renamed",
        success=np.zeros(5, bool),
        failure=("wrong_object",) * 5,
        named=np.array([1, 1, 0, -1, -1], np.int8),
    )
    comparison = compare([rollouts(), renamed])
    assert [rate.method for rate in comparison.rates] == ["steering", "steering/renamed"]
    assert comparison.outcomes[1].named == (2, 3)
    text = report(comparison)
    assert "Robotic Steering (another thing named): 0 of 5" in text
    assert "the goal that the changed words name was reached in 2 of 3" in text
    assert "failures were went for another thing 5" in text


def test_a_named_goal_that_was_never_reached_is_said() -> None:
    found = outcomes(rollouts(named=np.array([0, -1, 0, -1, -1], np.int8)))
    assert found is not None and found.named == (0, 2)
    nothing = outcomes(rollouts(named=np.full(5, -1, np.int8)))
    assert nothing is not None and nothing.named is None
