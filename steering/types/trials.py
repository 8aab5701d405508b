"""Trials on a robot: the plan that is made before the first one, and what is recorded of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from steering.errors import InputError

TRIAL_OUTCOMES = ("success", "failure", "void")
"""How a trial may end; a void one, which says nothing of the policy, is run again."""
NO_STAGE = "nothing"
"""What is recorded of a failure that reached none of the stages."""
MOST_BLOCKS, MOST_METHODS = 1000, 6


@dataclass(frozen=True)
class TrialPlan:
    """What is run, fixed before the first trial.

    methods: the first is what each of the others is compared with. conditions: of the set-up, e.g. a lighting. blocks:
    at most so many, spread over the conditions; in a block every method is run once from the same start, in random
    order. matters: the difference between success rates that matters, 0..1. expected: the first method's success rate
    as it is expected. alpha: the chance of showing a difference that is none, over all looks and comparisons. stages:
    of partial progress, in order. adapters: method -> its id, none for the untouched policy `policy`.
    """

    methods: tuple[str, ...]
    conditions: tuple[str, ...] = ("usual",)
    blocks: int = 40
    matters: float = 0.2
    expected: float = 0.5
    alpha: float = 0.05
    stages: tuple[str, ...] = ()
    adapters: Mapping[str, str] = field(default_factory=dict)
    policy: str = "embedded"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= len(set(self.methods)) == len(self.methods) <= MOST_METHODS:
            raise InputError(f"Expected two to {MOST_METHODS} different methods, got {list(self.methods)}.")
        if len(set(self.stages)) < len(self.stages) or NO_STAGE in self.stages:
            raise InputError(f"Expected different stages, none called {NO_STAGE!r}; got {list(self.stages)}.")
        if not self.conditions or len(set(self.conditions)) < len(self.conditions):
            raise InputError(f"Expected one or more different conditions, got {list(self.conditions)}.")
        if not len(self.conditions) <= self.blocks <= MOST_BLOCKS:
            raise InputError(
                f"Expected {len(self.conditions)} to {MOST_BLOCKS} blocks, one at least for each condition; got "
                f"{self.blocks}."
            )
        if not (0 < self.matters < 1 and 0 < self.alpha < 1 and 0 <= self.expected <= 1):
            raise InputError("Expected a difference, a success rate and an alpha between 0 and 1.")


@dataclass(frozen=True)
class TrialSlot:
    """A trial to be run. letter: what the operator is told in place of the method, drawn anew in every block."""

    number: int
    block: int
    condition: str
    letter: str
    method: str


@dataclass(frozen=True)
class Trial:
    """A trial that was run. outcome: of TRIAL_OUTCOMES. progress: how many of the plan's stages were reached, None
    where nobody said. media: name of a photograph or film in the book's `media`. at: UTC, ISO 8601.
    """

    slot: TrialSlot
    outcome: str
    progress: int | None = None
    note: str = ""
    media: str = ""
    at: str = ""


@dataclass(frozen=True)
class Verdict:
    """What the trials so far say of two methods. kind: `difference`, `none`, `go_on` or `used_up`.

    wins, losses: blocks that only `method`, only `reference` solved, of so many `pairs`. evidence: the e-value, at its
    largest so far; needed: for a difference to be shown; p: the chance that equal methods reach it at some look within
    the plan. low, high: of the difference of success rates, `method` minus
    `reference`, at every look. more: blocks that it may still take, None where that is decided or unlikely within the
    plan; chance: that the blocks left decide it.
    """

    method: str
    reference: str
    kind: str
    pairs: int
    wins: int
    losses: int
    evidence: float
    needed: float
    p: float
    low: float
    high: float
    more: int | None = None
    chance: float | None = None


@dataclass(frozen=True)
class ProgressVerdict:
    """What the trials so far say of how far two methods come.

    further, less: blocks in which `method`, in which `reference` reached more of the stages, of so many `pairs` that
    say it of both. evidence: the e-value, at its largest so far; needed: for a difference to be shown. mean: share of
    the stages that `method` reached less that of `reference`, -1..1; low, high: of its expectation, at every look.
    """

    method: str
    reference: str
    pairs: int
    further: int
    less: int
    evidence: float
    needed: float
    mean: float
    low: float
    high: float
