"""Phases of a manipulation, recorded or read off gripper and speed, so that relevance can be asked for by phase.
Instant.

A phase decides which frames' errors count; what predicts them are still all frames of the other episodes. So a change
of phase needs no new neighbours, and the phases' errors add up to that of the whole episode.
"""

from __future__ import annotations

import numpy as np

from steering.errors import InputError, unknown_name
from steering.relevance.targets import closed
from steering.types import PHASES, Activations, Demonstrations

WHOLE = "whole"
SLOW = 0.5  # of the median speed of the episode: slower frames beside a gripper change belong to grasp and release


def frames_of(phase: str, phases: np.ndarray) -> np.ndarray:
    """bool [frame]: True at the frames of `phase`, WHOLE or one of PHASES; phases: int [frame], index into PHASES."""
    if phase == WHOLE:
        return np.ones(len(phases), bool)
    if phase not in PHASES:
        raise unknown_name("phase", phase, (WHOLE, *PHASES))
    counted = phases == PHASES.index(phase)
    if not counted.any():
        raise InputError(f"No frame of these demonstrations is in the phase {phase!r}. Choose another phase.")
    return counted


def phases_of(activations: Activations, demonstrations: Demonstrations | None = None) -> np.ndarray:
    """int8 [frame], index into PHASES: as recorded where the demonstrations say so, else by `infer`."""
    phases = infer(activations)
    if demonstrations is None:
        return phases
    for index in np.unique(activations.episode):
        recorded = demonstrations.episodes[index].phase
        rows = activations.episode == index
        if recorded is not None:
            phases[rows] = recorded[activations.frame[rows]]
    return phases


def infer(activations: Activations) -> np.ndarray:
    """int8 [frame], index into PHASES, from the gripper's command and the arm's speed.

    Grasp: the frames around the first closing during which the arm moves slower than SLOW times its median speed.
    Release: likewise around the last opening after it, and all that follows. Approach: before the grasp. Transport:
    between. An episode whose gripper never closes is approach throughout. Of several grippers one that is closed counts
    as closed. Speed is that of all arms' joints, or of their poses where the state has no joints; without either it is
    the size of the arm's action.
    """
    shut = np.asarray(closed(activations).any(axis=1))
    phases = np.zeros(len(shut), np.int8)
    grasp, transport, release = (PHASES.index(name) for name in ("grasp", "transport", "release"))
    for one in np.unique(activations.episode):
        rows = np.flatnonzero(activations.episode == one)
        rows = rows[np.argsort(activations.frame[rows], kind="stable")]
        slow = _slow(activations, rows)
        here = shut[rows]
        if not here.any():
            continue
        first = int(np.argmax(here))
        start, end = _around(slow, first)
        labels = np.zeros(len(rows), np.int8)
        labels[start:end] = grasp
        labels[end:] = transport
        opened = np.flatnonzero(here[:-1] & ~here[1:]) + 1
        if len(opened) and opened[-1] >= end:
            labels[max(_around(slow, int(opened[-1]))[0], end) :] = release
        phases[rows] = labels
    return phases


def _slow(activations: Activations, rows: np.ndarray) -> np.ndarray:
    """bool [frame of the episode]: slower than SLOW times the median speed of its moving frames."""
    robot, action = activations.columns, activations.action[rows].astype(np.float64)
    arm = activations.state[rows][:, list(robot.arm(activations.state.shape[1], action.shape[1])[1])].astype(np.float64)
    if arm.shape[1]:
        elapsed = np.maximum(np.diff(activations.frame[rows]), 1)[:, None]
        between = np.linalg.norm(np.diff(arm, axis=0) / elapsed, axis=1)
        speed = np.append(between[:1] if len(between) else 0.0, between)
    else:
        speed = np.linalg.norm(np.delete(action, list(robot.grippers(action.shape[1])), axis=1), axis=1)
    moving = speed[speed > 0]
    return speed < SLOW * (np.median(moving) if len(moving) else 1)


def _around(slow: np.ndarray, frame: int) -> tuple[int, int]:
    """Start and end of the run of slow frames that touches `frame`, which itself always belongs to it."""
    start, end = frame, frame + 1
    while start > 0 and slow[start - 1]:
        start -= 1
    while end < len(slow) and slow[end]:
        end += 1
    return start, end
