"""What methods would train and take, what runs, and what was trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from app.answers import Json


@dataclass(frozen=True)
class TrainingEstimate:
    """What training a set would take, from `runs` measured runs of this policy, roughly where these are none; memory is
    None where it is not known.
    """

    seconds: float
    memory_mb: float | None
    steps: int
    runs: int


@dataclass(frozen=True)
class Outlook:
    """What a method would train and take. parameters: group -> count. off: why it cannot be trained, empty where it
    can; missing: what it still needs, such as heads. rank: of its adapters where it is another than asked. origin:
    where its heads come from, in words; remark: what is to be known of heads that were not chosen on what is open.
    """

    parameters: Mapping[str, int] = dataclasses.field(default_factory=dict)
    heads: int | None = None
    share: float | None = None
    training: TrainingEstimate | None = None
    rank: int | None = None
    notices: tuple[str, ...] = ()
    missing: str = ""
    off: str = ""
    origin: str = ""
    remark: str = ""

    @property
    def total(self) -> int:
        """Trainable parameters."""
        return sum(self.parameters.values())


@dataclass(frozen=True)
class Running:
    """A training that runs, in its newest numbers; None before they are known."""

    name: str
    step: int
    steps: int
    left_s: float | None
    samples_per_s: float | None
    peak_memory_mb: float | None
    loss: float | None
    heldout: float | None


@dataclass(frozen=True)
class ResultRow:
    """A finished finetune. heldout: first and last held-out error, None where it was not measured. origin: where its
    heads come from, empty where it had none; best_step: whose weights were kept, None for the last; notice: what is to
    be known of the held-out error, as a sentence; old: that an older version made it, likewise. own: whether whoever
    looks may delete it; control: the control that its heads were drawn as, empty for none. asked_s: when whoever looks
    last asked for it, in seconds since the epoch, 0 where they never did; date: when it was made, as 2026-11-30.
    """

    id: str
    method: str
    heads: int | None
    steps: int
    rank: int | None
    parameters: int
    train_s: float
    loss: float
    heldout: tuple[float, float] | None
    demonstrations: str
    origin: str = ""
    best_step: int | None = None
    notice: str = ""
    own: bool = False
    control: str = ""
    old: str = ""
    seed: int = 0
    batch_size: int = 0
    demonstrations_id: str = ""
    asked_s: float = 0.0
    date: str = ""


@dataclass(frozen=True)
class ShownChange:
    """What a finetune did to the heads. lines: in sentences; figure: the head maps before and after, as Plotly JSON."""

    method: str
    demonstrations: str
    lines: tuple[str, ...]
    figure: dict[str, Json]
