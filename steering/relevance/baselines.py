"""What predicts the action without any head: its mean, the clock, the robot's state, state and clock together.

A head that only knows the time in the episode looks relevant beside the mean action and adds nothing beside
`state_time`. Each predictor is scored like a head: leave-one-episode-out squared error, averaged over action
dimensions, then frames. `time`, `state` and `state_time` are k-NN regressions with Euclidean distance on features
divided by their standard deviation over all frames (constant features drop out), weights 1 / (d + 1e-8), exact
matches averaged, and the best k of those offered: the strongest version, so that a gain over it counts.
Cost: 20 episodes of 60 frames take about 0.2 s.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steering.relevance import folds
from steering.relevance.neighbours import euclidean_errors
from steering.types import Activations

BASELINES = ("mean_action", "time", "state", "state_time")


def baseline_errors(activations: Activations, action: np.ndarray, ks: Sequence[int]) -> dict[str, float]:
    """Error of each of BASELINES in predicting `action`, float [frame, dim], in its squared units."""
    episode, frame = activations.episode, activations.frame
    state = standardise(activations.state)
    clock = standardise(activations.time_in_episode[:, None])
    features = {"time": clock, "state": state, "state_time": np.hstack([state, clock])}
    errors = {"mean_action": _mean_action_error(action, episode, frame)}
    for name, feature in features.items():
        errors[name] = float(euclidean_errors(feature, action, episode, frame, ks).mean(1, np.float64).min())
    return errors


def standardise(features: np.ndarray) -> np.ndarray:
    """float64 [frame, dim]: zero mean and unit standard deviation; a constant feature becomes zero."""
    wide = features.astype(np.float64)
    centred = wide - wide.mean(0)
    spread = wide.std(0)
    constant = spread <= 1e-6 * np.maximum(np.abs(wide).max(0), 1e-6)  # rounding of a float32 constant
    return np.where(constant, 0, centred / np.where(constant, 1, spread))


def _mean_action_error(action: np.ndarray, episode: np.ndarray, frame: np.ndarray) -> float:
    """Error of the mean action of the frames that a query may be predicted from."""
    wide = action.astype(np.float64)
    total = 0.0
    for rows, left_out in folds.iterate(episode, frame):
        mean = (wide.sum(0) - wide[left_out].sum(0)) / (len(wide) - len(left_out))
        total += float(((wide[rows] - mean) ** 2).mean(1).sum())
    return total / len(wide)
