"""What heads know beyond robot state and time: their k-NN predicts the residuals that state and time leave open.

With episode e held out, a head learns from residuals that know nothing of e (`conditioning`), by the rule of the paper
(cosine, 1 / d): the prediction of a frame of e, times a share c in [0, 1]. c is the factor that fits best over the
other episodes, each predicted from the rest; without it a head that knows nothing scores less than 0 by the variance of
its own k-NN. The gain is 1 − ⟨‖r − c r̂‖²⟩ / ⟨‖r‖²⟩: the share of what is open that the head tells.

c, and the choice of k and heads, rest on FITTED frames, evenly spaced; neighbouring frames say nearly the same. While
they are predicted, neighbours of e among their nearest k are left out, so that k there is a little less.
Cost: a sparse product of FITTED rows with episodes × dimensions columns a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from steering.progress import Progress
from steering.relevance import knn
from steering.relevance.neighbours import of_rows
from steering.relevance.regression import episode_sums, predictions, weighted_sums
from steering.relevance.threads import for_each
from steering.types import Activations, Head, Neighbours

FITTED = 800


@dataclass(frozen=True)
class Errors:
    """held_out: float64 [k, head, part, dim], squared error of held-out episodes, summed over each part of the frames.
    inner: float64 [episode, k, head], mean squared error over the other episodes and the scored dimensions.
    """

    held_out: np.ndarray
    inner: np.ndarray


def errors(
    neighbours: Neighbours,
    residuals: np.ndarray,
    scored: Sequence[int],
    ks: Sequence[int],
    counted: np.ndarray,
    progress: Progress,
    parts: np.ndarray | csr_array | None = None,
) -> Errors:
    """The errors of every head. residuals: float32 [episode, frame, dim] from `Conditioner.nested`.

    The scored dimensions share one c; every other dimension has its own. counted: bool [frame]. parts: float [part,
    frame], weights by which held-out errors are summed; those of each episode's frames that count by default.
    """
    place = np.unique(neighbours.episode, return_inverse=True)[1]
    episodes, frames, dims = residuals.shape
    parts = episode_sums(neighbours.episode, counted) if parts is None else parts
    truth = own(residuals, neighbours.episode)
    below = np.concatenate([residuals, np.ones((episodes, frames, 1), np.float32)], axis=2)
    below = below.reshape(episodes * frames, dims + 1)  # a fold's residuals below those of the fold before
    fit = _Fit(residuals, place, fitted(counted), [list(scored), *([d] for d in range(dims) if d not in scored)])
    heads = int(np.prod(neighbours.grid))
    held_out = np.empty((len(ks), heads, parts.shape[0], dims))
    inner = np.empty((episodes, len(ks), heads))

    def one(head: int) -> None:
        told = weighted_sums(neighbours, head, below, ks, start=place * frames)
        for (index, sums), (_, of_fit) in zip(
            told, weighted_sums(neighbours, head, fit.columns, ks, fit.rows), strict=True
        ):
            share, inner[:, index, head] = fit.share(of_fit)
            off = truth - share[place] * (sums[:, :-1] / sums[:, -1:])
            held_out[index, head] = parts @ (off * off)

    for_each(heads, one, progress, "Scored heads")
    return Errors(held_out, inner)


class _Fit:
    """The frames that fit c and choose, with the residuals that count in each fold.

    residuals: float32 [episode, frame, dim]. place: int [frame], each frame's episode. rows: int [row].
    """

    def __init__(self, residuals: np.ndarray, place: np.ndarray, rows: np.ndarray, groups: list[list[int]]) -> None:
        episodes, frames, dims = residuals.shape
        known = (place[:, None] != np.arange(episodes)).astype(np.float32)  # [frame, episode]
        truth = np.ascontiguousarray(residuals.transpose(1, 0, 2))  # [frame, episode, dim]
        columns = np.concatenate([truth, np.ones((frames, episodes, 1), np.float32)], axis=2) * known[..., None]
        self.columns, self.rows = columns.reshape(frames, -1), rows
        self._truth, self._inside, self._groups = truth[rows], known[rows], groups
        self._open = np.einsum("fed,fed,fe->ed", self._truth, self._truth, self._inside, dtype=np.float64)
        self._number = np.maximum(self._inside.sum(0, dtype=np.float64), 1) * len(groups[0])

    def share(self, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """c of every fold and dimension, float64 [episode, dim], and the mean error over the other episodes with it,
        float64 [episode]. sums: float32 [row, column], weighted sums of `columns`.
        """
        told = sums.reshape(len(self.rows), *self._truth.shape[1:2], -1)
        mass = told[..., -1]
        told = told[..., :-1] * (self._inside / np.where(mass > 0, mass, 1))[..., None]
        product = np.einsum("fed,fed->ed", told, self._truth).astype(np.float64)
        square = np.einsum("fed,fed->ed", told, told).astype(np.float64)
        share = np.empty(product.shape)
        for group in self._groups:
            share[:, group] = best_share(product[:, group].sum(1), square[:, group].sum(1))[:, None]
        left = self._open - 2 * share * product + share**2 * square
        return share, left[:, self._groups[0]].sum(1) / self._number


def own(residuals: np.ndarray, episode: np.ndarray) -> np.ndarray:
    """float32 [frame, dim]: of `residuals` [episode, frame, dim], those of each frame's own held-out episode."""
    return residuals[np.unique(episode, return_inverse=True)[1], np.arange(residuals.shape[1])]


def fitted(counted: np.ndarray) -> np.ndarray:
    """int [row]: at most FITTED of the frames that count, evenly spaced. counted: bool [frame]."""
    rows = np.flatnonzero(counted)
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), FITTED)).astype(int)]


def set_error(
    activations: Activations,
    heads: Sequence[Head],
    residuals: np.ndarray,
    held_out: np.ndarray,
    counted: np.ndarray,
    k: int,
) -> float:
    """Squared error of joined heads over the frames of the held-out episode that count, summed, averaged over dims.

    residuals: float32 [frame, dim] of that fold, scored dimensions. held_out: bool [frame], the episode.
    """
    fit, own_rows = fitted(~held_out & counted), np.flatnonzero(held_out & counted)
    rows = np.concatenate([fit, own_rows])
    left_out = (activations.episode[rows, None] == activations.episode) | held_out
    order, distance = of_rows(knn.joined(activations, heads), rows, left_out, k)
    asked_of = Neighbours(
        order[None], distance[None], (1, 1, 1), (), activations.episode[rows], activations.frame[rows]
    )
    ((_, predicted),) = predictions(asked_of, 0, residuals, (k,))
    told, asked = predicted[: len(fit)], predicted[len(fit) :]
    share = best_share((told * residuals[fit]).sum(), (told**2).sum())
    return float(((share * asked - residuals[own_rows]) ** 2).mean(1).sum())


def best_share(product: np.ndarray, square: np.ndarray) -> np.ndarray:
    """c in [0, 1] that makes ‖r − c r̂‖² least; product: ⟨r, r̂⟩, square: ⟨r̂, r̂⟩, of any shape."""
    return np.clip(product / np.where(square > 0, square, 1), 0, 1)
