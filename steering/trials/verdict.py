"""What the trials so far say: stop, a difference is shown; stop, none that matters is likely; or go on, for how long.

Both stops hold at every look up to the plan's last block. "A difference" is the sign test at the plan's alpha, shared
among its comparisons. "None that matters" rejects a difference of that size or more on either side, each at alpha (two
one-sided tests).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from steering.comparison.anytime import bound_evidence, chance, interval, needed_evidence, sign_evidence
from steering.comparison.stopping import none_shown
from steering.trials.plan import level
from steering.types import Trial, TrialPlan, Verdict

_FUTURES = 300
_LIKELY = 0.1
"""Chance of an end within the plan below which no number of blocks is named."""


def paired(trials: Sequence[Trial], method: str, reference: str) -> np.ndarray:
    """int [pair]: 1 where only `method` solved a block, -1 where only `reference` did, 0 where they did alike."""
    blocks: dict[int, dict[str, bool]] = {}
    for trial in trials:
        if trial.outcome != "void":
            blocks.setdefault(trial.slot.block, {})[trial.slot.method] = trial.outcome == "success"
    both = [won for won in blocks.values() if method in won and reference in won]
    return np.array([int(won[method]) - int(won[reference]) for won in both], dtype=int)


def verdicts(plan: TrialPlan, trials: Sequence[Trial]) -> tuple[Verdict, ...]:
    """What the trials say of each method beside the first."""
    reference = plan.methods[0]
    return tuple(judge(paired(trials, one, reference), one, reference, plan) for one in plan.methods[1:])


def judge(differences: np.ndarray, method: str, reference: str, plan: TrialPlan) -> Verdict:
    """The verdict of one comparison. differences: int [pair], as `paired` gives them, in the order of the trials."""
    pairs, needed = len(differences), needed_evidence(plan.blocks, level(plan))
    evidence = max(float(sign_evidence(differences).max(initial=0.0)), 0.0)
    low, high = interval(differences, level(plan))
    kind, more, decided = "go_on", None, None
    if evidence >= needed:
        kind = "difference"
    elif none_shown(differences, plan.matters, level(plan)):
        kind = "none"
    elif pairs >= plan.blocks:
        kind = "used_up"
    else:
        more, decided = _to_come(differences, plan)
    return Verdict(
        method=method,
        reference=reference,
        kind=kind,
        pairs=pairs,
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        evidence=math.exp(evidence),
        needed=math.exp(needed),
        p=chance(evidence, plan.blocks),
        low=low,
        high=high,
        more=more,
        chance=decided,
    )


def _to_come(differences: np.ndarray, plan: TrialPlan) -> tuple[int | None, float]:
    """Blocks that it may still take (median of futures like the past), and the chance that those left decide it."""
    left = plan.blocks - len(differences)
    rng = np.random.default_rng([plan.seed, 37, len(differences)])
    counts = [(differences == value).sum() + 0.5 for value in (-1, 0, 1)]
    shares = np.cumsum(rng.dirichlet(counts, _FUTURES), axis=1)[:, :, None]
    drawn = (rng.random((_FUTURES, 1, left)) > shares[:, :2]).sum(1) - 1
    whole = np.concatenate([np.broadcast_to(differences, (_FUTURES, len(differences))), drawn], axis=1)
    ended = sign_evidence(whole) >= needed_evidence(plan.blocks, level(plan))
    sides = [np.maximum.accumulate(bound_evidence(sign * whole, plan.matters), -1) for sign in (1, -1)]
    ended |= np.minimum(*sides) >= math.log(1 / level(plan))
    decided = ended.any(-1)
    share = float(decided.mean())
    if share < _LIKELY:
        return None, share
    return max(int(np.median(ended.argmax(-1)[decided])) + 1 - len(differences), 1), share


def words(verdict: Verdict, plan: TrialPlan, names: Mapping[str, str] | None = None) -> str:
    """A verdict as sentences. names: method -> what it is called; None names none, while the operator must not know."""
    v, points = verdict, 100 * plan.matters
    between = f"between {100 * v.low:+.0f} and {100 * v.high:+.0f} points"
    if names is None:
        who, lies = "Two methods", "The difference"
    else:
        one, other = names.get(v.method, v.method), names.get(v.reference, v.reference)
        who, lies = f"{one} against {other}", f"{one} minus {other}"
        counted = f"{v.wins} and {v.losses} of {v.pairs} blocks were solved by one of them alone"
    if v.kind == "difference":
        said = f"{who}: stop, a difference is shown (evidence {v.evidence:.3g}, {v.needed:.3g} needed)."
        return said if names is None else f"{said} {counted}; {lies} lies {between}."
    if v.kind == "none":
        return f"{who}: stop, no difference of {points:.0f} points or more is likely. {lies} lies {between}."
    if v.kind == "used_up":
        said = f"{who}: the plan is used up and neither is shown."
        return said if names is None else f"{said} {counted}; {lies} lies {between}."
    left, chance = plan.blocks - v.pairs, f"a chance of {100 * (v.chance or 0):.0f} %"
    if v.more is None:
        return f"{who}: go on; the {left} blocks left will hardly decide it ({chance})."
    return f"{who}: go on, perhaps {v.more} more blocks; the {left} left decide it with {chance}."
