"""What robot state and time leave open of a target: its residuals, each from episodes that its frame is no part of.

The baseline is the best of several smoothers of state and time: kernel ridge (RBF) over a grid of widths and penalties.
Residuals of a held-out episode e are from the baseline of all others; those of another episode
f, which heads learn from when e is judged, from the baseline that saw neither e nor f (cross-fitting; Chernozhukov et
al. 2018). No refit is needed: of a linear smoother ŷ = H y the residuals of the frames S when S is left out are
(I − H_SS)⁻¹ (y − ŷ)_S. Above LANDMARKS frames the kernel is Nyström's, of frames evenly spaced.

Which smoother is used when e is held out is chosen by the errors of the other episodes, e left out, among the SHORTLIST
that predict best over all episodes. k-NN and trees are not among them: on the samples they err more than kernel ridge,
and leaving out pairs of episodes would take one fit a pair. Cost: 20 to 30 s of one core for 20 episodes of 100 frames,
at every call, for all heads together; memory 12 factors of frames × LANDMARKS numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.spatial.distance import cdist

from steering.errors import InputError
from steering.relevance import folds
from steering.relevance.baselines import baseline_features
from steering.types import Activations

CONDITIONAL = "conditional"
"""The preset that asks what heads know beyond state and time."""
LANDMARKS = 512
WIDTHS = (0.25, 1.0, 2.0, 4.0)
"""Of the kernel exp(−w d² / median d²) over state and time in standard deviations."""
PENALTIES = (0.3, 1.0, 3.0)
SHORTLIST = 3
MIN_EPISODES = 3
_JITTER = 1e-6


class Conditioner:
    """Residuals of any target given the state and time of these activations; `clock` leaves the state out."""

    def __init__(self, activations: Activations, *, clock: bool = False) -> None:
        features = baseline_features(activations)
        name = "time" if clock else "state_time"
        if name not in features:
            raise InputError(
                "What a head knows beyond state and time needs the robot's state, which these activations do not "
                "hold. Give the state with them (`Activations.from_arrays(…, state=…)`), or use the preset 'paper'."
            )
        episodes = len(np.unique(activations.episode))
        if episodes < MIN_EPISODES:
            raise InputError(
                f"What a head knows beyond state and time is asked of at least {MIN_EPISODES} episodes: one is judged, "
                f"one learned from, one gives the baseline. Got {episodes}. Add demonstrations, or use the preset "
                "'paper'."
            )
        self.rows = folds.rows_by_episode(activations.episode, activations.frame)
        self._factors = list(_factors(features[name]))

    def own(self, values: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """float64 [frame, dim]: residuals of `values` [frame, dim], each episode's from the baseline of the others.

        scored: the dimensions whose error chooses the smoother.
        """
        return self._own(values, scored)[0][1]

    def redrawn(self, values: np.ndarray, scored: Sequence[int], sources: np.ndarray) -> np.ndarray:
        """float32 [frame, draw, dim]: residuals of targets in which those of whole episodes have changed places.

        sources: int [draw, frame], the row whose residual each frame gets. To what state and time predict of `values`
        the moved residuals are added, and the baseline is fitted to the sum anew (Freedman and Lane 1983), by the
        smoother that predicts `values` best.
        """
        _, residual, factor = self._own(values, scored)[0]
        moved = values[:, None] - residual[:, None] + residual[sources.T]  # [frame, draw, dim]
        return self._left_out(factor, moved.reshape(len(values), -1)).astype(np.float32).reshape(moved.shape)

    def nested(self, values: np.ndarray, scored: Sequence[int], counted: np.ndarray) -> np.ndarray:
        """float32 [episode, frame, dim]: in [e], residuals that know nothing of e but those of e itself.

        Those of e are from the baseline of all other episodes, those of another episode f from the baseline that saw
        neither. counted: bool [frame], frames whose errors choose. Episodes in increasing order.
        """
        shortlist = [self._pairs(factor, values) for _, _, factor in self._own(values, scored)[:SHORTLIST]]
        result = np.empty(shortlist[0].shape, np.float32)
        for e, rows in enumerate(self.rows):
            others = counted.copy()
            others[rows] = False
            if not others.any():
                others[:] = True
                others[rows] = False
            errors = [(one[e][others][:, list(scored)] ** 2).sum() for one in shortlist]
            result[e] = shortlist[int(np.argmin(errors))][e]
        return result

    def _own(self, values: np.ndarray, scored: Sequence[int]) -> list[tuple[float, np.ndarray, np.ndarray]]:
        """(error, residuals, factor) of every smoother, the lowest error first."""
        wide, found = values.astype(np.float64), []
        for factor in self._factors:
            residual = self._left_out(factor, wide)
            found.append((float((residual[:, list(scored)] ** 2).sum()), residual, factor))
        return sorted(found, key=lambda one: one[0])

    def _left_out(self, factor: np.ndarray, wide: np.ndarray) -> np.ndarray:
        """float64 [frame, column]: residuals of `wide` when each episode is left out of one smoother."""
        left = wide - factor @ (factor.T @ wide)
        for rows in self.rows:
            left[rows] = np.linalg.solve(np.eye(len(rows)) - factor[rows] @ factor[rows].T, left[rows])
        return left

    def _pairs(self, factor: np.ndarray, values: np.ndarray) -> np.ndarray:
        """float64 [episode, frame, dim]: the residuals of `nested` by one smoother."""
        wide = values.astype(np.float64)
        left = wide - factor @ (factor.T @ wide)
        result = np.empty((len(self.rows), *wide.shape))
        for e, first in enumerate(self.rows):
            own = np.eye(len(first)) - factor[first] @ factor[first].T
            result[e, first] = np.linalg.solve(own, left[first])
            for f in range(e):
                both = np.concatenate([first, self.rows[f]])
                block = np.eye(len(both)) - factor[both] @ factor[both].T
                pair = np.linalg.solve(block, left[both])
                result[f, first], result[e, self.rows[f]] = pair[: len(first)], pair[len(first) :]
        return result


def _factors(features: np.ndarray) -> Iterator[np.ndarray]:
    """W of every smoother, float64 [frame, landmark], with H = W Wᵀ. features: float [frame, dim]."""
    frames = len(features)
    landmarks = np.linspace(0, frames - 1, min(frames, LANDMARKS)).astype(int)
    squared = cdist(features, features[landmarks], "sqeuclidean")
    scale = np.median(squared)
    if scale <= 0:
        raise InputError("Neither state nor time moves in these demonstrations, so nothing can be told beyond them.")
    jitter = _JITTER * np.eye(len(landmarks))
    for width in WIDTHS:
        kernel = np.exp(-width / scale * squared)
        lower = cholesky(kernel[landmarks] + jitter, lower=True)
        mapped = solve_triangular(lower, kernel.T, lower=True).T
        gram = mapped.T @ mapped
        for penalty in PENALTIES:
            inner = cholesky(gram + penalty * np.eye(len(landmarks)), lower=True)
            yield solve_triangular(inner, mapped.T, lower=True).T
