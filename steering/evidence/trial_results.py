"""What the trial's cells say: the five primary contrasts, every other arm beside LoRA, and curves over a number.

The unit is the training seed: a seed's success is the mean over its scenes and conditions, arms are compared within a
seed, and tests run over seeds (`steering.evidence.inference`). Instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from steering.evidence.cell_files import Result
from steering.evidence.inference import ALPHA, FEWEST, Contrast, contrast, holm
from steering.evidence.trial import (
    ARMS,
    LORA,
    PRIMARY,
    RANDOM,
    RANDOM_DRAWS,
    STEERING,
    STRENGTHS,
    UNTOUCHED,
    Condition,
    TrialSettings,
    parse_cell,
)

DRAWS = tuple(f"{RANDOM}_{i}" for i in range(RANDOM_DRAWS))


@dataclass(frozen=True)
class Mean:
    """Success over training seeds. low, high: 95 % t interval, NaN below FEWEST seeds."""

    rate: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Curve:
    """Success of a main arm against a number. points: (number, success)."""

    arm: str
    points: tuple[tuple[float, Mean], ...]


def rates(results: Sequence[Result], training: str, arm: str, conditions: Sequence[Condition]) -> dict[int, float]:
    """Seed -> success rate, mean over `conditions`; seeds that lack one are left out. RANDOM: the mean of its draws,
    in seeds that have all of them.
    """
    if arm == RANDOM:
        drawn = [rates(results, training, one, conditions) for one in DRAWS]
        return {seed: float(np.mean([one[seed] for one in drawn])) for seed in set.intersection(*map(set, drawn))}
    found: dict[int, float] = {}
    for one in results:
        cell = parse_cell(one["cell"])
        if (cell.training, cell.arm) != (training, arm):
            continue
        of_run = {
            (run["task"], tuple(run["variations"])): run["success"].count("1") / len(run["success"])
            for run in one["conditions"]
        }
        if all(condition in of_run for condition in conditions):
            found[cell.seed] = float(np.mean([of_run[condition] for condition in conditions]))
    return found


def mean(results: Sequence[Result], training: str, arm: str, conditions: Sequence[Condition]) -> Mean | None:
    """Success of an arm over its seeds; None where none was run."""
    values = np.array(list(rates(results, training, arm, conditions).values()))
    if not len(values):
        return None
    half = np.nan
    if len(values) >= FEWEST:
        half = float(stats.t.ppf(1 - ALPHA / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    middle = float(values.mean())
    return Mean(middle, middle - half, middle + half, len(values))


def primary(
    results: Sequence[Result], first: str = STEERING, second: str = LORA
) -> dict[str, tuple[Contrast, float, float]]:
    """Of every primary contrast with enough seeds: the test of first − second, its p and p_equal after Holm.

    Holm counts all of PRIMARY, those that have not enough seeds yet too.
    """
    found = {}
    for name, (training, conditions) in PRIMARY.items():
        one, two = (rates(results, training, arm, conditions) for arm in (first, second))
        seeds = sorted(set(one) & set(two))
        if len(seeds) >= FEWEST:
            found[name] = contrast([one[seed] - two[seed] for seed in seeds])
    planned = dict.fromkeys(PRIMARY, 1.0)
    different = holm(planned | {name: one.p for name, one in found.items()})
    equal = holm(planned | {name: one.p_equal for name, one in found.items()})
    return {name: (one, different[name], equal[name]) for name, one in found.items()}


def verdict(found: Contrast, p_holm: float, p_equal_holm: float, alpha: float = ALPHA) -> str:
    """What the plan says that a contrast is taken to mean: better, worse, equal or undecided."""
    if p_holm < alpha:
        return "better" if found.difference > 0 else "worse"
    return "equal" if p_equal_holm < alpha else "undecided"


def arms_run(results: Sequence[Result]) -> list[str]:
    """The arms of the five conditions that have cells, in the order of ARMS, random draws as one."""
    trainings = {training for training, _ in PRIMARY.values()}
    there = {cell.arm for cell in (parse_cell(one["cell"]) for one in results) if cell.training in trainings}
    names = [arm for arm in ARMS if arm in there and arm not in DRAWS]
    return names + [RANDOM] * (there >= set(DRAWS))


def label(arm: str) -> str:
    """An arm for people."""
    return "Random heads" if arm == RANDOM else ARMS[arm].label


def curves(results: Sequence[Result]) -> dict[str, tuple[Curve, ...]]:
    """Demonstrations, steps, rank, strength on the own task, strength on what was kept -> both arms; empty ones are
    left out.
    """
    settings = TrialSettings()
    own = PRIMARY["few demonstrations"][1]
    demonstrations = ((1, "one", ""), (3, "three", ""), (5, "few", ""), (10, "ten", ""), (20, "marker", ""))
    steps = ((150, "marker", "_steps_150"), (settings.steps, "marker", ""), (1500, "marker", "_steps_1500"))
    ranks = ((4, "cube", "_rank_4"), (settings.rank, "cube", ""), (64, "cube", "_rank_64"))
    strengths = tuple((one, "cube", f"_strength_{round(100 * one)}") for one in STRENGTHS) + ((1.0, "cube", ""),)
    asked = {
        "demonstrations": (demonstrations, own),
        "steps": (steps, own),
        "rank (transfer)": (ranks, PRIMARY["transfer"][1]),
        "strength (own task)": (strengths, (("place_cube_in_bowl", ()),)),
        "strength (retention)": (strengths, PRIMARY["retention"][1]),
    }
    found = {}
    for name, (points, conditions) in asked.items():
        of_arms = []
        for arm in (STEERING, LORA):
            made = [(x, mean(results, training, arm + suffix, conditions)) for x, training, suffix in points]
            if name.startswith("strength"):
                made = [(0.0, mean(results, "cube", UNTOUCHED, conditions)), *made]
            known = tuple((float(x), one) for x, one in made if one is not None)
            if len(known) > 1 and any(x not in (0.0, 1.0) for x, _ in known):
                of_arms.append(Curve(arm, known))
        if of_arms:
            found[name] = tuple(of_arms)
    return found
