"""The paper's keyframes: where the gripper changes, where the arm is nearly still, and both ends of an episode.

From the Robotic Steering release (arXiv 2511.22697), where heads are scored on keyframes unless told otherwise.
`keyframes` marks them among captured frames, `of_demonstrations` among recorded ones, `take` keeps them. All are
instant.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from steering.errors import InputError
from steering.types import Activations, Demonstrations

ARM_JOINTS = 7
STILL_RAD_S = 0.03


def keyframes(activations: Activations, rate_hz: float, still_rad_s: float = STILL_RAD_S) -> np.ndarray:
    """bool [frame]: True at the keyframes of each episode.

    A gripper change is a frame whose gripper command (last action dimension) lies on another side of the middle of its
    range than the frame before. The arm's speed is the length of the joint velocity vector (rad/s) from the frame
    before, of the first ARM_JOINTS state components, recorded at `rate_hz`.
    """
    if not rate_hz > 0:
        raise InputError(f"Expected a recording rate above 0 Hz, got {rate_hz}.")
    middle = _middle(activations.action[:, -1])
    marked = np.zeros(len(activations.action), bool)
    for one in np.unique(activations.episode):
        rows = np.flatnonzero(activations.episode == one)
        rows = rows[np.argsort(activations.frame[rows], kind="stable")]
        closed, elapsed_s = activations.action[rows, -1] > middle, np.diff(activations.frame[rows]) / rate_hz
        marked[rows] = _of_episode(closed, activations.state[rows], elapsed_s, still_rad_s)
    return marked


def of_demonstrations(demonstrations: Demonstrations) -> tuple[np.ndarray, ...]:
    """bool [frame] of every episode: its keyframes, were every frame captured."""
    middle = _middle(np.concatenate([one.action[:, -1] for one in demonstrations.episodes]))
    return tuple(
        _of_episode(one.action[:, -1] > middle, one.state, np.full(one.frames - 1, 1 / one.rate_hz), STILL_RAD_S)
        for one in demonstrations.episodes
    )


def take(activations: Activations, chosen: np.ndarray) -> Activations:
    """The activations of the frames that `chosen`, bool or int [frame], names, as a new object."""
    names = ("outputs", "episode", "frame", "action", "chunk", "state", "time_in_episode", "image")
    kept = {name: getattr(activations, name) for name in names}
    return replace(activations, **{name: rows[chosen] for name, rows in kept.items() if rows is not None})


def _middle(gripper: np.ndarray) -> float:
    return float((gripper.min() + gripper.max()) / 2)


def _of_episode(closed: np.ndarray, state: np.ndarray, elapsed_s: np.ndarray, still_rad_s: float) -> np.ndarray:
    marked = np.zeros(len(closed), bool)
    marked[[0, -1]] = True
    speed = np.linalg.norm(np.diff(state[:, :ARM_JOINTS].astype(np.float64), axis=0), axis=1) / elapsed_s
    marked[1:] |= (closed[1:] != closed[:-1]) | (speed < still_rad_s)
    return marked
