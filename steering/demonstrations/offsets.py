"""Do actions and states belong together in time? Found by regression, whatever the units and frames of both are.

A command moves the arm after it was given: `action[t]` should explain `state[t + 1] - state[t]`, or a later motion of a
slow arm. Where it explains the motion before it better, actions were recorded a frame late. Ridge regression over all
episodes, a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from steering.types import Episode

LAGS = tuple(range(-3, 5))
RIDGE = 1e-3
CLEAR = 0.1  # explained variance by which an early lag must beat every later one
LEAST_EXPLAINED = 0.4
LEAST_FRAMES = 40
ABSOLUTE = 0.98  # explained variance of the actions by the state of the same frame


@dataclass(frozen=True)
class Offset:
    """frames: between an action and the motion that it explains best; 0 is right, below 0 the motion came first.

    explained: share of that motion's variance; explained_now: of the best motion from the action on.
    """

    frames: int
    explained: float
    explained_now: float


def action_offset(episodes: Sequence[Episode]) -> Offset | None:
    """The offset, or None where the motion cannot be told from the actions."""
    best: tuple[int, dict[int, float]] | None = None
    for commands in (_motions_as_given, _motions_between_positions):
        explained = {lag: _explained(*_paired(episodes, commands, lag)) for lag in LAGS}
        lag = max(explained, key=lambda one: explained[one])
        if best is None or explained[lag] > best[1][best[0]]:
            best = (lag, explained)
    if best is None:
        return None
    lag, explained = best
    now = max(explained[one] for one in LAGS if one >= 0)
    if explained[lag] < LEAST_EXPLAINED:
        return None
    if lag < 0 and explained[lag] < now + CLEAR:
        lag = max((one for one in LAGS if one >= 0), key=lambda one: explained[one])
    return Offset(lag, explained[lag], now)


def follows_state(episodes: Sequence[Episode], grippers: Sequence[int]) -> float | None:
    """Share of the actions' variance that the state explains, where that is nearly all; else None.

    grippers: columns of the action that are left out.
    """
    if sum(e.frames for e in episodes) < LEAST_FRAMES or episodes[0].action.shape[1] <= len(grippers):
        return None
    state = np.concatenate([e.state for e in episodes])
    action = np.concatenate([np.delete(e.action, list(grippers), axis=1) for e in episodes])
    share = _explained(state, action)
    return share if share > ABSOLUTE else None


def _motions_as_given(action: np.ndarray) -> np.ndarray:
    return action[1:]


def _motions_between_positions(action: np.ndarray) -> np.ndarray:
    return np.diff(action, axis=0)


def _paired(
    episodes: Sequence[Episode], commands: Callable[[np.ndarray], np.ndarray], lag: int
) -> tuple[np.ndarray, np.ndarray]:
    """(commands, motions `lag` frames later) over all episodes; the command of frame t + 1 meets the motion from it."""
    given, moved = [], []
    for episode in episodes:
        command, motion = commands(episode.action)[:-1], np.diff(episode.state, axis=0)[1:]
        rows = len(motion) - abs(lag)
        if rows > 0:
            given.append(command[max(0, -lag) :][:rows])
            moved.append(motion[max(0, lag) :][:rows])
    if not given:
        return np.zeros((0, 1)), np.zeros((0, 1))
    return np.concatenate(given), np.concatenate(moved)


def _explained(features: np.ndarray, target: np.ndarray) -> float:
    """Share of the standardised target's variance that ridge regression explains, 0 where there is too little."""
    if len(features) < max(LEAST_FRAMES, 2 * features.shape[1]):
        return 0.0
    x, y = (values.astype(np.float64) for values in (features, target))
    x, y = x - x.mean(0), y - y.mean(0)
    spread_x, spread_y = x.std(0), y.std(0)
    x, y = x[:, spread_x > 1e-9] / spread_x[spread_x > 1e-9], y[:, spread_y > 1e-9] / spread_y[spread_y > 1e-9]
    if not x.shape[1] or not y.shape[1]:
        return 0.0
    weights = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y)
    return float(1 - ((y - x @ weights) ** 2).mean() / (y**2).mean())
