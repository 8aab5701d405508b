"""The paper's keyframes: where the gripper changes, where the arm is nearly still, and both ends of an episode.

From the Robotic Steering release (arXiv 2511.22697), where heads are scored on keyframes unless told otherwise: by its
rule for DROID where the state holds joints, by its rule for LIBERO where it holds the end effector's pose alone.
`keyframes` marks them among captured frames, `of_demonstrations` among recorded ones, `take` keeps them. All are
instant.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from steering.errors import InputError
from steering.types import Activations, Demonstrations, Robot

STILL_RAD_S = 0.03
STILL_POSE = 0.05  # a frame: metres and radians of the pose in one norm, as the release's rule for LIBERO
MOST_RAD = (
    4 * np.pi
)  # joints recorded beyond this are in degrees, or in per cent of their range, which is about as much


def keyframes(activations: Activations, rate_hz: float, still_rad_s: float = STILL_RAD_S) -> np.ndarray:
    """bool [frame]: True at the keyframes of each episode.

    A gripper change is a frame where the command of one of the grippers lies on another side of the middle of its range
    than the frame before. Still is a frame where the vector of all arms' joint velocities (rad/s, from the frame
    before, recorded at `rate_hz`) is shorter than `still_rad_s`; of states that hold poses and no joints, where the
    pose changes by less than STILL_POSE a frame. Which columns those are: `Activations.columns`.
    """
    if not rate_hz > 0:
        raise InputError(f"Expected a recording rate above 0 Hz, got {rate_hz}.")
    robot, state, action = activations.columns, activations.state, activations.action
    rule = _Rule(robot, state, action, rate_hz, still_rad_s)
    marked = np.zeros(len(action), bool)
    for one in np.unique(activations.episode):
        rows = np.flatnonzero(activations.episode == one)
        rows = rows[np.argsort(activations.frame[rows], kind="stable")]
        marked[rows] = rule.of_episode(state[rows], action[rows], np.diff(activations.frame[rows]))
    return marked


def of_demonstrations(demonstrations: Demonstrations) -> tuple[np.ndarray, ...]:
    """bool [frame] of every episode: its keyframes, were every frame captured."""
    episodes = demonstrations.episodes
    state, action = (np.concatenate([getattr(one, what) for one in episodes]) for what in ("state", "action"))
    return tuple(
        _Rule(demonstrations.columns, state, action, one.rate_hz, STILL_RAD_S).of_episode(
            one.state, one.action, np.ones(one.frames - 1)
        )
        for one in episodes
    )


def take(activations: Activations, chosen: np.ndarray) -> Activations:
    """The activations of the frames that `chosen`, bool or int [frame], names, as a new object."""
    names = ("outputs", "episode", "frame", "action", "chunk", "state", "time_in_episode", "image")
    kept = {name: getattr(activations, name) for name in names}
    return replace(activations, **{name: rows[chosen] for name, rows in kept.items() if rows is not None})


class _Rule:
    """What makes a frame a keyframe, from the states and actions of all episodes."""

    def __init__(self, robot: Robot, state: np.ndarray, action: np.ndarray, rate_hz: float, still_rad_s: float) -> None:
        kind, columns = robot.arm(state.shape[1], action.shape[1])
        self._arm, self._grippers = list(columns), list(robot.grippers(action.shape[1]))
        grippers = action[:, self._grippers]
        self._middle = (grippers.min(axis=0) + grippers.max(axis=0)) / 2
        self._still, self._rate_hz = STILL_POSE, 1.0
        if kind == "joint":
            degrees = np.abs(state[:, self._arm]).max(initial=0) > MOST_RAD
            self._still, self._rate_hz = float(np.rad2deg(still_rad_s)) if degrees else still_rad_s, rate_hz

    def of_episode(self, state: np.ndarray, action: np.ndarray, elapsed: np.ndarray) -> np.ndarray:
        """bool [frame] of one episode. elapsed: frames from each frame to the next, [frame - 1]."""
        marked = np.zeros(len(state), bool)
        marked[[0, -1]] = True
        closed = action[:, self._grippers] > self._middle
        marked[1:] |= (closed[1:] != closed[:-1]).any(axis=1)
        if self._arm:
            motion = np.linalg.norm(np.diff(state[:, self._arm].astype(np.float64), axis=0), axis=1)
            marked[1:] |= motion / (elapsed / self._rate_hz) < self._still
        return marked
