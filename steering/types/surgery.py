"""Head surgery: what is done to heads while a scene runs, and what a paired run of it showed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steering.types.axes import Head
from steering.types.rollouts import Comparison
from steering.types.showing import Shown

SURGERY_LABELS = {"changed": "Heads changed", "control": "Control: other heads, same norm"}
"""What rollouts with changed heads are called: name -> label."""


@dataclass(frozen=True)
class Surgery:
    """Heads whose outputs are multiplied by `factor` from control step `from_step` of a scene on.

    factor: 0 silences, 1 changes nothing, −1 turns the outputs round. instead: the matched control, other heads of
    the same layers: these are scaled in their place, in every layer, token and pass so that the change of the
    layer's outputs has the norm that the change of `heads` would have had there; () for the heads themselves.
    """

    heads: tuple[Head, ...]
    factor: float = 0.0
    from_step: int = 0
    instead: tuple[Head, ...] = ()

    @property
    def name(self) -> str:
        """What its rollouts are called, one of SURGERY_LABELS."""
        return "control" if self.instead else "changed"

    def plain(self) -> dict[str, Any]:
        """As parameters of what it made; `of` reads them."""
        named = {key: [[h.stack, h.layer, h.head] for h in getattr(self, key)] for key in ("heads", "instead")}
        return {**named, "factor": float(self.factor), "from_step": self.from_step}

    @classmethod
    def of(cls, plain: Mapping[str, Any] | None) -> Surgery | None:
        """What `plain` says, None for none."""
        if plain is None:
            return None
        heads, instead = (tuple(Head(*one) for one in plain[key]) for key in ("heads", "instead"))
        return cls(heads, plain["factor"], plain["from_step"], instead)


@dataclass(frozen=True, repr=False)
class SurgeryRun(Shown):
    """Scenes run untouched, with heads changed, and with the matched control, which is the order of `comparison`.

    control: None where the layers of the heads have no others. ended_before: scenes of the untouched run that had
    ended when the change would have begun: they are alike in every run. rate_hz: control steps a second.
    """

    surgery: Surgery
    control: Surgery | None
    comparison: Comparison
    ended_before: int
    rate_hz: float

    def __repr__(self) -> str:
        return f"SurgeryRun({len(self.surgery.heads)} heads × {self.surgery.factor:g}, {self.comparison!r})"

    def _repr_html_(self) -> str:
        """Success of every run with its interval, and the paired tests."""
        return self.comparison._repr_html_()
