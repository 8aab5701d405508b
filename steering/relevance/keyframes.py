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
TWO_ARMS = 14  # state and action of two arms of six joints and a gripper each, as ALOHA has them
STILL_RAD_S = 0.03


def keyframes(activations: Activations, rate_hz: float, still_rad_s: float = STILL_RAD_S) -> np.ndarray:
    """bool [frame]: True at the keyframes of each episode.

    A gripper change is a frame where a gripper's command (last action dimension of an arm) lies on another side of the
    middle of its range than the frame before. The speed is the length of the joint velocity vector (rad/s) from the
    frame before, of the first ARM_JOINTS state components, or of all joints of TWO_ARMS, recorded at `rate_hz`.
    """
    if not rate_hz > 0:
        raise InputError(f"Expected a recording rate above 0 Hz, got {rate_hz}.")
    joints, grippers = _columns(activations.state, activations.action)
    middle = _middle(activations.action[:, grippers])
    marked = np.zeros(len(activations.action), bool)
    for one in np.unique(activations.episode):
        rows = np.flatnonzero(activations.episode == one)
        rows = rows[np.argsort(activations.frame[rows], kind="stable")]
        closed, elapsed_s = activations.action[rows][:, grippers] > middle, np.diff(activations.frame[rows]) / rate_hz
        marked[rows] = _of_episode(closed, activations.state[rows][:, joints], elapsed_s, still_rad_s)
    return marked


def of_demonstrations(demonstrations: Demonstrations) -> tuple[np.ndarray, ...]:
    """bool [frame] of every episode: its keyframes, were every frame captured."""
    episodes = demonstrations.episodes
    joints, grippers = _columns(episodes[0].state, episodes[0].action)
    middle = _middle(np.concatenate([one.action[:, grippers] for one in episodes]))
    return tuple(
        _of_episode(
            one.action[:, grippers] > middle,
            one.state[:, joints],
            np.full(one.frames - 1, 1 / one.rate_hz),
            STILL_RAD_S,
        )
        for one in episodes
    )


def take(activations: Activations, chosen: np.ndarray) -> Activations:
    """The activations of the frames that `chosen`, bool or int [frame], names, as a new object."""
    names = ("outputs", "episode", "frame", "action", "chunk", "state", "time_in_episode", "image")
    kept = {name: getattr(activations, name) for name in names}
    return replace(activations, **{name: rows[chosen] for name, rows in kept.items() if rows is not None})


def _columns(state: np.ndarray, action: np.ndarray) -> tuple[list[int], list[int]]:
    """State columns that are joints, and action columns that are grippers."""
    if state.shape[1] == action.shape[1] == TWO_ARMS:
        grippers = [TWO_ARMS // 2 - 1, TWO_ARMS - 1]
        return [column for column in range(TWO_ARMS) if column not in grippers], grippers
    return list(range(min(ARM_JOINTS, state.shape[1]))), [action.shape[1] - 1]


def _middle(gripper: np.ndarray) -> np.ndarray:
    middle: np.ndarray = (gripper.min(axis=0) + gripper.max(axis=0)) / 2
    return middle


def _of_episode(closed: np.ndarray, joints: np.ndarray, elapsed_s: np.ndarray, still_rad_s: float) -> np.ndarray:
    marked = np.zeros(len(closed), bool)
    marked[[0, -1]] = True
    speed = np.linalg.norm(np.diff(joints.astype(np.float64), axis=0), axis=1) / elapsed_s
    marked[1:] |= (closed[1:] != closed[:-1]).any(axis=1) | (speed < still_rad_s)
    return marked
