"""What a score of heads is measured on, and how that is said: the frames that count, and the weight of dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ALIKE = 0.01  # shares that differ by less weigh alike
NAMED = 3  # dimensions that are named one by one


@dataclass(frozen=True)
class Spread:
    """frames: of the demonstrations. keyframes: those of the paper among them. counted: frames whose error counts.
    keyframes_only: scored on keyframes alone. phase: `whole` or one of PHASES.

    names: of the dimensions that the score averages, steps of a chunk together. shares: float64 [dim], of the target's
    variance over the frames that count, summing to 1. apart: dimensions that the score leaves out.
    """

    frames: int
    keyframes: int
    counted: int
    keyframes_only: bool
    phase: str
    names: tuple[str, ...]
    shares: np.ndarray
    apart: tuple[str, ...] = ()


def spread_words(one: Spread) -> str:
    """The spread in a plain sentence:

    All 1,961 frames count, 312 of them keyframes (16 %); of the variance to explain, gripper is 79 %, delta y 10 %, …
    """
    return f"{_frames(one)}; {_weights(one)}{_apart(one)}."


def _frames(one: Spread) -> str:
    share = _percent(one.keyframes / max(one.frames, 1))
    if one.keyframes_only and one.phase == "whole":
        return f"Of {one.frames:,} frames the {one.counted:,} keyframes count ({share})"
    if one.keyframes_only:
        of_all = f"of {one.keyframes:,} in all ({share})"
        return f"Of {one.frames:,} frames the {one.counted:,} keyframes of the {one.phase} count, {of_all}"
    key = f"{one.keyframes:,} of them keyframes ({share})"
    if one.phase != "whole":
        return f"Of {one.frames:,} frames, {key}, the {one.counted:,} of the {one.phase} count"
    return f"All {one.counted:,} frames count, {key}"


def _weights(one: Spread) -> str:
    known = [name.replace("_", " ") for name in one.names]
    if len(known) == 1:
        return "the target is a single number"
    if float(np.ptp(one.shares)) < ALIKE:
        return f"the {len(known)} dimensions weigh alike, {_percent(float(one.shares.mean()))} of the variance each"
    order = [int(i) for i in np.argsort(-one.shares, kind="stable")]
    first, rest = order[:NAMED], order[NAMED:]
    told = [f"{known[first[0]]} is {_percent(float(one.shares[first[0]]))}"]
    told += [f"{known[i]} {_percent(float(one.shares[i]))}" for i in first[1:]]
    if len(rest) == 1:
        told.append(f"{known[rest[0]]} {_percent(float(one.shares[rest[0]]))}")
    elif rest:
        told.append(f"the other {len(rest)} together {_percent(float(one.shares[rest].sum()))}")
    return f"of the variance to explain, {', '.join(told[:-1])} and {told[-1]}"


def _apart(one: Spread) -> str:
    if not one.apart:
        return ""
    verb = "are" if len(one.apart) > 1 else "is"
    return f"; {' and '.join(name.replace('_', ' ') for name in one.apart)} {verb} not part of it"


def _percent(share: float) -> str:
    return "under 1\u00a0%" if 0 < share < 0.005 else f"{100 * share:.0f}\u00a0%"
