"""What rollouts were like beyond success: steps, distance left, wrong things touched, kinds of failure. Instant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from steering.comparison.names import method_label, method_name
from steering.types import FAILURES, Comparison, Outcomes, Rollouts

_COLUMNS = ("Task", "Variations", "Method", "Success", "95 % interval", "Steps", "Left (cm)", "Wrong thing", "Failures")


def outcomes(rollouts: Rollouts) -> Outcomes | None:
    """Outcomes of one method; None for rollouts of older versions, which do not say."""
    if rollouts.distance_m is None or rollouts.wrong_object is None or not rollouts.failure:
        return None
    won = np.asarray(rollouts.success, bool)
    steps = None
    if won.any():
        median, low, high = (float(q) for q in np.quantile(rollouts.steps[won], (0.5, 0.25, 0.75)))
        steps = (median, low, high)
    found = Counter(kind for kind in rollouts.failure if kind)
    named = None
    if rollouts.named is not None and (rollouts.named >= 0).any():
        named = (int((rollouts.named == 1).sum()), int((rollouts.named >= 0).sum()))
    return Outcomes(
        method=method_name(rollouts),
        steps=steps,
        distance_left_m=None if won.all() else float(rollouts.distance_m[~won].mean()),
        wrong_object=int(rollouts.wrong_object.sum()),
        failures={kind: found[kind] for kind in FAILURES if found[kind]},
        named=named,
    )


def table(comparisons: Sequence[Comparison]) -> str:
    """One Markdown row for each task × variations × method."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|" + " --- |" * len(_COLUMNS)]
    for comparison in comparisons:
        known = {one.method: one for one in comparison.outcomes}
        for rate in comparison.rates:
            cells = [
                comparison.task.replace("_", " "),
                ", ".join(comparison.variations) or "none",
                method_label(rate.method),
                f"{rate.successes} of {rate.trials}",
                f"{100 * rate.low:.0f} to {100 * rate.high:.0f} %",
                *_cells(known.get(rate.method)),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(one: Outcomes | None) -> list[str]:
    if one is None:
        return ["", "", "", ""]
    steps = f"{one.steps[0]:.0f} ({one.steps[1]:.0f} to {one.steps[2]:.0f})" if one.steps else ""
    left = f"{100 * one.distance_left_m:.1f}" if one.distance_left_m is not None else ""
    failures = ", ".join(f"{FAILURES[kind]} {count}" for kind, count in one.failures.items())
    if one.named:
        failures += f"{'; ' if failures else ''}reached the named goal {one.named[0]} of {one.named[1]}"
    return [steps, left, str(one.wrong_object), failures]
