"""Comparisons that may stop early: level and power on made-up outcomes, and what is said of how they ended."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from steering.comparison.cells import cell_tests
from steering.comparison.compare import compare, ending, report, verdicts
from steering.comparison.paired import mcnemar
from steering.comparison.stopping import LEVEL, SCENES_A_LOOK, looked, sign_test
from steering.types import Rollouts, StopRule

RULE = StopRule(40, 0.2)


def ran(method: str, won: np.ndarray, rule: StopRule | None = RULE) -> Rollouts:
    seeds = tuple(range(70, 70 + len(won)))
    return Rollouts(method, "pick_cube", (), seeds, won.astype(bool), np.full(len(won), 9, np.int32), may_stop=rule)


def stopped(rates: tuple[float, ...], alike: float, seed: int) -> tuple[tuple[str, ...], int]:
    """As `pipeline.evaluate` looks, after every few scenes. alike: share of scenes that one draw decides."""
    rng = np.random.default_rng([seed, len(rates)])
    draw = rng.random((len(rates), RULE.most))
    draw = np.where(rng.random(RULE.most) < alike, draw[0], draw)
    won = {f"m{i}": draw[i] < rate for i, rate in enumerate(rates)}
    for scenes in range(SCENES_A_LOOK, RULE.most + 1, SCENES_A_LOOK):
        _, kinds = looked({name: one[:scenes] for name, one in won.items()}, RULE)
        if "open" not in kinds:
            break
    return kinds, scenes


@pytest.mark.parametrize(("rates", "alike"), [((0.8, 0.8), 0.3), ((0.6, 0.6, 0.6), 0.0)])
def test_equal_methods_differ_no_oftener_than_the_level(rates: tuple[float, ...], alike: float) -> None:
    runs = 150
    false = sum("difference" in stopped(rates, alike, seed)[0] for seed in range(runs))
    assert false / runs <= LEVEL + 2 * np.sqrt(LEVEL * (1 - LEVEL) / runs)


def test_a_difference_that_matters_is_rarely_said_to_be_none() -> None:
    ends = [stopped((0.5, 0.7), 0.5, seed)[0] for seed in range(200)]
    assert sum(kinds == ("none",) for kinds in ends) / 200 <= 0.08


def test_large_differences_stop_soon_and_are_shown() -> None:
    ends = [stopped((0.1, 0.9), 0.0, seed) for seed in range(60)]
    assert all(kinds == ("difference",) for kinds, _ in ends)
    assert np.mean([scenes for _, scenes in ends]) < 20
    alike, scenes = stopped((0.5, 0.5), 1.0, 0)
    assert alike == ("none",) and scenes < RULE.most


def test_the_test_of_every_look_needs_more_than_that_of_one_look() -> None:
    won, lost = np.ones(7), np.zeros(7)
    late, once = sign_test("a", won, "b", lost, 40), mcnemar("a", won, "b", lost)
    assert late.p > once.p and (late.only_first, late.only_second) == (7, 0)
    assert sign_test("a", won, "b", won, 40).p == 1.0
    ps = [sign_test("a", np.ones(n), "b", np.zeros(n), 40).p for n in range(1, 20)]
    assert all(before >= after for before, after in pairwise(ps))
    shorter = sign_test("a", np.ones(7), "b", np.zeros(7), 8).p
    assert shorter < late.p, "fewer looks need less"


def test_wins_losses_and_ties_are_counted_apart() -> None:
    first, second = np.array([1, 1, 1, 0, 0, 1, 0]), np.array([0, 0, 1, 1, 0, 0, 0])
    found = sign_test("a", first, "b", second, 40)
    assert (found.only_first, found.only_second) == (3, 1)


def test_a_comparison_says_what_stopped_it_and_after_how_many_scenes() -> None:
    one, two = ran("zero_shot", np.zeros(8)), ran("steering", np.ones(8))
    value = compare([one, two])
    assert value.stopping is not None and value.stopping.kinds == ("difference",)
    assert ending(value) == "Stopped after 8 of at most 40 scenes: a difference is shown."
    said = report(value)
    assert "Stopped after 8 of" in said and "sign test at every look, p = .0" in said and "McNemar" not in said
    low, high = value.stopping.intervals[0]
    assert -1 <= low < -0.2 and high < 0.1, "zero-shot minus Robotic Steering"

    same = compare([ran("zero_shot", np.arange(32) % 2), ran("steering", np.arange(32) % 2)])
    assert ending(same) == "Stopped after 32 of at most 40 scenes: no difference of 20 points or more is likely."
    assert "no difference of 20 points or more is likely (Zero-shot alone" in verdicts(same)[1]

    three = compare([ran("zero_shot", np.zeros(9)), ran("steering", np.ones(9)), ran("lora", np.zeros(9))])
    assert ending(three) == "Stopped after 9 of at most 40 scenes: still open between Zero-shot and LoRA, all heads."
    (test,) = cell_tests([one, two])
    assert test.test == value.tests[0], "the table of all conditions tests as the comparison does"


def test_without_the_wish_nothing_changes() -> None:
    one, two = ran("zero_shot", np.zeros(8), None), ran("steering", np.ones(8), None)
    value = compare([one, two])
    assert value.stopping is None and ending(value) == ""
    assert value.tests[0].p == mcnemar("a", one.success, "b", two.success).p
    assert "exact McNemar p = .008" in report(value)
