"""The sentence that leads the Heads step, computed from what is shown: which stack knows more, how many heads can be
told from chance, and what the selected ones share. Plain numbers (`stack_facts`, `set_facts`), then words. Under 1 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.words import TARGET_LABELS
from steering.metrics import BY_NAME
from steering.types import TOKEN_GROUPS, Head, Relevance, Trust

TOLD = 0.05  # family-wise p below which a head can be told from chance
NEARLY_ALL = 0.8  # share of heads from which a count says nothing any more, and only sizes do
NO_ANSWER = "No head of this policy can move an action."
PLACES = {
    "exterior": "the exterior camera",
    "wrist": "the wrist camera",
    "instruction": "the instruction",
    "state": "the joint state",
    "actions": "the action tokens",
}
"""What each token group is called in a sentence."""


@dataclass(frozen=True)
class StackFacts:
    """What a measure says of a stack's heads that can move an action. label: of the stack; heads: how many; above: how
    many score above 0; told: how many can be told from chance, None where chance was not measured; middle: the median
    score; best: the highest score; best_head: its short name. Scores in the measure's unit.
    """

    label: str
    heads: int
    above: int
    told: int | None
    middle: float
    best: float
    best_head: str


@dataclass(frozen=True)
class SetFacts:
    """What a set of heads shares. stacks: stack's label -> how many; layers: lowest and highest; place: the token group
    that most of them look at most, empty where their attention is not known; look: how many do; best: how many are
    among as many best-scored heads of the same stacks, None without scores.
    """

    heads: int
    stacks: dict[str, int]
    layers: tuple[int, int]
    place: str
    look: int
    best: int | None


def stack_facts(relevance: Relevance, trust: Trust | None = None) -> tuple[StackFacts, ...]:
    """A line for every stack that has a head which can move an action, in their order."""
    found = []
    for s, stack in enumerate(relevance.shape.stacks):
        movable = ~relevance.inert[s] & np.isfinite(relevance.score[s])
        score = relevance.score[s][movable].astype(float)
        if not score.size:
            continue
        places = np.argwhere(movable)
        layer, head = (int(i) for i in places[int(np.argmax(score))])
        known = trust is not None and trust.permutations > 0
        found.append(
            StackFacts(
                label=stack.label,
                heads=int(score.size),
                above=int((score > 0).sum()),
                told=int((trust.p[s][movable] < TOLD).sum()) if known and trust is not None else None,
                middle=float(np.median(score)),
                best=float(score.max()),
                best_head=Head(stack.name, layer, head).label(),
            )
        )
    return tuple(found)


def lead_sentence(relevance: Relevance, trust: Trust | None = None, target: str = "action") -> str:
    """What the map says, in a sentence or two, under any measure and preset. target: the name of what heads predict, as
    in `app.measures.Measure`.
    """
    facts = stack_facts(relevance, trust)
    if not facts:
        return NO_ANSWER
    kind = relevance.preset if relevance.metric in ("knn", "ridge") else "policy"
    worded = {"default": _left_open, "paper": _explained}.get(kind, _measured)
    return " ".join(filter(None, [worded(relevance, facts, _predicted(relevance, target)), _chance(facts)]))


def set_facts(
    selected: Sequence[Head], relevance: Relevance | None = None, mass: np.ndarray | None = None
) -> SetFacts | None:
    """What `selected` share; None for no heads. mass: float [frame, stack, layer, head, group], share of attention on
    each of TOKEN_GROUPS over an episode.
    """
    if not selected:
        return None
    stacks: dict[str, int] = {}
    for head in selected:
        label = head.label().rpartition(" ")[0]
        stacks[label] = stacks.get(label, 0) + 1
    layers = [head.layer for head in selected]
    place, look = "", 0
    if mass is not None and relevance is not None:
        mean = mass.mean(0)
        most = [int(np.argmax(mean[relevance.shape.place(head)])) for head in selected]
        group = max(sorted(set(most)), key=most.count)
        place, look = TOKEN_GROUPS[group], most.count(group)
    best = None if relevance is None else _among_the_best(selected, relevance)
    return SetFacts(len(selected), stacks, (min(layers), max(layers)), place, look, best)


def set_sentence(facts: SetFacts | None) -> str:
    """What the selected heads share, in a sentence; empty for no heads."""
    if facts is None:
        return ""
    one = facts.heads == 1
    who = "The one selected" if one else f"The {facts.heads} selected"
    counts = [f"{count} {label}" for label, count in facts.stacks.items()]
    named = next(iter(facts.stacks)) if len(facts.stacks) == 1 else _listed(counts)
    low, high = facts.layers
    where = f"layer {low}" if low == high else f"layers {low} to {high}"
    parts = [f"{who}: {named}, {where}"]
    if facts.place:
        place = PLACES[facts.place]
        if one or facts.look == facts.heads:
            parts.append(f"{'looks' if one else 'all look'} mostly at {place}")
        elif 2 * facts.look > facts.heads:
            parts.append(f"{facts.look} look most at {place}")
        else:
            parts.append("they look at different places")
    if facts.best is not None and not one:
        parts.append(
            "the best by this measure"
            if facts.best == facts.heads
            else f"{facts.best or 'none'} of them among the {facts.heads} best by this measure"
        )
    return "; ".join(parts) + "."


def _among_the_best(selected: Sequence[Head], relevance: Relevance) -> int:
    """How many of `selected` are among as many of the best of the stacks that they come from."""
    names = {head.stack for head in selected}
    score = np.where(relevance.inert | ~np.isfinite(relevance.score), -np.inf, relevance.score)
    for s, name in enumerate(relevance.shape.names):
        if name not in names:
            score[s] = -np.inf
    order = np.argsort(-score, axis=None, kind="stable")[: len(selected)]
    best = {tuple(int(i) for i in np.unravel_index(i, score.shape)) for i in order}
    return sum(relevance.shape.place(head) in best for head in selected)


def _left_open(_: Relevance, facts: Sequence[StackFacts], what: str) -> str:
    """The share of what state and time leave open that a head explains; time alone where the state is predicted."""
    leave = "time leaves open" if what.startswith(TARGET_LABELS["state"]) else "joint state and time leave open"
    if not any(one.above for one in facts):
        return f"No head tells anything of what {leave} of {what}."
    ordered = sorted(facts, key=lambda one: -one.middle)
    best = max(facts, key=lambda one: one.best)
    middles = [f"{_percent(one.middle)} in the {one.label}" for one in ordered]
    return (
        f"Of what {leave} of {what}, the median head explains {_listed(middles)}; "
        f"the best, {best.best_head}, {_percent(best.best)}."
    )


def _explained(relevance: Relevance, facts: Sequence[StackFacts], what: str) -> str:
    """The paper's score: what state and time know is in it."""
    ordered = sorted(facts, key=lambda one: -one.middle)
    middles = [f"{_percent(one.middle)} in the {one.label}" for one in ordered]
    mean, plain = (relevance.baselines.get(name, 0.0) for name in ("mean_action", "state_time"))
    beside = ""
    if mean and "state_time" in relevance.baselines:
        beside = f"; joint state and time alone, without any head, {_percent(1 - plain / mean)}"
    return f"The median head explains {_listed(middles)} of how {what} varies{beside}."


def _measured(relevance: Relevance, facts: Sequence[StackFacts], _: str) -> str:
    """A measure that runs the policy, or one that this page does not know."""
    metric = BY_NAME.get(relevance.metric)
    label, unit = (metric.label, f" {metric.unit}") if metric else (relevance.metric, "")
    first, *others = sorted(facts, key=lambda one: -one.middle)
    best = max(facts, key=lambda one: one.best)
    than = f", against {_listed([f'{_number(one.middle)} in the {one.label}' for one in others])}" if others else ""
    return (
        f"By {label[:1].lower() + label[1:]} the median {first.label} head scores {_number(first.middle)}{unit}{than}; "
        f"the best is {best.best_head}, {_number(best.best)}."
    )


def _chance(facts: Sequence[StackFacts]) -> str:
    """How many heads can be told from chance; empty where that was not measured."""
    told = [(one, one.told) for one in facts if one.told is not None]
    if not told:
        return ""
    if not any(count for _, count in told):
        return "No head can be told from chance."
    ordered = sorted(told, key=lambda pair: -pair[1] / pair[0].heads)
    counts = [f"{count} of {one.heads} {one.label} heads" for one, count in ordered]
    said = f"{_listed(counts)} can be told from chance"
    if all(count >= NEARLY_ALL * one.heads for one, count in told):
        return f"{said}, so the size of a score tells more than its p."
    return f"{said}."


def _predicted(relevance: Relevance, target: str) -> str:
    what = TARGET_LABELS.get(target, target.replace("_", " "))
    return what if relevance.phase == "whole" else f"{what} in {relevance.phase} frames"


def _listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _percent(fraction: float) -> str:
    shown = f"{100 * fraction:.0f}" if abs(fraction) >= 0.095 or fraction == 0 else f"{100 * fraction:.1f}"
    return f"{shown.replace('-', chr(0x2212))}\u00a0%"


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 0.1:
        shown = f"{value:.2f}"
    else:
        shown = f"{value:.3f}" if abs(value) >= 0.001 else f"{value:.1e}".replace("e-0", "e-")
    return shown.replace("-", "\u2212")
