"""The trial of `assets/evidence/plan.md`: what is trained and run, in studies of cells.

A cell is an arm trained on one of TRAININGS with one seed, `training/arm/seed`; its result holds the success of each
scene of that training's conditions, so that contrasts are formed without running anything again
(`steering.evidence.trial_results`). STUDIES lists the cells in the order in which they are made. How one is made:
`steering.evidence.trial_cells`. Instant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from steering.errors import InputError, unknown_name
from steering.evidence.grid import TASKS
from steering.evidence.screen_rules import CEILING, RULES
from steering.types import PAPER_SET_SIZE

SEEDS = tuple(range(15))
CONFIRM_SEEDS = SEEDS[:10]
SECONDARY_SEEDS = SEEDS[:5]
LEARNING_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
RATE_SEEDS = (800,)
"""Seeds of the demonstrations that trainings for the choice of a learning rate see; no contrast uses them."""
RATE_HELDOUT_SEED = 803
"""Seed of the demonstrations by whose error a learning rate is chosen; nothing trains on them."""
SCREEN_RATE = 1e-3
"""Learning rate of the screen, of every arm that confirms it."""
SCENE_SET = 50
RANDOM_DRAWS = 3
CONFIRM_HEADS = (4, 8)
WINNER = "winner"
"""The rule of the arm whose heads the screen's winner chooses."""
RANDOM = "random"
"""The draws of random heads as one arm: their mean within a seed."""

Condition = tuple[str, tuple[str, ...]]
"""(task or pretraining family, variations)."""


@dataclass(frozen=True)
class Training:
    """What an arm is trained on, and what it is run under.

    noisy: share of the action chunks to which noise is added.
    """

    task: str
    demonstrations: int
    conditions: tuple[Condition, ...]
    noisy: float = 0.0


_MARKER, _CUBE, _BUTTON = "place_marker_in_mug", "place_cube_in_bowl", "press_button"
_RETAINED: tuple[Condition, ...] = (("push", ()), ("place", ()))


def _confirming(task: str) -> Training:
    """Success on the own task, transfer to another, and what of the pretraining stays."""
    other = _BUTTON if task != _BUTTON else _CUBE
    return Training(task, 20, ((task, ()), (other, ()), *_RETAINED))


TRAININGS: Mapping[str, Training] = {
    "few": Training(_MARKER, 5, ((_MARKER, ()),)),
    "marker": Training(_MARKER, 20, ((_MARKER, ()), (_MARKER, ("lighting",)), (_MARKER, ("distractors",)))),
    "cube": Training(_CUBE, 20, ((_CUBE, ()), (_BUTTON, ()), *_RETAINED)),
    "noisy": Training(_MARKER, 10, ((_MARKER, ()),), noisy=0.2),
    **{f"confirm_{task}": _confirming(task) for task in TASKS},
    "one": Training(_MARKER, 1, ((_MARKER, ()),)),
    "three": Training(_MARKER, 3, ((_MARKER, ()),)),
    "ten": Training(_MARKER, 10, ((_MARKER, ()),)),
}


@dataclass(frozen=True)
class Arm:
    """One way to train. method: of types.METHODS. rule: of its heads: paper, paper_both (half of them in each stack),
    random, WINNER or one of the screen's. recipe: the preset (steering.finetune.presets) that says what trains.

    of: the arm whose adapter it is, at `strength` (RETAIN, arXiv 2512.08333). heads, rank, steps: the trial's where
    they are None. rate: a learning rate that is not chosen; rate_of: the arm whose choice it takes.
    """

    label: str
    method: str
    rule: str | None = None
    recipe: str = "default"
    of: str | None = None
    strength: float = 1.0
    heads: int | None = None
    rank: int | None = None
    steps: int | None = None
    rate: float | None = None
    rate_of: str | None = None


STEERING, LORA, UNTOUCHED = "steering", "lora", "untouched"
_STEERING = Arm("Robotic Steering, published rule", "steering", "paper")
_LORA = Arm("LoRA as openpi trains it", "lora", recipe="openpi_lora")
OTHERS: Mapping[str, Arm] = {
    "steering_winner": Arm("Robotic Steering, the screen's best rule", "steering", WINNER),
    "release": Arm("The release: heads, every FFN, projections", "steering", "paper", recipe="release"),
    "lora_rank_matched": Arm("LoRA, rank-matched", "lora_rank_matched", "paper"),
    "retain": Arm("Halfway between LoRA and untouched (RETAIN)", "lora", recipe="openpi_lora", of=LORA, strength=0.5),
    **{f"random_{i}": Arm(f"Random heads, draw {i + 1}", "steering", "random") for i in range(RANDOM_DRAWS)},
}


def _changed(name: str, label: str, rank: int | None = None, steps: int | None = None) -> dict[str, Arm]:
    """Both main arms with another number, by name, at the learning rate that was chosen for them."""
    return {
        f"{arm}_{name}": replace(as_it_is, label=f"{as_it_is.label}, {label}", rate_of=arm, rank=rank, steps=steps)
        for arm, as_it_is in ((STEERING, _STEERING), (LORA, _LORA))
    }


RANKS, STEPS, STRENGTHS = (4, 64), (150, 1500), (0.25, 0.5, 0.75)
_RANKS = {name: arm for rank in RANKS for name, arm in _changed(f"rank_{rank}", f"rank {rank}", rank=rank).items()}
_STEPS = {name: arm for n in STEPS for name, arm in _changed(f"steps_{n}", f"{n} steps", steps=n).items()}
_STRENGTHS = {
    f"{arm}_strength_{round(100 * strength)}": replace(
        as_it_is, label=f"{as_it_is.label}, strength {strength:g}", of=arm, strength=strength
    )
    for strength in STRENGTHS
    for arm, as_it_is in ((STEERING, _STEERING), (LORA, _LORA))
}
_CONFIRM = {
    f"{rule}_{count}": Arm(f"{RULES[rule].label}, {count} heads", "steering", rule, heads=count, rate=SCREEN_RATE)
    for rule in RULES
    if rule != CEILING
    for count in CONFIRM_HEADS
}
ARMS: Mapping[str, Arm] = {
    STEERING: _STEERING,
    LORA: _LORA,
    UNTOUCHED: Arm("Untouched policy", "zero_shot"),
    **OTHERS,
    "steering_both": Arm("Robotic Steering, 10 + 10 heads of both stacks", "steering", "paper_both", rate_of=STEERING),
    **_RANKS,
    **_STEPS,
    **_STRENGTHS,
    **_CONFIRM,
}
PRIMARY: Mapping[str, tuple[str, tuple[Condition, ...]]] = {
    "few demonstrations": ("few", ((_MARKER, ()),)),
    "variations": ("marker", ((_MARKER, ("lighting",)), (_MARKER, ("distractors",)))),
    "transfer": ("cube", ((_BUTTON, ()),)),
    "retention": ("cube", _RETAINED),
    "noisy demonstrations": ("noisy", ((_MARKER, ()),)),
}
"""Contrast -> (training, conditions whose mean is compared)."""


@dataclass(frozen=True)
class Study:
    """Cells that answer one question: every arm on every training, seed by seed."""

    title: str
    trainings: tuple[str, ...]
    arms: tuple[str, ...]
    seeds: tuple[int, ...]


_FOUR, _MAIN = ("few", "marker", "cube", "noisy"), (STEERING, LORA)
STUDIES: Mapping[str, Study] = {
    "primary": Study("Robotic Steering against LoRA", _FOUR, _MAIN, SEEDS),
    "untouched": Study("The untouched policy", _FOUR, (UNTOUCHED,), (0,)),
    "confirm": Study(
        "The screen's rules in scenes", (f"confirm_{_MARKER}", "confirm_push_cup_to_bowl"), (), CONFIRM_SEEDS
    ),
    "arms": Study("Other ways to train", _FOUR, tuple(OTHERS), SEEDS),
    "confirm_elsewhere": Study(
        "The screen's rules on the other tasks",
        tuple(f"confirm_{task}" for task in TASKS if task not in (_MARKER, "push_cup_to_bowl")),
        (),
        CONFIRM_SEEDS,
    ),
    "ranks": Study("Ranks", ("cube",), tuple(_RANKS), SECONDARY_SEEDS),
    "demonstrations": Study("Number of demonstrations", ("one", "three", "ten"), _MAIN, SECONDARY_SEEDS),
    "steps": Study("Number of steps", ("marker",), tuple(_STEPS), SECONDARY_SEEDS),
    "stacks": Study("Heads of both stacks", ("marker", "cube"), ("steering_both",), SECONDARY_SEEDS),
    "strength": Study("Strength of the adapter", ("cube",), tuple(_STRENGTHS), SECONDARY_SEEDS),
}
"""In the order of their cells. Arms of `confirm` and `confirm_elsewhere`: of the rules that the screen names."""


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
    precision: str = "float32"
    rates: tuple[float, ...] = LEARNING_RATES
    rate_seeds: tuple[int, ...] = RATE_SEEDS
    rate_heldout: int = 6
    policy: str = "embedded"


QUICK = TrialSettings(trials=2, steps=2, batch_size=2, rank=2, heads=4, rates=(1e-3,), rate_heldout=1)
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


def cells(studies: Sequence[str] = tuple(STUDIES), rules: Sequence[str] = ()) -> tuple[TrialCell, ...]:
    """Every cell of some studies, study by study, seed by seed. rules: the screen's best, as far as it names them.

    The screen's best rule is an arm, and is confirmed, once there is one. Raises NotFound for no study of that name.
    """
    found: dict[TrialCell, None] = {}
    for name in studies:
        if name not in STUDIES:
            raise unknown_name("study of the trial", name, STUDIES)
        study = STUDIES[name]
        arms = study.arms or confirmed(rules)
        for seed in study.seeds:
            for training in study.trainings:
                for arm in arms:
                    if ARMS[arm].rule != WINNER or rules:
                        found[TrialCell(training, arm, seed)] = None
    return tuple(found)


def confirmed(rules: Sequence[str]) -> tuple[str, ...]:
    """The arms that confirm the screen: these rules, the published one and random draws; none where it names none."""
    if not rules:
        return ()
    names = dict.fromkeys((*rules, "paper_keyframes", *(f"random_{i}" for i in range(RANDOM_DRAWS))))
    return tuple(f"{rule}_{count}" for count in CONFIRM_HEADS for rule in names)


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
