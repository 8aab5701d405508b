"""Rollouts of several methods on the same scenes to one comparison, and its verdict in words. Instant.

A comparison across different scenes would confound the method with the scene, so task, variations and seeds must agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from steering.comparison.intervals import success_rate
from steering.comparison.names import method_label, method_name
from steering.comparison.outcomes import outcomes
from steering.comparison.paired import holm, mcnemar
from steering.comparison.stopping import intervals, looked, rule_of, stopped_words
from steering.errors import InputError
from steering.types import FAILURES, Comparison, Outcomes, Rollouts, Stopping, p_number, p_words

LEVEL = 0.05


def compare(rollouts: Sequence[Rollouts]) -> Comparison:
    """Success rates in the order given, an exact paired test of every pair, and the seeds where outcomes differ."""
    _check(rollouts)
    first = rollouts[0]
    success = {method_name(one): _in_order(one, first.seeds) for one in rollouts}
    wins = np.sum(list(success.values()), axis=0)  # [episode], methods that succeeded
    stopping = None
    if (rule := rule_of(rollouts)) is None:
        tests = holm([mcnemar(a, success[a], b, success[b]) for a, b in combinations(success, 2)])
    else:
        tests, kinds = looked(success, rule)
        stopping = Stopping(rule, kinds, intervals(success))
    return Comparison(
        task=first.task,
        variations=first.variations,
        seeds=first.seeds,
        rates=tuple(success_rate(method, won) for method, won in success.items()),
        tests=tests,
        disagreement=tuple(seed for seed, won in zip(first.seeds, wins, strict=True) if 0 < won < len(rollouts)),
        outcomes=tuple(one for one in map(outcomes, rollouts) if one is not None),
        stopping=stopping,
    )


def report(comparison: Comparison) -> str:
    """The comparison in plain sentences, one a line: rates with intervals, then what the paired tests show."""
    varied = f" with {', '.join(comparison.variations)}" if comparison.variations else ""
    lines = [f"{comparison.task}{varied}: {_scenes(len(comparison.seeds))}, the same for every method."]
    lines += [
        f"{method_label(rate.method)}: {rate.successes} of {rate.trials} ({100 * rate.rate:.0f} %; "
        f"95 % interval {100 * rate.low:.0f} to {100 * rate.high:.0f} %)."
        for rate in comparison.rates
    ]
    lines += [line for one in comparison.outcomes if (line := _manner(one))]
    return "\n".join([*lines, *verdicts(comparison)])


def verdicts(comparison: Comparison) -> list[str]:
    """What the paired tests show, a sentence a pair, after what ended a comparison that might stop early."""
    lines = [_verdict(comparison, index) for index in range(len(comparison.tests))]
    if stopped := ending(comparison):
        return [stopped, *lines]
    if comparison.tests and not any(test.p_holm < LEVEL for test in comparison.tests):
        lines.append(
            "No difference between the methods is shown. That is not proof that they are equal: "
            "more scenes narrow the intervals."
        )
    return lines


def ending(comparison: Comparison) -> str:
    """What ended a comparison that might stop early, as a sentence; empty where the number of scenes was fixed."""
    if comparison.stopping is None:
        return ""
    labels = [(method_label(test.first), method_label(test.second)) for test in comparison.tests]
    return stopped_words(comparison.stopping, len(comparison.seeds), labels)


def scenes_to_watch(rollouts: Sequence[Rollouts], count: int) -> tuple[int, ...]:
    """Seeds of up to `count` scenes that show the most: every pattern of outcomes in turn, those that differ first.

    A pattern is which methods succeeded; the commonest comes first. The seeds are in the order of the scenes.
    """
    _check(rollouts)
    seeds = rollouts[0].seeds
    patterns: dict[tuple[bool, ...], list[int]] = {}
    for seed, *won in zip(seeds, *(_in_order(one, seeds).tolist() for one in rollouts), strict=True):
        patterns.setdefault(tuple(won), []).append(seed)
    order = sorted(patterns, key=lambda pattern: (len(set(pattern)) == 1, -len(patterns[pattern])))
    turns = max(map(len, patterns.values()))
    found = [patterns[one][turn] for turn in range(turns) for one in order if turn < len(patterns[one])]
    return tuple(sorted(found[:count], key=seeds.index))


def _verdict(comparison: Comparison, index: int) -> str:
    test, pairs, stopping = comparison.tests[index], len(comparison.tests), comparison.stopping
    first, second = method_label(test.first), method_label(test.second)
    counts = f"{first} alone succeeded in {_scenes(test.only_first)}, {second} alone in {test.only_second}"
    p = f"{'exact McNemar' if stopping is None else 'sign test at every look,'} p {p_words(test.p)}"
    p += f", {p_number(test.p_holm)} after Holm over {pairs} pairs" if pairs > 1 else ""
    if test.p_holm >= LEVEL:
        found = "no difference shown"
        if stopping is not None and stopping.kinds[index] == "none":
            found = f"no difference of {100 * stopping.rule.matters:.0f} points or more is likely"
        return f"{first} and {second}: {found} ({counts}; {p})."
    better, worse = (first, second) if test.only_first > test.only_second else (second, first)
    return f"{better} is better than {worse} ({counts}; {p})."


def _manner(one: Outcomes) -> str:
    """How the successes and failures of a method came about; empty where there is nothing to say."""
    said = []
    if one.steps:
        said.append(f"successes took {one.steps[0]:.0f} steps in the median")
    if one.failures and one.distance_left_m is not None:
        kinds = ", ".join(f"{FAILURES[kind]} {count}" for kind, count in one.failures.items())
        said.append(f"failures were {kinds}, with {100 * one.distance_left_m:.1f} cm left on average")
    if one.wrong_object:
        said.append(f"another thing was touched in {_scenes(one.wrong_object)}")
    if one.named:
        said.append(f"the goal that the changed words name was reached in {one.named[0]} of {one.named[1]}")
    return f"{method_label(one.method)}: {'; '.join(said)}." if said else ""


def _scenes(count: int) -> str:
    return f"{count} scene{'' if count == 1 else 's'}"


def _in_order(rollouts: Rollouts, seeds: tuple[int, ...]) -> np.ndarray:
    """bool [episode]: outcomes in the order of `seeds`."""
    position = {seed: index for index, seed in enumerate(rollouts.seeds)}
    return np.asarray(rollouts.success, bool)[[position[seed] for seed in seeds]]


def _check(rollouts: Sequence[Rollouts]) -> None:
    if not rollouts:
        raise InputError("Expected the rollouts of at least one method to compare, got none.")
    methods = [method_name(one) for one in rollouts]
    if len(set(methods)) != len(methods):
        raise InputError(f"Expected each method once, got {', '.join(methods)}. Leave out the repeated rollouts.")
    first = rollouts[0]
    for one in rollouts:
        if len(set(one.seeds)) != len(one.seeds) or len(one.success) != len(one.seeds) or not one.seeds:
            raise InputError(
                f"Expected one outcome for each of one or more different seeds, got {len(one.success)} outcomes for "
                f"{len(one.seeds)} seeds of {method_label(one.method)}. Roll it out again."
            )
        for what, ours, theirs in (
            ("task", first.task, one.task),
            ("variations", sorted(first.variations), sorted(one.variations)),
            ("seeds", sorted(first.seeds), sorted(one.seeds)),
        ):
            if ours != theirs:
                raise InputError(
                    f"Only rollouts on the same scenes can be compared, but the {what} of "
                    f"{method_label(first.method)} and {method_label(one.method)} differ: {_short(ours)} and "
                    f"{_short(theirs)}. Roll out one of them again."
                )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "…"
