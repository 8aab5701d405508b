"""Plans are balanced, random and the same again; what they can show is what trials by them show."""

import numpy as np
import pytest

from steering.errors import InputError
from steering.trials.plan import level, power, power_words, schedule
from steering.trials.verdict import judge
from steering.types import TrialPlan

PLAN = TrialPlan(("lora", "steering", "zero_shot"), ("usual", "dim"), blocks=31, seed=4)


def test_every_block_runs_every_method_once_and_conditions_have_equal_shares() -> None:
    slots = schedule(PLAN)
    assert [slot.number for slot in slots] == list(range(93))
    for block in range(31):
        own = slots[3 * block : 3 * block + 3]
        assert {slot.method for slot in own} == set(PLAN.methods) and [slot.letter for slot in own] == ["A", "B", "C"]
        assert len({(slot.block, slot.condition) for slot in own}) == 1 and own[0].block == block + 1
    assert sorted(np.unique([slot.condition for slot in slots], return_counts=True)[1]) == [45, 48]


def test_a_letter_says_nothing_and_the_order_is_drawn_by_the_seed() -> None:
    slots = schedule(PLAN)
    assert len({slot.method for slot in slots if slot.letter == "A"}) == 3
    assert schedule(PLAN) == slots
    assert schedule(TrialPlan(PLAN.methods, PLAN.conditions, 31, seed=5)) != slots


def test_the_power_is_what_trials_show() -> None:
    plan = TrialPlan(("one", "other"), blocks=40, matters=0.3, expected=0.45)
    shown, fixed, half = power(plan)
    assert shown < fixed < shown + 0.2 and 10 < half < 40
    rng = np.random.default_rng(9)
    runs = [(rng.random(40) < 0.75).astype(int) - (rng.random(40) < 0.45) for _ in range(150)]
    found = [judge(run, "other", "one", plan).kind == "difference" for run in runs]
    assert abs(np.mean(found) - shown) < 0.13
    said = power_words(plan)
    assert "At most 40 blocks, 80 trials" in said and f"chance of {100 * shown:.0f} %" in said


def test_alpha_is_shared_and_no_room_is_said() -> None:
    assert level(PLAN) == 0.025
    assert power(TrialPlan(("one", "other"), matters=0.4, expected=0.9))[0] > 0.5  # downwards, where there is room
    with pytest.raises(InputError, match="leaves no room"):
        power(TrialPlan(("one", "other"), matters=0.6, expected=0.5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"methods": ("one",)},
        {"methods": ("one", "one")},
        {"methods": tuple("abcdefg")},
        {"conditions": ()},
        {"conditions": ("usual", "usual")},
        {"blocks": 0},
        {"blocks": 1001},
        {"conditions": ("a", "b"), "blocks": 1},
        {"matters": 0.0},
        {"alpha": 1.0},
        {"expected": 1.5},
    ],
)
def test_what_is_no_plan_is_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        TrialPlan(**{"methods": ("one", "other"), **wrong})
