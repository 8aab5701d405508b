"""The order of the trials, drawn before the first one, and what the plan can show, said before it. Milliseconds."""

from __future__ import annotations

import string

import numpy as np

from steering.comparison.anytime import needed_evidence, sign_evidence
from steering.comparison.paired import fair_coin
from steering.errors import InputError
from steering.types import TrialPlan, TrialSlot

_RUNS = 4000


def schedule(plan: TrialPlan) -> tuple[TrialSlot, ...]:
    """Every trial in order: conditions in random order with equal shares, methods in random order in each block.

    Letters are drawn anew in every block, so that A says nothing from one block to the next. The same plan gives the
    same order.
    """
    rng = np.random.default_rng([plan.seed, 29])
    rounds = -(-plan.blocks // len(plan.conditions))
    drawn = [condition for _ in range(rounds) for condition in rng.permutation(plan.conditions)]
    slots: list[TrialSlot] = []
    for block, condition in enumerate(drawn[: plan.blocks]):
        for letter, method in zip(string.ascii_uppercase, rng.permutation(plan.methods), strict=False):
            slots.append(TrialSlot(len(slots), block + 1, str(condition), letter, str(method)))
    return tuple(slots)


def level(plan: TrialPlan) -> float:
    """Of one comparison: the plan's alpha shared among those with the first method."""
    return plan.alpha / (len(plan.methods) - 1)


def power(plan: TrialPlan, runs: int = _RUNS) -> tuple[float, float, int]:
    """The chance of showing a difference that matters within the plan; that of McNemar's test of all blocks at their
    end; and after how many blocks half of those that show it stop. By simulation, blocks' trials independent.
    """
    first, second = plan.expected, plan.expected + plan.matters
    if second > 1:
        first, second = plan.expected, plan.expected - plan.matters
    if second < 0:
        raise InputError(
            f"A success rate of {100 * plan.expected:.0f} % leaves no room for a difference of "
            f"{100 * plan.matters:.0f} points. Expect another rate, or ask for a smaller difference."
        )
    rng = np.random.default_rng([plan.seed, 31])
    size = (runs, plan.blocks)
    differences = (rng.random(size) < second).astype(int) - (rng.random(size) < first)
    shown = sign_evidence(differences) >= needed_evidence(plan.blocks, level(plan))
    stopped = shown.any(-1)
    half = int(np.median(shown.argmax(-1)[stopped])) + 1 if stopped.any() else plan.blocks
    ends = zip((differences > 0).sum(-1), (differences < 0).sum(-1), strict=True)
    fixed = np.mean([fair_coin(int(wins), int(losses)) <= level(plan) for wins, losses in ends])
    return float(stopped.mean()), float(fixed), half


def power_words(plan: TrialPlan) -> str:
    """What the plan can show, as sentences."""
    shown, fixed, half = power(plan)
    trials = plan.blocks * len(plan.methods)
    among = "" if len(plan.methods) == 2 else f", for each of {len(plan.methods) - 1} comparisons"
    rate, points = 100 * plan.expected, 100 * plan.matters
    return (
        f"At most {plan.blocks} blocks, {trials} trials. A difference of {points:.0f} points from "
        f"{rate:.0f} % is shown with a chance of {100 * shown:.0f} %{among}; half of the plans that show it "
        f"stop by block {half}. All blocks and one look at the end (McNemar) would show it in {100 * fixed:.0f} %. "
        "Blocks whose starts are hard or easy for all methods alike need fewer."
    )
