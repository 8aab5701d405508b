"""What heads know beyond robot state and time: their k-NN predicts the residuals that state and time leave open.

With episode e held out, a head learns from residuals that know nothing of e (`conditioning`), by the rule of the paper
(cosine, 1 / d): the prediction of a frame of e, times a share c in [0, 1]. c is the factor that fits best over the
other episodes, each predicted from the rest; without it a head that knows nothing scores less than 0 by the variance of
its own k-NN. The gain is 1 − ⟨‖r − c r̂‖²⟩ / ⟨‖r‖²⟩: the share of what is open that the head tells.

While the others are predicted, neighbours of e among their nearest k are left out, so that k there is a little less.
Cost: a sparse product with episodes × dimensions columns a head; 128 heads, 20 episodes of 100 frames, 6 dimensions and
five ks to 40 take about 3 s of one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steering.progress import Progress
from steering.relevance import knn
from steering.relevance.regression import weighted_sums
from steering.relevance.threads import for_each
from steering.types import Activations, Head, Neighbours

FEWEST_QUERIES = 400
"""Frames of the other episodes by which the share c of a joined set is fitted, evenly spaced."""


@dataclass(frozen=True)
class Errors:
    """held_out: float64 [k, head, episode, dim], squared error summed over the frames of the held-out episode that
    count. inner: float64 [episode, k, head], mean squared error over the other episodes and the scored dimensions.
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
) -> Errors:
    """The errors of every head. residuals: float32 [episode, frame, dim] from `Conditioner.nested`.

    The scored dimensions share one c; every other dimension has its own. counted: bool [frame].
    """
    place = np.unique(neighbours.episode, return_inverse=True)[1]
    episodes, frames, dims = residuals.shape
    known = (place[:, None] != np.arange(episodes)).astype(np.float32)  # [frame, episode]
    truth = np.ascontiguousarray(residuals.transpose(1, 0, 2))  # [frame, episode, dim]
    columns = np.concatenate([truth, np.ones((frames, episodes, 1), np.float32)], axis=2) * known[..., None]
    columns = columns.reshape(frames, -1)
    inside = (known * counted[:, None])[..., None]  # frames that fit c and choose, [frame, episode, 1]
    own = [np.flatnonzero((place == e) & counted) for e in range(episodes)]
    groups = [list(scored), *([d] for d in range(dims) if d not in scored)]
    of_others = np.einsum("fed,fed,fe->ed", truth, truth, inside[..., 0], dtype=np.float64)  # [episode, dim]
    number = np.maximum(inside.sum((0, 2), dtype=np.float64), 1) * len(groups[0])
    heads = int(np.prod(neighbours.grid))
    held_out = np.empty((len(ks), heads, episodes, dims))
    inner = np.empty((episodes, len(ks), heads))

    def one(head: int) -> None:
        for index, sums in weighted_sums(neighbours, head, columns, ks):
            by_episode = sums.reshape(frames, episodes, dims + 1)
            mass = by_episode[..., -1:]
            predicted = by_episode[..., :-1] / np.where(mass > 0, mass, 1)
            kept = predicted * inside
            product = np.einsum("fed,fed->ed", kept, truth, dtype=np.float64)
            square = np.einsum("fed,fed->ed", kept, predicted, dtype=np.float64)
            share = np.empty((episodes, dims))
            for group in groups:
                share[:, group] = best_share(product[:, group].sum(1), square[:, group].sum(1))[:, None]
            fitted = of_others - 2 * share * product + share**2 * square
            inner[:, index, head] = fitted[:, groups[0]].sum(1) / number
            for e, rows in enumerate(own):
                off = truth[rows, e] - share[e] * predicted[rows, e]
                held_out[index, head, e] = (off**2).sum(0)

    for_each(heads, one, progress, "Scored heads")
    return Errors(held_out, inner)


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
    features = knn.joined(activations, heads)
    others, rows = np.flatnonzero(~held_out), np.flatnonzero(held_out & counted)
    queries = np.flatnonzero(~held_out & counted)
    queries = queries[np.linspace(0, len(queries) - 1, min(len(queries), FEWEST_QUERIES)).astype(int)]
    product = square = 0.0
    for one in np.unique(activations.episode[queries]):
        asked = queries[activations.episode[queries] == one]
        rest = others[activations.episode[others] != one]
        predicted = knn.predict(features, residuals, asked, rest, min(k, len(rest)))
        product += float((predicted * residuals[asked]).sum())
        square += float((predicted**2).sum())
    share = float(best_share(np.array(product), np.array(square)))
    predicted = share * knn.predict(features, residuals, rows, others, k)
    return float(((predicted - residuals[rows]) ** 2).mean(1).sum())


def best_share(product: np.ndarray, square: np.ndarray) -> np.ndarray:
    """c in [0, 1] that makes ‖r − c r̂‖² least; product: ⟨r, r̂⟩, square: ⟨r̂, r̂⟩, of any shape."""
    return np.clip(product / np.where(square > 0, square, 1), 0, 1)
