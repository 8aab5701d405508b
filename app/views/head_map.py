"""Data of the head map and the inspector: an entry a cell of [stack, layer, head], null where no head is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from steering.metrics import BY_NAME
from steering.types import Head, HeadShape, Relevance, Stack, Trust

STACK_READS = {"vlm": "sees and reads", "expert": "makes the actions"}
SHORT = {"vlm": "VLM"}  # in the count of selected heads; any other stack by its name
ZERO = {"paper": ("Explained variance", "the mean action"), "default": ("Gain over state and time", "state and time")}
TERMS = {"paper": "explained_variance", "default": "gain"}
BASELINES = {"time": "the time in the episode", "state": "the joint state", "state_time": "joint state and time"}
LOWEST_SHOWN = 10  # percentile of the scores where the colour scale begins: a few bad heads must not flatten it
CLOSE = 0.02  # explained variance within which a head counts as no better and no worse than a baseline
DOUBTFUL = (0.2, 0.8)  # share of bootstrap replicates whose best set holds the head: neither clearly in nor out
WIDE = 1.0  # share of the colour scale beyond which an interval says too little
INERT = (
    "Inert: only the keys and values of a VLM layer reach the action expert, and behind the last layer nothing reads "
    "what this head writes. Training it could not move an action."
)


def head_map(
    key: str,
    demonstrations: str,
    relevance: Relevance,
    selected: Collection[Head],
    version: int = 0,
    trust: Trust | None = None,
    measure: str = "",
    second: tuple[str, str, Relevance] | None = None,
    strip: Mapping[str, Any] | None = None,
    lead: str = "",
    named: str = "",
) -> dict[str, Any]:
    """What static/heads/head_map.js and static/heads/inspector.js draw.

    key: names the relevance; demonstrations: the set. version: another one whenever a rule or a file chose `selected`;
    0 where the map is only drawn, and the page knows its set best.
    measure: its key in the link. second: key, name and scores of another measure, shown in the lower half of every
    cell. strip: relevance by time (see measures_answers). lead: the sentence that leads; named: the measure, in a few
    words.
    """
    shape = relevance.shape
    flat = relevance.score.reshape(-1)
    movable = ~relevance.inert
    ranks = np.zeros_like(relevance.score, dtype=int)
    for s in range(len(shape.stacks)):
        order = np.argsort(np.where(movable[s], -relevance.score[s], np.inf), axis=None, kind="stable")
        ranks[s].reshape(-1)[order] = np.arange(1, shape.layers * shape.heads + 1)
    cells = [shape.at(place) if shape.present[place] else None for place in np.ndindex(shape.grid)]
    chosen = [i for i, head in enumerate(cells) if head in set(selected)]
    among = movable.reshape(-1) & np.isin(np.arange(flat.size), chosen)
    best = int(np.argmax(np.where(among if among.any() else movable.reshape(-1), flat, -np.inf)))
    return {
        "key": key,
        "demonstrations": demonstrations,
        "version": version,
        "lead": lead,
        "measure": measure,
        "named": named,
        "metric": metric_label(relevance),
        "explains": explains(relevance),
        "gain": None if relevance.gain is None else _rounded(relevance.gain),
        "trust": _trust(trust, relevance) if trust is not None else _standard(relevance),
        "second": None if second is None else _second(*second),
        "strip": strip,
        "layers": shape.layers,
        "heads": shape.heads,
        "scale": _scale(relevance),
        "zero": zero(relevance),
        "term": measure_term(relevance),
        "stacks": [_stack(stack) for stack in shape.stacks],
        "score": _rounded(relevance.score),
        "rank": ranks.reshape(-1).tolist(),
        "ranked": [int(one.sum()) for one in movable],
        "inert": (relevance.inert & shape.present).reshape(-1).tolist(),
        "names": [_capital(head.label()) if head else None for head in cells],
        "sentence": [sentence(relevance, head) if head else None for head in cells],
        "selected": chosen,
        "focus": best,
    }


def _stack(stack: Stack) -> dict[str, Any]:
    return {
        "name": stack.name,
        "label": _capital(stack.label),
        "short": SHORT.get(stack.name, stack.label if stack.name not in STACK_READS else stack.name),
        "reads": STACK_READS.get(stack.name, ""),
        "layers": stack.layers,
        "heads": stack.heads,
    }


def colour_range(relevance: Relevance) -> tuple[float, float]:
    """Scores at both ends of the colour scale, the same for all stacks, over heads that can move an action."""
    score = relevance.score[~relevance.inert]
    score = score[np.isfinite(score)]
    return (float(np.percentile(score, LOWEST_SHOWN)), float(score.max())) if score.size else (0.0, 0.0)


def _scale(relevance: Relevance) -> dict[str, Any]:
    low, high = colour_range(relevance)
    score = relevance.score[~relevance.inert]
    clipped = bool((score < low).any())
    return {"low": float(f"{low:.4g}"), "high": float(f"{high:.4g}"), "clipped": clipped}


def zero(relevance: Relevance) -> str:
    """What a score of 0 says, in words; empty where nothing is known of it."""
    if relevance.preset in ZERO:
        return f"no better than {ZERO[relevance.preset][1]}"
    return BY_NAME[relevance.metric].zero if relevance.metric in BY_NAME else ""


def _second(key: str, name: str, relevance: Relevance) -> dict[str, Any]:
    return {
        "key": key,
        "name": name,
        "score": _rounded(relevance.score),
        "inert": (relevance.inert & relevance.shape.present).reshape(-1).tolist(),
        "scale": _scale(relevance),
    }


def _standard(relevance: Relevance) -> dict[str, Any] | None:
    """Intervals of a measure that knows its standard error; such a measure has no ranks resampled and no null."""
    error = relevance.effects.get("standard_error")
    if error is None:
        return None
    low, high = relevance.score - 1.96 * error, relevance.score + 1.96 * error
    unstable = _wide(low, high, relevance)
    found = {"low": _rounded(low), "high": _rounded(high), "p": None, "rank_low": None, "doubtful": unstable.tolist()}
    return {**found, "sure": _sure(low, high, relevance.score)}


def _wide(low: np.ndarray, high: np.ndarray, relevance: Relevance) -> np.ndarray:
    """bool [head], flat: the interval covers more than WIDE of the colour scale."""
    bottom, top = colour_range(relevance)
    flat: np.ndarray = (~relevance.inert & (high - low > WIDE * max(top - bottom, 1e-12))).reshape(-1)
    return flat


def _sure(low: np.ndarray, high: np.ndarray, score: np.ndarray) -> list[float]:
    """How sure it is that a score is not 0, flat: 1 where its interval is a point, 0 where it reaches 0."""
    towards = np.where(score > 0, score - low, high - score)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.nan_to_num(towards / np.abs(score), nan=1.0, posinf=1.0)
    return [round(float(one), 2) for one in 1 - np.clip(share, 0, 1).reshape(-1)]


def _trust(trust: Trust, relevance: Relevance) -> dict[str, Any]:
    shares = trust.chosen_share.reshape(-1)
    wide = _wide(trust.score_low, trust.score_high, relevance)
    return {
        "low": _rounded(trust.score_low),
        "high": _rounded(trust.score_high),
        "rank_low": _rounded(trust.rank_low),
        "rank_high": _rounded(trust.rank_high),
        "share": _rounded(trust.chosen_share),
        "p": _rounded(trust.p) if trust.permutations else None,
        "doubtful": [
            bool(DOUBTFUL[0] < share < DOUBTFUL[1] or w) for share, w in zip(shares, wide.tolist(), strict=True)
        ],
        "sure": _sure(trust.score_low, trust.score_high, relevance.score),
    }


def _rounded(values: np.ndarray) -> list[float | None]:
    """[stack, layer, head] flattened; null for what is not finite, which JSON does not know."""
    return [float(f"{v:.4g}") if np.isfinite(v) else None for v in values.reshape(-1).astype(float)]


def metric_label(relevance: Relevance) -> str:
    """What the score is, in words."""
    if relevance.preset in ZERO:
        return ZERO[relevance.preset][0]
    return BY_NAME[relevance.metric].label if relevance.metric in BY_NAME else _capital(relevance.metric)


def measure_term(relevance: Relevance) -> str:
    """The entry of the glossary that says what the score is; empty where there is none."""
    if relevance.preset in TERMS:
        return TERMS[relevance.preset]
    return relevance.metric if relevance.metric in BY_NAME else ""


def explains(relevance: Relevance) -> dict[str, float]:
    """Baseline -> share of the target's variance that it explains without seeing any head; empty where unknown."""
    mean = relevance.baselines.get("mean_action", 0.0)
    return {
        name: round(1 - relevance.baselines[name] / mean, 4)
        for name in BASELINES
        if name in relevance.baselines and mean
    }


def sentence(relevance: Relevance, head: Head) -> str:
    """What the score of a head says, in a plain sentence or two."""
    at = relevance.shape.place(head)
    if relevance.inert[at]:
        return INERT
    known = explains(relevance)
    if not known or not len(relevance.error):
        return _measured(relevance, float(relevance.score[at]))
    what = "action" if "action" in relevance.target else "target"
    if relevance.preset == "default":
        return _of_open(relevance, what, float(relevance.score[at]))
    k = relevance.best_k.get(head.stack)
    error = float(relevance.error[relevance.ks.index(k) if k in relevance.ks else 0][at])
    explained = 1 - error / relevance.baselines["mean_action"]
    if explained <= 0:
        return f"Its output alone predicts the {what} no better than the mean {what} does."
    best = max(known, key=lambda name: known[name])
    reference, seen = known[best], f"{BASELINES[best]} alone ({_percent(known[best])})"
    compared = "about as much as"
    if abs(explained - reference) > CLOSE:
        compared = "more than" if explained > reference else "less than"
    return f"Its output alone explains {_percent(explained)} of the {what}'s variance, {compared} {seen}."


def _of_open(relevance: Relevance, what: str, score: float) -> str:
    """What a strict score says: of what state and time, or time where it is all that may be known, leave open."""
    known, leave = ("state_time", "leave") if relevance.gain is not None else ("time", "leaves")
    left = _percent(1 - explains(relevance)[known])
    told = f"its output alone tells {_percent(score)}" if score > 0 else "its output alone tells nothing"
    return f"{_capital(BASELINES[known])} {leave} {left} of the {what}'s variance open; of that {told}."


def _measured(relevance: Relevance, score: float) -> str:
    metric = BY_NAME.get(relevance.metric)
    if metric is None:
        return f"Its score is {score:.3g}."
    return f"{metric.label}: {score:.3g} {metric.unit}. At 0, {metric.zero}."


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _percent(fraction: float) -> str:
    return f"{max(fraction, 0):.0%}".replace("%", "\u00a0%")


def selection_of(indices: Collection[object], shape: HeadShape) -> tuple[Head, ...]:
    """The heads that the page names by flat index. Anything but known indices is left out: it comes from the client."""
    known = sorted({i for i in indices if type(i) is int and 0 <= i < shape.present.size})
    return tuple(shape.at(np.array(np.unravel_index(i, shape.grid))) for i in known if shape.present.flat[i])
