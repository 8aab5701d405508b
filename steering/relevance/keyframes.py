"""The paper's keyframes: where the gripper changes, where the arm is nearly still, and both ends of an episode.

From the Robotic Steering release (arXiv 2511.22697), where heads are scored on keyframes unless told otherwise.
`keyframes` marks them, `take` keeps them; both are instant.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from steering.errors import InputError
from steering.types import Activations

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
    gripper = activations.action[:, -1]
    closed = gripper > (gripper.min() + gripper.max()) / 2
    joints = activations.state[:, :ARM_JOINTS].astype(np.float64)
    marked = np.zeros(len(gripper), bool)
    for one in np.unique(activations.episode):
        rows = np.flatnonzero(activations.episode == one)
        rows = rows[np.argsort(activations.frame[rows], kind="stable")]
        marked[rows[[0, -1]]] = True
        elapsed_s = np.diff(activations.frame[rows]) / rate_hz
        speed = np.linalg.norm(np.diff(joints[rows], axis=0), axis=1) / elapsed_s
        marked[rows[1:]] |= (closed[rows[1:]] != closed[rows[:-1]]) | (speed < still_rad_s)
    return marked


def take(activations: Activations, chosen: np.ndarray) -> Activations:
    """The activations of the frames that `chosen`, bool or int [frame], names, as a new object."""
    names = ("outputs", "episode", "frame", "action", "chunk", "state", "time_in_episode", "image")
    kept = {name: getattr(activations, name) for name in names}
    return replace(activations, **{name: rows[chosen] for name, rows in kept.items() if rows is not None})
