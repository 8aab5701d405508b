"""Tables of several conditions: which cells are paired, and one correction over all of them."""

from __future__ import annotations

import numpy as np
import pytest

from steering.comparison.cells import cell_tests, cells
from steering.comparison.paired import holm, mcnemar
from steering.types import Rollouts

SEEDS = tuple(range(8))


def run(method: str, won: str, instruction: str = "original", task: str = "pick_cube", **fields: object) -> Rollouts:
    success = np.array([one == "1" for one in won])
    return Rollouts(
        method, task, (), fields.pop("seeds", SEEDS), success, np.full(8, 9), instruction=instruction, **fields
    )


def test_methods_are_paired_under_each_condition_and_with_themselves_under_other_words():
    table = [
        run("zero_shot", "00000000"),
        run("steering", "11111110"),
        run("zero_shot", "00000000", "empty"),
        run("steering", "10000000", "empty"),
        run("steering", "11111111", task="press_button"),
    ]
    found = {(one.task, one.test.first, one.test.second): one.test for one in cell_tests(table)}
    assert set(found) == {
        ("pick_cube", "zero_shot", "steering"),
        ("pick_cube", "zero_shot", "zero_shot/empty"),
        ("pick_cube", "steering", "steering/empty"),
        ("pick_cube", "zero_shot/empty", "steering/empty"),
    }
    words = found["pick_cube", "steering", "steering/empty"]
    assert (words.only_first, words.only_second) == (6, 0) and words.p == pytest.approx(2 / 2**6)
    alone = mcnemar("zero_shot", table[0].success, "steering", table[1].success)
    together = found["pick_cube", "zero_shot", "steering"]
    assert together.p == alone.p and together.p_holm == pytest.approx(4 * alone.p)
    assert [one.p_holm for one in holm(list(found.values()))] == [one.p_holm for one in found.values()]


def test_pairs_follow_the_seeds_and_other_scenes_are_not_paired():
    turned = run("lora", "01111111", seeds=SEEDS[::-1])
    (test,) = cell_tests([run("steering", "11111110"), turned])
    assert (test.test.only_first, test.test.only_second) == (0, 0)
    assert cell_tests([run("steering", "11111110"), run("lora", "01111111", seeds=tuple(range(8, 16)))]) == ()


def test_a_cell_says_how_it_went():
    far = {"failure": ("",) * 7 + ("dropped",), "distance_m": np.full(8, 0.2), "wrong_object": np.arange(8) < 2}
    (cell,) = cells([run("steering", "11111110", "empty", **far)])
    assert (cell.rate.method, cell.instruction, cell.rate.successes) == ("steering/empty", "empty", 7)
    assert cell.outcomes is not None and cell.outcomes.failures == {"dropped": 1} and cell.outcomes.wrong_object == 2
