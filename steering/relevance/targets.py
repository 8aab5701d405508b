"""What a head may be asked to tell: the action, its chunk, the robot's state, the gripper, a thing's place, the words.

A target is a matrix of numbers per frame; which heads are physical, visual or linguistic shows in which target they
carry. Classes (instruction, gripper) are coded as indicators, so that the k-NN average of neighbours is the vote of the
neighbours and the explained variance is the Brier skill. All instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from steering.errors import InputError, unknown_name
from steering.types import Activations, Demonstrations

TARGETS: Mapping[str, str] = {
    "action": "the demonstrated action of the frame",
    "chunk": "the demonstrated actions of the frame and of those that follow, as far as the policy predicts",
    "state": "the robot's proprioceptive state",
    "gripper": "whether each gripper is told to be closed",
    "object": "the place of the thing that the instruction names",
    "instruction": "which instruction was given",
}


@dataclass(frozen=True)
class Target:
    """values: float64 [frame, dim]; names: one a dimension. scored: the dimensions that the score averages.

    text: what it is, with its scaling, for `Relevance.target`. grippers: the dimensions of the grippers where they are
    scored apart, else none. own_baseline: the baseline that knows nothing of the target, where that of the preset
    holds it.
    """

    text: str
    values: np.ndarray
    names: tuple[str, ...]
    scored: tuple[int, ...]
    grippers: tuple[int, ...] = ()
    own_baseline: str | None = None


def named(
    name: str, activations: Activations, *, preset: str = "default", demonstrations: Demonstrations | None = None
) -> Target:
    """The target of that name. Under the preset `paper` the action is raw and the gripper one of its dimensions.

    demonstrations: those that the activations came from, for `object` and `instruction`.
    """
    if name not in TARGETS:
        raise unknown_name("target", name, TARGETS)
    if name == "action" and preset == "paper":
        return raw_action(activations)
    if name in ("action", "chunk"):
        return _actions(name, activations)
    if name == "state":
        names = activations.columns.names("state", activations.state.shape[1])
        text = "state, each dimension divided by its standard deviation"
        return _all(text, standardise(activations.state), names, own_baseline="time")
    if name == "gripper":
        return _gripper(activations)
    if demonstrations is None:
        raise InputError(f"The target {name!r} is read from demonstrations, which are not at hand. Score the action.")
    return (_object if name == "object" else _instruction)(activations, demonstrations)


def raw_action(activations: Activations) -> Target:
    """The paper's target: one action in its own units, all dimensions alike."""
    names = activations.columns.names("action", activations.action.shape[1])
    return _all("raw action", activations.action.astype(np.float64), names)


def closed(activations: Activations) -> np.ndarray:
    """bool [frame, gripper]: whether the command of each gripper lies above the middle of its range."""
    grippers = activations.action[:, list(activations.columns.grippers(activations.action.shape[1]))]
    closing: np.ndarray = grippers > (grippers.min(axis=0) + grippers.max(axis=0)) / 2
    return closing


def standardise(features: np.ndarray) -> np.ndarray:
    """float64 [frame, dim]: zero mean and unit standard deviation; a constant feature becomes zero."""
    wide = features.astype(np.float64)
    centred = wide - wide.mean(0)
    spread = wide.std(0)
    constant = spread <= 1e-6 * np.maximum(np.abs(wide).max(0, initial=0), 1e-6)  # rounding of a float32 constant
    return np.where(constant, 0, centred / np.where(constant, 1, spread))


def shares(target: Target, counted: np.ndarray) -> tuple[tuple[str, ...], np.ndarray, tuple[str, ...]]:
    """How much each scored dimension weighs in the error: its share of their variance over the frames that count.

    counted: bool [frame]. Names, float64 [dim] summing to 1, and the names that are left out. The steps of a chunk are
    one dimension; where nothing varies all weigh alike.
    """
    variance = target.values[counted].var(0)
    scored: dict[str, float] = {}
    for i in target.scored:
        name = target.names[i].partition("@")[0]
        scored[name] = scored.get(name, 0.0) + float(variance[i])
    total = sum(scored.values())
    found = np.array(list(scored.values())) / total if total > 0 else np.full(len(scored), 1 / max(len(scored), 1))
    left_out = dict.fromkeys(name.partition("@")[0] for name in target.names)
    return tuple(scored), found, tuple(name for name in left_out if name not in scored)


def _actions(name: str, activations: Activations) -> Target:
    action = activations.action[:, None] if name == "action" else activations.chunk
    frames, steps, dims = action.shape
    names, grippers = activations.columns.names("action", dims), activations.columns.grippers(dims)
    if name == "chunk":
        names = tuple(f"{dim}@{step}" for step in range(steps) for dim in names)
    moving = tuple(i for i in range(dims) if i not in grippers)
    apart = ", gripper apart" if len(grippers) == 1 else ", grippers apart"
    text = "whole action chunk" if name == "chunk" else "action"
    return Target(
        text=f"{text}, each dimension divided by its standard deviation" + (apart if moving and grippers else ""),
        values=standardise(action.reshape(frames, -1)),
        names=names,
        scored=tuple(i for i in range(steps * dims) if not moving or i % dims in moving),
        grippers=grippers if name == "action" and moving else (),
    )


def _gripper(activations: Activations) -> Target:
    shut, grippers = closed(activations), activations.columns.grippers(activations.action.shape[1])
    if not grippers:
        raise InputError(
            "These demonstrations have no gripper. Name its column in the mapping, or choose another target."
        )
    of_each = activations.columns.names("action", activations.action.shape[1])
    names = ("closed",) if len(grippers) == 1 else tuple(f"{of_each[i]} closed" for i in grippers)
    return _all("gripper closed or open", shut.astype(np.float64), names)


def _object(activations: Activations, demonstrations: Demonstrations) -> Target:
    """Place of the first thing that each instruction names, in standard deviations."""
    places, columns = {}, ("x", "y", "z")
    for index in np.unique(activations.episode):
        episode = demonstrations.episodes[index]
        told = episode.instruction.lower()
        found = [name for name in episode.ground_truth if name.lower().replace("_", " ") in told]
        if not found:
            raise InputError(
                f"The demonstrations do not say where the thing named in {episode.instruction!r} is; only those "
                "recorded in the simulator do. Choose another target."
            )
        first = min(found, key=lambda name: told.index(name.lower().replace("_", " ")))
        places[int(index)] = np.asarray(episode.ground_truth[first])[:, :3]
    rows = zip(activations.episode, activations.frame, strict=True)
    place = np.stack([places[int(e)][f] for e, f in rows])
    return _all("place of the named object, in standard deviations", standardise(place), columns[: place.shape[1]])


def _instruction(activations: Activations, demonstrations: Demonstrations) -> Target:
    rows = zip(activations.episode, activations.frame, strict=True)
    told = np.array([demonstrations.episodes[e].instruction_at(f) for e, f in rows])
    words = np.unique(told)
    if len(words) < 2:
        raise InputError(
            f"All of these episodes have one instruction, {str(words[0])!r}, so it cannot be told from another. "
            "Score demonstrations of several tasks together."
        )
    indicators = (told[:, None] == words).astype(np.float64)
    return _all("which of the instructions", indicators, tuple(map(str, words)))


def _all(text: str, values: np.ndarray, names: tuple[str, ...], own_baseline: str | None = None) -> Target:
    return Target(text, values, names, tuple(range(values.shape[1])), own_baseline=own_baseline)
