"""The trial of `assets/evidence/plan.md`: which cells there are, what a cell runs, and the five primary contrasts.

A cell is an arm trained on one of TRAININGS with one seed, `training/arm/seed`; its result holds the success of each
scene of that training's conditions, so that contrasts are formed without running anything again. Contrasts take a
seed's mean over its conditions and the arms' difference, and test over seeds (`steering.evidence.inference`). How a
cell is made: `steering.evidence.trial_cells`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from steering.errors import InputError, unknown_name
from steering.evidence.inference import FEWEST, Contrast, contrast, holm
from steering.types import PAPER_SET_SIZE

SEEDS = tuple(range(15))
LEARNING_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
RATE_SEEDS = (800, 801, 802)
"""Seeds of the demonstrations that trainings for the choice of a learning rate see; no contrast uses them."""
RATE_HELDOUT_SEED = 803
"""Seed of the demonstrations by whose error a learning rate is chosen; nothing trains on them."""
SCENE_SET = 50
RANDOM_DRAWS = 3


@dataclass(frozen=True)
class Training:
    """What an arm is trained on, and the (task, variations) that it is run under.

    noisy: share of the action chunks to which noise is added.
    """

    task: str
    demonstrations: int
    conditions: tuple[tuple[str, tuple[str, ...]], ...]
    noisy: float = 0.0


_MARKER, _CUBE = "place_marker_in_mug", "place_cube_in_bowl"
TRAININGS: Mapping[str, Training] = {
    "few": Training(_MARKER, 5, ((_MARKER, ()),)),
    "marker": Training(_MARKER, 20, ((_MARKER, ()), (_MARKER, ("lighting",)), (_MARKER, ("distractors",)))),
    "cube": Training(_CUBE, 20, ((_CUBE, ()), ("press_button", ()), ("push", ()), ("place", ()))),
    "noisy": Training(_MARKER, 10, ((_MARKER, ()),), noisy=0.2),
}


@dataclass(frozen=True)
class Arm:
    """One way to train. method: of types.METHODS. rule: of its heads. recipe: the preset (steering.finetune.presets)
    that says what trains. of: the arm whose adapter it weakens, trained as here.
    """

    label: str
    method: str
    rule: str | None = None
    recipe: str = "default"
    of: str | None = None


ARMS: Mapping[str, Arm] = {
    "steering": Arm("Robotic Steering, published rule", "steering", "paper"),
    "lora": Arm("LoRA as openpi trains it", "lora", recipe="openpi_lora"),
    "retain": Arm("Halfway between LoRA and untouched (RETAIN)", "lora", recipe="openpi_lora", of="lora"),
    "lora_rank_matched": Arm("LoRA, rank-matched", "lora_rank_matched", "paper"),
    "release": Arm("The release: heads, every FFN, projections", "steering", "paper", recipe="release"),
    **{f"random_{i}": Arm(f"Random heads, draw {i + 1}", "steering", "random") for i in range(RANDOM_DRAWS)},
}
"""The winner of the screen joins when the screen has one."""
PRIMARY: Mapping[str, tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]] = {
    "few demonstrations": ("few", ((_MARKER, ()),)),
    "variations": ("marker", ((_MARKER, ("lighting",)), (_MARKER, ("distractors",)))),
    "transfer": ("cube", (("press_button", ()),)),
    "retention": ("cube", (("push", ()), ("place", ()))),
    "noisy demonstrations": ("noisy", ((_MARKER, ()),)),
}
"""Contrast -> (training, conditions whose mean is compared)."""


@dataclass(frozen=True)
class TrialSettings:
    """What every cell shares. trials: scenes a condition. rates: learning rates, of which trainings on demonstrations
    of `rate_seeds` choose one by `rate_heldout` demonstrations of their own.
    """

    trials: int = 50
    steps: int = 500
    batch_size: int = 24
    rank: int = 16
    heads: int = PAPER_SET_SIZE
    rates: tuple[float, ...] = LEARNING_RATES
    rate_seeds: tuple[int, ...] = RATE_SEEDS
    rate_heldout: int = 6
    policy: str = "embedded"


QUICK = TrialSettings(
    trials=2, steps=2, batch_size=2, rank=2, heads=3, rates=(1e-3,), rate_seeds=(800,), rate_heldout=1
)
"""Proves the plumbing; its figures mean nothing."""


@dataclass(frozen=True)
class TrialCell:
    """One cell of the trial."""

    training: str
    arm: str
    seed: int

    @property
    def id(self) -> str:
        """E.g. `cube/lora/3`."""
        return f"{self.training}/{self.arm}/{self.seed}"


def cells() -> tuple[TrialCell, ...]:
    """Every cell: seed by seed, the two arms of the primary contrasts in all seeds before the other arms."""
    main, others = ("steering", "lora"), tuple(arm for arm in ARMS if arm not in ("steering", "lora"))
    return tuple(
        TrialCell(training, arm, seed)
        for arms in (main, others)
        for seed in SEEDS
        for training in TRAININGS
        for arm in arms
    )


def parse_cell(text: str) -> TrialCell:
    """The cell of an id. Raises InputError or NotFound."""
    parts = text.split("/")
    if len(parts) != 3 or not parts[2].isdigit():
        raise InputError(f"Expected a cell as training/arm/seed, e.g. cube/lora/3; got {text!r}.")
    if parts[0] not in TRAININGS:
        raise unknown_name("training of the trial", parts[0], TRAININGS)
    if parts[1] not in ARMS:
        raise unknown_name("arm of the trial", parts[1], ARMS)
    return TrialCell(parts[0], parts[1], int(parts[2]))


def primary(
    results: Sequence[Mapping[str, Any]], first: str = "steering", second: str = "lora"
) -> dict[str, tuple[Contrast, float, float]]:
    """Of every primary contrast with enough seeds: the test of first − second, its p and p_equal after Holm."""
    found = {}
    for name, (training, conditions) in PRIMARY.items():
        one, two = (_rates(results, training, arm, conditions) for arm in (first, second))
        seeds = sorted(set(one) & set(two))
        if len(seeds) >= FEWEST:
            found[name] = contrast([one[seed] - two[seed] for seed in seeds])
    different = holm({name: one.p for name, one in found.items()})
    equal = holm({name: one.p_equal for name, one in found.items()})
    return {name: (one, different[name], equal[name]) for name, one in found.items()}


def verdict(found: Contrast, p_holm: float, p_equal_holm: float, alpha: float = 0.05) -> str:
    """What the plan says that a contrast is taken to mean: better, worse, equal or undecided."""
    if p_holm < alpha:
        return "better" if found.difference > 0 else "worse"
    return "equal" if p_equal_holm < alpha else "undecided"


def _rates(
    results: Sequence[Mapping[str, Any]], training: str, arm: str, conditions: Sequence[tuple[str, tuple[str, ...]]]
) -> dict[int, float]:
    """Seed -> success rate, mean over `conditions`; seeds that lack one are left out."""
    found: dict[int, float] = {}
    for one in results:
        cell = parse_cell(one["cell"])
        if (cell.training, cell.arm) != (training, arm):
            continue
        rates = {
            (run["task"], tuple(run["variations"])): run["success"].count("1") / len(run["success"])
            for run in one["conditions"]
        }
        if all(condition in rates for condition in conditions):
            found[cell.seed] = float(np.mean([rates[condition] for condition in conditions]))
    return found
