"""How far the methods come: a test of partial progress that holds at every look, beside that of success. Instant.

Of each block it counts which method reached more of the plan's stages. Where they come as far, each block in which they
differ is a fair coin, so it is the sign test of `steering.comparison.anytime`, exact for the plan's length; it tells
methods apart that both fail, where success is silent (arXiv 2603.13616 argues for partial progress, too). A bet on the
mean difference would need more blocks. It is a test of its own: its chance of showing what is not there comes on top
of that of success. Level and power: `tests/benchmarks/bench_trials.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from steering.comparison.anytime import interval, needed_evidence, sign_evidence
from steering.trials.plan import level
from steering.types import ProgressVerdict, Trial, TrialPlan


def paired_progress(plan: TrialPlan, trials: Sequence[Trial], method: str, reference: str) -> np.ndarray:
    """float [pair]: share of the stages that `method` reached, less that of `reference`, of blocks that say both.

    A success reached all of them.
    """
    blocks: dict[int, dict[str, float]] = {}
    for trial in trials:
        if trial.outcome != "void" and trial.progress is not None:
            blocks.setdefault(trial.slot.block, {})[trial.slot.method] = trial.progress / len(plan.stages)
    both = [reached for reached in blocks.values() if method in reached and reference in reached]
    return np.array([reached[method] - reached[reference] for reached in both], dtype=float)


def progress_verdicts(plan: TrialPlan, trials: Sequence[Trial]) -> tuple[ProgressVerdict, ...]:
    """What the trials say of each method beside the first; none where the plan has no stages, or nobody said any."""
    reference = plan.methods[0]
    needed = math.exp(needed_evidence(plan.blocks, level(plan)))
    found = []
    for method in plan.methods[1:] if plan.stages else ():
        differences = paired_progress(plan, trials, method, reference)
        if len(differences):
            sides = int((differences > 0).sum()), int((differences < 0).sum())
            evidence = math.exp(max(float(sign_evidence(differences).max()), 0.0))
            mean, ends = float(differences.mean()), interval(differences, level(plan))
            found.append(ProgressVerdict(method, reference, len(differences), *sides, evidence, needed, mean, *ends))
    return tuple(found)


def progress_words(verdict: ProgressVerdict, names: Mapping[str, str] | None = None) -> str:
    """A verdict as a sentence. names: method -> what it is called; None while the operator must not know."""
    v = verdict
    shown = f"evidence {v.evidence:.3g}, {v.needed:.3g} needed"
    said = "a difference is shown" if v.evidence >= v.needed else "no difference is shown yet"
    if names is None:
        return f"Progress of two methods: {said} ({shown})."
    one, other = names.get(v.method, v.method), names.get(v.reference, v.reference)
    return (
        f"Progress of {one} against {other}: {said} ({shown}). They came further in {v.further} and {v.less} of "
        f"{v.pairs} blocks; {one} less {other} lies between {100 * v.low:+.0f} and {100 * v.high:+.0f} % of the stages."
    )
