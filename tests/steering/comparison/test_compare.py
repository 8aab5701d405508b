from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from steering.comparison.compare import _short, compare, report, scenes_to_watch, verdicts
from steering.comparison.intervals import success_rate, wilson
from steering.comparison.paired import holm, mcnemar
from steering.errors import InputError
from steering.types import PairedTest, Rollouts


def rollouts(method: str, success: list[int], **fields: object) -> Rollouts:
    count = len(success)
    values = {"task": "pick_cube", "variations": (), "seeds": tuple(range(100, 100 + count))}
    return Rollouts(method, success=np.array(success, bool), steps=np.full(count, 50, np.int32), **{**values, **fields})


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (3, 10), (17, 40), (1, 1)])
def test_wilson_equals_the_closed_form(successes, trials):
    z, p = 1.959963984540054, successes / trials
    centre = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials**2))
    assert wilson(successes, trials) == pytest.approx((max(centre - half, 0), min(centre + half, 1)), abs=1e-9)


def test_wilson_of_a_published_example():
    """Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_errors(successes, trials):
    with pytest.raises(InputError, match="at least one trial"):
        wilson(successes, trials)


def binomial_p(only_first: int, only_second: int) -> float:
    """Two-sided exact p of a fair coin: twice the smaller tail, at most 1."""
    n, low = only_first + only_second, min(only_first, only_second)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(low + 1)) / 2**n)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (0, 5), (9, 1), (6, 6), (3, 10)])
def test_mcnemar_equals_the_binomial_sum(only_first, only_second):
    first = [1] * only_first + [0] * only_second + [1] * 4 + [0] * 3
    second = [0] * only_first + [1] * only_second + [1] * 4 + [0] * 3
    test = mcnemar("a", np.array(first), "b", np.array(second))
    assert (test.only_first, test.only_second) == (only_first, only_second)
    assert test.p == pytest.approx(binomial_p(only_first, only_second))


def test_mcnemar_needs_the_same_scenes():
    with pytest.raises(InputError, match="same scenes"):
        mcnemar("a", np.ones(3, bool), "b", np.ones(4, bool))


def test_holm_of_a_published_example_and_by_closed_testing():
    def corrected(ps):
        return [test.p_holm for test in holm([PairedTest("a", "b", 0, 0, p, p) for p in ps])]

    assert corrected([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert corrected([0.9, 0.8]) == [1.0, 1.0] and corrected([0.02]) == [0.02] and corrected([]) == []
    generator = np.random.default_rng(0)
    for _ in range(20):  # Holm is the closure of Bonferroni: the largest p over all sets that hold the hypothesis
        ps = generator.random(4) ** 3
        sets = [c for size in range(1, 5) for c in combinations(range(4), size)]
        closed = [max(min(1, len(c) * min(ps[list(c)])) for c in sets if i in c) for i in range(4)]
        assert corrected(ps) == pytest.approx(closed)


def test_compare_collects_rates_tests_and_disagreement():
    result = compare(
        [
            rollouts("zero_shot", [0, 0, 1, 0, 1, 0]),
            rollouts("steering", [1, 0, 1, 1, 1, 0]),
            rollouts("lora", [1, 0, 1, 0, 1, 0]),
        ]
    )
    assert [(r.method, r.successes, r.trials) for r in result.rates] == [
        ("zero_shot", 2, 6),
        ("steering", 4, 6),
        ("lora", 3, 6),
    ]
    assert result.rates[1] == success_rate("steering", np.array([1, 0, 1, 1, 1, 0]))
    assert (result.rates[1].low, result.rates[1].high) == wilson(4, 6)
    assert [(t.first, t.second, t.only_first, t.only_second) for t in result.tests] == [
        ("zero_shot", "steering", 0, 2),
        ("zero_shot", "lora", 0, 1),
        ("steering", "lora", 1, 0),
    ]
    assert result.tests[0].p == 0.5 and result.tests[0].p_holm == 1.0
    assert result.disagreement == (100, 103)


def test_seeds_in_another_order_are_paired_by_seed():
    first = rollouts("steering", [1, 0, 1, 0])
    other = rollouts("lora", [0, 1, 0, 1], seeds=(103, 102, 101, 100))
    result = compare([first, other])
    assert result.disagreement == () and (result.tests[0].only_first, result.tests[0].only_second) == (0, 0)


def test_one_method_alone_has_a_rate_and_no_test():
    result = compare([rollouts("steering", [1, 0])])
    assert len(result.rates) == 1 and result.tests == () and result.disagreement == ()
    assert "no difference" not in report(result).lower()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "press_button"}, "task .* pick_cube and press_button"),
        ({"variations": ("lighting",)}, "variations"),
        ({"seeds": (100, 101, 109)}, "seeds"),
        ({"seeds": (100, 101)}, "one outcome for each"),
        ({"seeds": (100, 101, 101)}, "different seeds"),
        ({"method": "steering"}, "each method once"),
    ],
)
def test_unequal_scenes_are_worded_errors(change, words):
    other = replace(rollouts("lora", [0, 1, 0]), **change)
    with pytest.raises(InputError, match=words):
        compare([rollouts("steering", [1, 0, 1]), other])


def test_nothing_to_compare_is_an_error():
    with pytest.raises(InputError, match="at least one"):
        compare([])
    with pytest.raises(InputError, match="one or more"):
        compare([rollouts("steering", [])])


def test_the_report_says_plainly_when_no_difference_is_shown():
    text = report(compare([rollouts("steering", [1, 1, 1, 0]), rollouts("lora", [1, 0, 0, 1])]))
    assert "Robotic Steering: 3 of 4 (75 %; 95 % interval 30 to 95 %)." in text
    assert "Robotic Steering and LoRA, all heads: no difference shown" in text
    assert "No difference between the methods is shown. That is not proof that they are equal" in text


def test_the_report_names_the_better_method_whichever_comes_first():
    good, bad = [1] * 10, [0] * 10
    for pair in ((("steering", good), ("lora", bad)), (("lora", bad), ("steering", good))):
        text = report(compare([rollouts(*one) for one in pair]))
        assert "Robotic Steering is better" in text and "is shown" not in text


def test_a_difference_that_correction_takes_away_is_not_reported_as_shown():
    """Six scenes to none: p = 0.031 alone, 0.094 as one of three pairs."""
    text = report(
        compare([rollouts("steering", [1] * 6), rollouts("lora", [0] * 6), rollouts("zero_shot", [1] * 3 + [0] * 3)])
    )
    assert "p = .031, .094 after Holm over 3 pairs" in text
    assert "better" not in text and "No difference between the methods is shown" in text


def test_one_scene_is_not_scenes():
    one, two = rollouts("zero_shot", [1, 0, 1]), rollouts("lora", [0, 0, 1])
    assert "Zero-shot alone succeeded in 1 scene, LoRA, all heads alone in 0;" in report(compare([one, two]))


def test_scenes_worth_a_film_take_every_pattern_in_turn_those_that_differ_first():
    #             100 101 102 103 104 105 106
    first = rollouts("lora", [0, 0, 0, 1, 1, 0, 0])
    second = rollouts("steering", [0, 0, 0, 1, 0, 1, 1])
    assert scenes_to_watch([first, second], 2) == (104, 105)  # the commoner pattern's first, then the rarer's
    assert scenes_to_watch([first, second], 4) == (100, 103, 104, 105)
    assert scenes_to_watch([first, second], 5) == (100, 103, 104, 105, 106)
    assert scenes_to_watch([first, second], 99) == first.seeds
    mirrored = replace(second, seeds=second.seeds[::-1], success=second.success[::-1])
    assert scenes_to_watch([first, mirrored], 2) == (104, 105)


def test_scenes_to_watch_are_of_methods_on_the_same_scenes():
    with pytest.raises(InputError, match="seeds"):
        scenes_to_watch([rollouts("lora", [0, 1]), rollouts("steering", [1, 0, 1])], 2)
    with pytest.raises(InputError, match="at least one"):
        scenes_to_watch([], 2)


def test_a_difference_is_shown_below_five_per_cent_and_not_at_it():
    comparison = compare([rollouts("steering", [1] * 6), rollouts("lora", [0] * 6)])
    for p, shown in ((0.05, False), (0.0499, True)):
        test = replace(comparison.tests[0], p=p, p_holm=p)
        lines = verdicts(replace(comparison, tests=(test,)))
        assert ("is better than" in lines[0]) == shown and ("no difference shown" in lines[0]) == (not shown)
        assert len(lines) == (1 if shown else 2)


def test_long_lists_are_cut_in_an_error():
    assert _short("x" * 80) == "x" * 80 and _short("x" * 81) == "x" * 77 + "…"
    with pytest.raises(InputError, match="seeds of Robotic Steering and LoRA"):
        compare([rollouts("steering", [1, 0]), rollouts("lora", [1, 0], seeds=(1, 2))])


def test_what_a_method_was_like_is_said_in_order():
    failed = rollouts(
        "steering",
        [1, 0],
        failure=("", "dropped"),
        distance_m=np.array([0, 0.025], np.float32),
        wrong_object=np.array([True, False]),
        named=np.array([1, 0], np.int8),
    )
    said = report(compare([failed])).splitlines()[2]
    assert said == (
        "Robotic Steering: successes took 50 steps in the median; failures were picked up, then dropped 1, with 2.5 cm "
        "left on average; another thing was touched in 1 scene; the goal that the changed words name was reached in 1 "
        "of 2."
    )
    plain = replace(failed, wrong_object=np.zeros(2, bool), named=None)
    assert "another thing" not in report(compare([plain])) and "changed words" not in report(compare([plain]))


def test_tests_of_several_methods_lie_along_scenes():
    with pytest.raises(InputError, match="same scenes"):
        mcnemar("a", np.ones((2, 2), bool), "b", np.ones((2, 2), bool))
    three = [rollouts(name, [won]) for name, won in (("steering", 1), ("lora", 1), ("zero_shot", 1))]
    assert compare(three).disagreement == ()
    assert compare([*three[:2], rollouts("zero_shot", [0])]).disagreement == (100,)
