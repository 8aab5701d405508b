"""What predicts the target without any head: its mean, the clock, the robot's state, state and clock, the image.

A head that only knows the time in the episode looks relevant beside the mean action and adds nothing beside
`state_time`. Each predictor is scored like a head: leave-one-episode-out squared error. `time`, `state`, `state_time`
and `image` (an embedding of the cameras, where it was captured) are k-NN regressions with Euclidean distance on
features divided by their standard deviation over all frames (constant features drop out), weights 1 / (d + 1e-8), exact
matches averaged, and the best k of those offered: the strongest version, so that a gain over it counts. In `state_time`
the clock counts as much as the whole state, and where one of the two alone predicts better, that is taken: nothing that
state or clock can tell remains to be gained. The mean is
that of the frames that count (those of a phase, say), so that it too is as strong as it can be.
Cost: 20 episodes of 60 frames take about 0.2 s.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steering.errors import InputError
from steering.relevance import folds
from steering.relevance.targets import standardise
from steering.types import Activations

MEAN = "mean_action"
BASELINES = (MEAN, "time", "state", "state_time", "image")


def baseline_features(activations: Activations) -> dict[str, np.ndarray]:
    """Features of each baseline that has any here, float64 [frame, dim], in standard deviations."""
    clock = standardise(activations.time_in_episode[:, None])
    state = standardise(activations.state)
    features = {"time": clock}
    if state.shape[1]:
        moving = max(int(state.any(0).sum()), 1)
        features |= {"state": state, "state_time": np.hstack([state / np.sqrt(moving), clock])}
    if activations.image is not None:
        features["image"] = standardise(activations.image)
    return features


def contenders(name: str, offered: Sequence[str]) -> list[int]:
    """Places in `offered` of the predictors whose best is the baseline `name`."""
    return [offered.index(one) for one in ((name, "state", "time") if name == "state_time" else (name,))]


def mean_errors(
    target: np.ndarray, episode: np.ndarray, frame: np.ndarray, counted: np.ndarray | None = None
) -> np.ndarray:
    """Squared error of predicting the mean, summed over each episode's frames that count: float64 [episode, dim].

    target: float [frame, dim]. The mean is over those frames that count and may predict the query.
    """
    counted = np.ones(len(target), bool) if counted is None else counted
    wide = target.astype(np.float64) * counted[:, None]
    errors = np.zeros((len(np.unique(episode)), target.shape[1]))
    place = np.unique(episode, return_inverse=True)[1]
    for rows, left_out in folds.iterate(episode, frame):
        rows = rows[counted[rows]]
        if len(rows) == 0:
            continue
        number = counted.sum() - counted[left_out].sum()
        if number == 0:
            raise InputError("The frames that count lie in one episode only, so nothing can predict them from others.")
        mean = (wide.sum(0) - wide[left_out].sum(0)) / number
        errors[place[rows[0]]] += ((wide[rows] - mean) ** 2).sum(0)
    return errors


def mean_error_by_frame(target: np.ndarray, episode: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Squared error of the mean over the frames that may predict each, averaged over dimensions: float64 [frame].

    target: float [frame, dim].
    """
    wide = target.astype(np.float64)
    errors = np.empty(len(wide))
    for rows, left_out in folds.iterate(episode, frame):
        mean = (wide.sum(0) - wide[left_out].sum(0)) / (len(wide) - len(left_out))
        errors[rows] = ((wide[rows] - mean) ** 2).mean(1)
    return errors
