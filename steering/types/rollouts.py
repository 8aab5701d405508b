"""Rollouts and their comparison, in the simulator and on recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steering.types.finetuning import METHOD_LABELS
from steering.types.showing import Shown, table

INSTRUCTIONS = {
    "original": "as demonstrated",
    "renamed": "another thing named",
    "empty": "no words",
    "rephrased": "other words",
}
"""What a rollout's instruction may be: name -> label."""
FAILURES = {
    "never_reached": "never reached it",
    "wrong_object": "went for another thing",
    "reached_not_grasped": "reached, not grasped",
    "reached_not_moved": "touched, hardly moved",
    "dropped": "picked up, then dropped",
    "missed_target": "missed the target",
    "timed_out": "ran out of time while holding it",
    "near_success": "ran out of time near success",
}
"""Kinds of failure: name -> label."""


@dataclass(frozen=True)
class StopRule:
    """That a comparison may end before its last scene. most: scenes at most; matters: the difference of success rates
    that matters, 0..1.
    """

    most: int
    matters: float


@dataclass(frozen=True, repr=False)
class Rollouts(Shown):
    """Rollouts of one method on the scenes `seeds` (the scene of a seed is the same for every method).

    success: bool [episode]. steps: int32 [episode], control steps until success or the limit.
    videos: one H.264 file per recorded episode, in the order of `seeds`, possibly fewer. rate_hz: of the video.
    traces: one JSON file per recorded episode, with paths in metres and in the pictures (steering.rollout.tracing).
    filmed: seeds of the recorded episodes, in the order of `videos`; () for the first ones.
    instruction: one of INSTRUCTIONS. instructions: the words of each episode.
    failure: per episode one of FAILURES, empty for a success. distance_m: float32 [episode], left to the goal at the
    end. wrong_object: bool [episode], a thing that the goal does not name was touched. named: int8 [episode], whether
    the goal that a changed instruction names was reached: 1, 0, or -1 where the scene has no such goal.
    Rollouts of older versions have None or () there. may_stop: by which their number of scenes was found, None where it
    was fixed.
    """

    method: str
    task: str
    variations: tuple[str, ...]
    seeds: tuple[int, ...]
    success: np.ndarray
    steps: np.ndarray
    videos: tuple[Path, ...] = ()
    rate_hz: float = 20.0
    wall_s: float = 0.0
    traces: tuple[Path, ...] = ()
    instruction: str = "original"
    instructions: tuple[str, ...] = ()
    failure: tuple[str, ...] = ()
    distance_m: np.ndarray | None = None
    wrong_object: np.ndarray | None = None
    named: np.ndarray | None = None
    filmed: tuple[int, ...] = ()
    may_stop: StopRule | None = None

    @property
    def recorded(self) -> tuple[int, ...]:
        """Seeds of the episodes that `videos` and `traces` show, in their order."""
        return self.filmed or self.seeds[: len(self.videos)]


@dataclass(frozen=True)
class SuccessRate:
    """Successes of trials with the Wilson score interval (two-sided, 95 %)."""

    method: str
    successes: int
    trials: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """Successes over trials, 0..1."""
        return self.successes / self.trials


def _interval(rate: SuccessRate) -> str:
    return f"{100 * rate.low:.0f} to {100 * rate.high:.0f} %"


@dataclass(frozen=True)
class PairedTest:
    """Test of two methods on the same scenes, exact McNemar where their number was fixed.

    `p_holm` is corrected over all pairs shown.
    """

    first: str
    second: str
    only_first: int
    only_second: int
    p: float
    p_holm: float


def p_words(p: float) -> str:
    """A p-value with its sign: `< .001`, `= .021`, `= 1`."""
    found = p_number(p)
    return found if found.startswith("<") else f"= {found}"


def p_number(p: float) -> str:
    """A p-value without the zero before the point, as in tables: `< .001`, `.021`, `1`; nothing where it is NaN."""
    if p != p:
        return ""
    if p < 0.001:
        return "< .001"
    shown = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    return "1" if shown == "1.00" else shown.removeprefix("0")


@dataclass(frozen=True)
class Outcomes:
    """What a method's rollouts were like beyond success.

    steps: median control steps of the successes with their quartiles, None without a success.
    distance_left_m: mean over the failures, None without one. wrong_object: episodes in which it was touched.
    failures: kind (FAILURES) -> episodes. named: successes and trials of the goal that a changed instruction names.
    """

    method: str
    steps: tuple[float, float, float] | None
    distance_left_m: float | None
    wrong_object: int
    failures: Mapping[str, int]
    named: tuple[int, int] | None = None


@dataclass(frozen=True)
class Stopping:
    """How a comparison ended that might end before its last scene. kinds: of each pair `difference` (one is shown),
    `none` (none that matters is likely) or `open`. intervals: lower and upper end of each pair's difference of success
    rates, first minus second, which hold at every look. Both in the order of the tests.
    """

    rule: StopRule
    kinds: tuple[str, ...]
    intervals: tuple[tuple[float, float], ...]


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Several methods on the same task, variations and scenes. `disagreement`: seeds where outcomes differ.

    A method whose instruction was changed is called `method/instruction`, e.g. `steering/empty`. `outcomes` are in the
    order of `rates`, empty for rollouts of older versions. stopping: None where the number of scenes was fixed; else
    the tests hold at every look (steering.comparison.stopping).
    """

    task: str
    variations: tuple[str, ...]
    seeds: tuple[int, ...]
    rates: tuple[SuccessRate, ...]
    tests: tuple[PairedTest, ...]
    disagreement: tuple[int, ...]
    outcomes: tuple[Outcomes, ...] = ()
    stopping: Stopping | None = None

    def __repr__(self) -> str:
        rates = ", ".join(f"{one.method} {one.successes} of {one.trials}" for one in self.rates)
        return f"Comparison({self.task}, {len(self.seeds)} scenes: {rates})"

    def _repr_html_(self) -> str:
        """Success of every method with its interval, and the paired tests."""
        rates = [
            (METHOD_LABELS.get(one.method, one.method), f"{one.successes} of {one.trials}", _interval(one))
            for one in self.rates
        ]
        tests = [
            (f"{METHOD_LABELS.get(one.first, one.first)}, {METHOD_LABELS.get(one.second, one.second)}",
             f"{one.only_first} and {one.only_second}", f"{one.p_holm:.3g}")
            for one in self.tests
        ]  # fmt: skip
        where = ", ".join((self.task.replace("_", " "), *self.variations))
        said = table(("method", "success", "95 % interval (Wilson)"), rates, f"{where}: {len(self.seeds)} scenes")
        named = "exact McNemar" if self.stopping is None else "at every look"
        paired = ("pair", "scenes that only the one, only the other solved", f"p ({named}, Holm)")
        return f"<div>{said}{table(paired, tests) if tests else ''}</div>"


@dataclass(frozen=True)
class Cell:
    """One cell of a table: a method under a task, variations and words. `rate.method` is named as in Comparison."""

    task: str
    variations: tuple[str, ...]
    instruction: str
    rate: SuccessRate
    outcomes: Outcomes | None


@dataclass(frozen=True)
class CellTest:
    """A paired test of two cells of the same task and variations."""

    task: str
    variations: tuple[str, ...]
    test: PairedTest


@dataclass(frozen=True, repr=False)
class OpenLoop(Shown):
    """Predicted beside demonstrated action chunks of one method, on episodes that it was not trained on.

    episode, frame: int32 [frame], where each row came from; `episode` counts in the demonstrations. predicted,
    demonstrated: float32 [frame, step, dim], raw actions. valid: bool [frame, step], False past the episode's end.
    spread: float32 [dim], standard deviation of each action over all demonstrations. rate_hz: steps a second.
    """

    method: str
    episode: np.ndarray
    frame: np.ndarray
    predicted: np.ndarray
    demonstrated: np.ndarray
    valid: np.ndarray
    spread: np.ndarray
    action_names: tuple[str, ...]
    rate_hz: float


@dataclass(frozen=True, repr=False)
class OpenLoopComparison(Shown):
    """Action error of several methods on the same held-out frames, with 95 % bootstrap intervals over episodes.

    Errors are squared, in standard deviations of each action dimension squared: 1 is as bad as predicting the mean.
    error, low, high: float32 [method, step, dim]. by_step: float32 [method, step, 3], error, low and high over all
    dimensions. by_dim: float32 [method, dim, 3], over all steps. total: float32 [method, 3].
    difference: float32 [method, 3], total minus that of the first method, paired by episode.
    """

    methods: tuple[str, ...]
    episodes: tuple[int, ...]
    action_names: tuple[str, ...]
    rate_hz: float
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    by_step: np.ndarray
    by_dim: np.ndarray
    total: np.ndarray
    difference: np.ndarray
