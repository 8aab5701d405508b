"""The three sentences, where each is true."""

import numpy as np
import pytest

from steering.trials.verdict import judge, words
from steering.types import TrialPlan

PLAN = TrialPlan(("lora", "steering"), blocks=120, matters=0.15)
NAMES = {"lora": "LoRA", "steering": "Steering"}


def of(wins: int, losses: int, ties: int) -> np.ndarray:
    signs = np.array([1] * wins + [-1] * losses + [0] * ties)
    return np.random.default_rng(0).permutation(signs)


def test_a_difference_stops() -> None:
    verdict = judge(of(17, 2, 11), "steering", "lora", PLAN)
    assert (verdict.kind, verdict.wins, verdict.losses, verdict.pairs) == ("difference", 17, 2, 30)
    assert verdict.evidence > verdict.needed and verdict.p < 0.05 and verdict.high > 0.5
    said = words(verdict, PLAN, NAMES)
    assert said.startswith("Steering against LoRA: stop, a difference is shown (evidence ")
    assert "17 and 2 of 30 blocks were solved by one of them alone; Steering minus LoRA lies between" in said
    assert words(verdict, PLAN).startswith("Two methods: stop, a difference is shown")


def test_none_that_matters_stops() -> None:
    verdict = judge(of(3, 3, 104), "steering", "lora", PLAN)
    assert verdict.kind == "none" and -0.15 < verdict.low < 0 < verdict.high < 0.15
    assert "stop, no difference of 15 points or more is likely" in words(verdict, PLAN, NAMES)


def test_else_it_says_for_how_long() -> None:
    begun = judge(of(7, 2, 6), "steering", "lora", PLAN)
    assert begun.kind == "go_on" and begun.more is not None and 1 <= begun.more <= 105 and 0.5 < begun.chance <= 1
    assert f"perhaps {begun.more} more blocks; the 105 left decide it" in words(begun, PLAN)
    hopeless = judge(of(20, 14, 84), "steering", "lora", PLAN)
    assert hopeless.more is None and "the 2 blocks left will hardly decide it" in words(hopeless, PLAN)
    over = judge(of(22, 14, 84), "steering", "lora", PLAN)
    assert over.kind == "used_up" and "the plan is used up and neither is shown" in words(over, PLAN, NAMES)
    assert judge(np.zeros(0, int), "steering", "lora", PLAN).kind == "go_on"


def test_a_difference_that_was_shown_stays_shown() -> None:
    signs = np.concatenate([np.ones(14, int), -np.ones(9, int)])
    assert (
        judge(signs[:14], "steering", "lora", PLAN).kind == judge(signs, "steering", "lora", PLAN).kind == "difference"
    )


@pytest.mark.parametrize("methods", [2, 5])
def test_several_comparisons_need_more(methods: int) -> None:
    plan = TrialPlan(tuple("abcdef"[:methods]), blocks=40)
    assert judge(of(8, 1, 0), "b", "a", plan).needed == pytest.approx(9.31 if methods == 2 else 32.1, rel=0.01)
