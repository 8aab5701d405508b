"""What a comparison shows, as the sentence that leads the Compare step and as squares, a scene and method each.

Plain numbers first (`pair_of`, `squares`), then words. Microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.answers.comparison import Square
from app.words import label_of
from steering.comparison.effect import Effect, effect
from steering.types import Comparison, PairedTest, Rollouts, SuccessRate, p_words

LEVEL = 0.05
LEADS = ("steering", "lora")  # the pair that a comparison is made for, where both ran


def pair_of(comparison: Comparison) -> PairedTest | None:
    """The pair that the sentence speaks of: Robotic Steering and LoRA, else the first; None for a method alone."""
    tests = comparison.tests
    return next((one for one in tests if {one.first, one.second} == set(LEADS)), tests[0] if tests else None)


def effects(comparison: Comparison) -> tuple[Effect, ...]:
    """Every pair's difference with its interval, in the order of the tests; of a comparison that might stop early the
    interval that holds at every look.
    """
    found = tuple(effect(test, len(comparison.seeds)) for test in comparison.tests)
    if comparison.stopping is None:
        return found
    held = zip(found, comparison.stopping.intervals, strict=True)
    return tuple(replace(one, low=low, high=high) for one, (low, high) in held)


def squares(rollouts: Sequence[Rollouts], videos: Sequence[Mapping[int, str]]) -> tuple[tuple[Square, ...], ...]:
    """[method][scene], in the scenes' order. videos: a method's addresses by seed."""
    seeds = rollouts[0].seeds
    return tuple(
        tuple(
            Square(seed, i + 1, bool(one.success[one.seeds.index(seed)]), bool(kept.get(seed)))
            for i, seed in enumerate(seeds)
        )
        for one, kept in zip(rollouts, videos, strict=True)
    )


def compare_sentence(comparison: Comparison) -> str:
    """The one sentence: how the pair did, and whether a difference is shown."""
    rates = {rate.method: rate for rate in comparison.rates}
    test = pair_of(comparison)
    scenes = len(comparison.seeds)
    if test is None:
        one = comparison.rates[0]
        return (
            f"{label_of(one.method)} succeeded in {one.successes} of {_scenes(one.trials)}; nothing to compare it with."
        )
    first, second = (rates[name] for name in _in_order(test, rates))
    counts = (
        f"{label_of(first.method)} {first.successes} against {label_of(second.method)} {second.successes} of "
        f"{_scenes(scenes)}"
    )
    if test.p_holm >= LEVEL:
        found = "no difference shown"
        if comparison.stopping and comparison.stopping.kinds[comparison.tests.index(test)] == "none":
            found = f"no difference of {100 * comparison.stopping.rule.matters:.0f} points or more is likely"
    else:
        found = f"{label_of(first.method if first.successes > second.successes else second.method)} is better"
    others = [
        f"{label_of(rate.method)} {rate.successes}"
        for rate in comparison.rates
        if rate.method not in (first.method, second.method)
    ]
    beside = f" Beside them: {', '.join(others)}." if others else ""
    early = comparison.stopping is not None and scenes < comparison.stopping.rule.most
    stopped = f" Stopped early, of at most {comparison.stopping.rule.most}." if early and comparison.stopping else ""
    return f"{counts}: {found} (p {p_words(test.p_holm)}).{beside}{stopped}"


def effect_words(one: Effect) -> str:
    """`Robotic Steering − LoRA: +2 points (−8 to +12)`."""
    return (
        f"{label_of(one.first)} against {label_of(one.second)}: {_points(one.difference)} points "
        f"({_points(one.low)} to {_points(one.high)})"
    )


def _in_order(test: PairedTest, rates: Mapping[str, SuccessRate]) -> tuple[str, str]:
    """Robotic Steering first, where it is one of both."""
    first, second = (test.first, test.second) if test.first in rates else (test.second, test.first)
    return (second, first) if second == LEADS[0] else (first, second)


def _points(difference: float) -> str:
    shown = f"{100 * difference:+.0f}"
    return ("0" if shown in ("+0", "-0") else shown).replace("-", "\u2212")


def _scenes(count: int) -> str:
    return f"{count} scene{'' if count == 1 else 's'}"
