"""An adapter at several strengths: what it has learnt against what the policy knew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from steering.types.rollouts import SuccessRate
from steering.types.showing import Shown, table


@dataclass(frozen=True, repr=False)
class StrengthSweep(Shown):
    """Success of an adapter at shares of its change of every weight, on its task and on what was pretrained.

    strengths: ascending, 0 the policy without it, 1 the adapter as it is. task: the adapter's own. rates: task or
    family of the pretraining -> success at each strength; the scenes of each are the same at every strength.
    """

    method: str
    task: str
    strengths: tuple[float, ...]
    rates: Mapping[str, tuple[SuccessRate, ...]]

    def __repr__(self) -> str:
        return f"StrengthSweep({self.method}, {self.task}, {', '.join(f'{one:g}' for one in self.strengths)})"

    def _repr_html_(self) -> str:
        """Success of every strength with its interval."""
        return table(("strength", *self.heads()), self.rows())

    def heads(self) -> list[str]:
        """Names of the columns of `rows` beside the strength."""
        return [name.replace("_", " ") for name in self.rates]

    def rows(self) -> list[tuple[str, ...]]:
        """A row of words for each strength."""
        return [
            (f"{strength:g}", *(_words(rates[i]) for rates in self.rates.values()))
            for i, strength in enumerate(self.strengths)
        ]


def _words(rate: SuccessRate) -> str:
    return f"{rate.successes} of {rate.trials} ({100 * rate.low:.0f} to {100 * rate.high:.0f} %)"
