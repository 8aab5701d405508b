"""What robot state and time leave open of a target: its residuals, each from episodes that its frame is no part of.

The baseline is the best of several smoothers of state and time: kernel ridge (RBF) over a grid of widths and penalties.
Residuals of a held-out episode e are from the baseline of all others; those of another episode
f, which heads learn from when e is judged, from the baseline that saw neither e nor f (cross-fitting; Chernozhukov et
al. 2018). No refit is needed: of a linear smoother ŷ = H y the residuals of the frames S when S is left out are
(I − H_SS)⁻¹ (y − ŷ)_S. Above LANDMARKS frames the kernel is Nyström's, of frames evenly spaced.

Which smoother is used when e is held out is chosen by the errors of the other episodes, e left out, among the SHORTLIST
that predict best over all episodes. k-NN and trees are not among them: on the samples they err more than kernel ridge,
and leaving out pairs of episodes would take one fit a pair.

Cost on two cores, 20 episodes of 100 frames: `Conditioner` about 0.5 s, once for all targets; the residuals of a
first target 0.3 s and of others 0.1 s, once a target. Memory, in numbers of 8 bytes: frames × LANDMARKS a width, and
frames × frames of an episode a smoother; 50 MB here, 1 GB for 100 episodes of 300 frames. Besides, REMEMBERED_BYTES of
residuals and as many of what leaving out pairs takes: 22 MB here for the targets of one shortlist.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, eigh, solve_triangular
from scipy.spatial.distance import cdist

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance import folds
from steering.relevance.baselines import baseline_features
from steering.relevance.threads import for_each
from steering.types import Activations

LANDMARKS = 512
WIDTHS = (0.25, 1.0, 2.0, 4.0)
"""Of the kernel exp(−w d² / median d²) over state and time in standard deviations."""
PENALTIES = (0.3, 1.0, 3.0)
SHORTLIST = 3
MIN_EPISODES = 3
REMEMBERED_BYTES = 2**28
_JITTER = 1e-6


@dataclass(frozen=True)
class Smoother:
    """H = basis · diag(weight) · basisᵀ. basis: float64 [frame, landmark]; weight: float64 [landmark]; inverses: one
    an episode, float64 [frame, frame], (I − H)⁻¹ of its own block.
    """

    basis: np.ndarray
    weight: np.ndarray
    inverses: tuple[np.ndarray, ...]

    def left(self, wide: np.ndarray) -> np.ndarray:
        """float64 [frame, column]: what the smoother leaves of `wide`, with nothing left out."""
        return wide - self.basis @ (self.weight[:, None] * (self.basis.T @ wide))


@dataclass
class _Known:
    """Of one target. ranked: all smoothers, the best first; own, shortlist: as `Conditioner` finds them."""

    ranked: list[Smoother]
    own: np.ndarray
    shortlist: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def nbytes(self) -> int:
        return self.own.nbytes + sum(one.nbytes for one in self.shortlist or ())


def can_condition(activations: Activations) -> bool:
    """Whether there are episodes enough, and the robot's state, to say what both leave open."""
    return activations.state.shape[1] > 0 and len(np.unique(activations.episode)) >= MIN_EPISODES


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
        self._smoothers = _smoothers(features[name], self.rows)
        self._remembered: OrderedDict[bytes, _Known] = OrderedDict()
        self._kept_pairs: dict[tuple[int, int], list[np.ndarray]] = {}
        self._pair_bytes, self._pair_lock = 0, threading.Lock()  # counted by threads of one question
        self._lock = threading.RLock()

    @property
    def nbytes(self) -> int:
        """Bytes of all it holds now; each basis is shared by the smoothers of its width."""
        bases = {id(one.basis): one.basis.nbytes for one in self._smoothers}
        blocks = sum(block.nbytes for one in self._smoothers for block in one.inverses)
        remembered = sum(one.nbytes for one in tuple(self._remembered.values()))
        return sum(bases.values()) + blocks + remembered + self._pair_bytes

    def own(self, values: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """float64 [frame, dim]: residuals of `values` [frame, dim], each episode's from the baseline of the others.

        scored: the dimensions whose error chooses the smoother. Not to be changed.
        """
        return self._known(values, scored).own

    def redrawn(self, values: np.ndarray, scored: Sequence[int], sources: np.ndarray) -> np.ndarray:
        """float32 [frame, draw, dim]: residuals of targets in which those of whole episodes have changed places.

        sources: int [draw, frame], the row whose residual each frame gets. To what state and time predict of `values`
        the moved residuals are added, and the baseline is fitted to the sum anew (Freedman and Lane 1983), by the
        smoother that predicts `values` best.
        """
        known = self._known(values, scored)
        moved = (values - known.own)[:, None] + known.own[sources.T]  # [frame, draw, dim]
        left = self._left_out(known.ranked[0], moved.reshape(len(values), -1))
        return left.astype(np.float32).reshape(moved.shape)

    def nested(self, values: np.ndarray, scored: Sequence[int], counted: np.ndarray) -> np.ndarray:
        """float32 [episode, frame, dim]: in [e], residuals that know nothing of e but those of e itself.

        Those of e are from the baseline of all other episodes, those of another episode f from the baseline that saw
        neither. counted: bool [frame], frames whose errors choose. Episodes in increasing order.
        """
        shortlist, squared = self._shortlist(values, scored)
        result = np.empty(shortlist.shape[1:], np.float32)
        for e, rows in enumerate(self.rows):
            others = counted.copy()
            others[rows] = False
            if not others.any():
                others[:] = True
                others[rows] = False
            result[e] = shortlist[int(squared[:, e, others].sum(1).argmin()), e]
        return result

    def _shortlist(self, values: np.ndarray, scored: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """`nested` by each smoother of the shortlist, float32 [smoother, episode, frame, dim]; squared errors of the
        scored dimensions, float64 [smoother, episode, frame].
        """
        with self._lock:
            known = self._known(values, scored)
            if known.shortlist is None:
                found = np.empty((min(SHORTLIST, len(known.ranked)), len(self.rows), *values.shape), np.float32)
                for place, one in enumerate(known.ranked[:SHORTLIST]):
                    self._pairs(one, values, found[place])
                told = found if len(scored) == found.shape[-1] else found[..., list(scored)]
                known.shortlist = found, np.einsum("sefd,sefd->sef", told, told, dtype=np.float64)
                self._make_room()
            return known.shortlist

    def _known(self, values: np.ndarray, scored: Sequence[int]) -> _Known:
        """What was found of a target; that of the last ones is remembered."""
        key = values.astype(np.float64).tobytes() + repr(tuple(scored)).encode()
        with self._lock:  # one conditioner answers several threads of a server
            if key not in self._remembered:
                ranked = self._ranked(values, scored)
                self._remembered[key] = _Known(ranked, self._left_out(ranked[0], values.astype(np.float64)))
            self._remembered.move_to_end(key)
            self._make_room()
            return self._remembered[key]

    def _make_room(self) -> None:
        while len(self._remembered) > 1 and sum(one.nbytes for one in self._remembered.values()) > REMEMBERED_BYTES:
            self._remembered.popitem(last=False)

    def _ranked(self, values: np.ndarray, scored: Sequence[int]) -> list[Smoother]:
        """Every smoother, the one that predicts left-out episodes best first."""
        wide, errors = values[:, list(scored)].astype(np.float64), []
        for start in range(0, len(self._smoothers), len(PENALTIES)):
            of_width = self._smoothers[start : start + len(PENALTIES)]
            basis = of_width[0].basis  # shared, and what the time goes to: read once for all penalties
            told = basis.T @ wide
            smooth = basis @ np.hstack([one.weight[:, None] * told for one in of_width])
            for one, part in zip(of_width, np.split(smooth, len(of_width), axis=1), strict=True):
                left = self._leave_out(one, wide - part)
                errors.append(float((left**2).sum()))
        return [self._smoothers[i] for i in np.argsort(errors, kind="stable")]

    def _left_out(self, smoother: Smoother, wide: np.ndarray) -> np.ndarray:
        """float64 [frame, column]: residuals of `wide` when each episode is left out of one smoother."""
        return self._leave_out(smoother, smoother.left(wide))

    def _leave_out(self, smoother: Smoother, left: np.ndarray) -> np.ndarray:
        """The same from what the smoother leaves with nothing left out, in place."""
        for rows, inverse in zip(self.rows, smoother.inverses, strict=True):
            left[rows] = inverse @ left[rows]
        return left

    def _pairs(self, smoother: Smoother, values: np.ndarray, result: np.ndarray) -> None:
        """Into `result`, float32 [episode, frame, dim], the residuals of `nested` by one smoother.

        (I − H) of both episodes is eliminated by blocks, as their own inverses are known. What H carries from one to
        the other goes by the landmarks, which are fewer numbers than the frames of a pair.
        """
        left, dims = smoother.left(values.astype(np.float64)), values.shape[1]
        alone = self._leave_out(smoother, left.copy())
        basis, weight = smoother.basis, smoother.weight[:, None]
        told = np.hstack([weight * (basis[rows].T @ alone[rows]) for rows in self.rows])  # [landmark, episode * dim]

        def one(e: int) -> None:
            first = self.rows[e]
            result[e, first] = alone[first]
            inverses = self._both_left_out(smoother, e)
            if not inverses:
                return
            from_others = np.hsplit(basis[first] @ told[:, : e * dims], e)
            mine = [inverse @ (left[first] + one) for inverse, one in zip(inverses, from_others, strict=True)]
            back = np.hsplit(weight * (basis[first].T @ np.hstack(mine)), e)
            for f, rows in enumerate(self.rows[:e]):
                result[f, first] = mine[f]
                result[e, rows] = alone[rows] + smoother.inverses[f].T @ (basis[rows] @ back[f])

        for_each(len(self.rows), one, Progress(), "Pairs of episodes left out")

    def _both_left_out(self, smoother: Smoother, e: int) -> list[np.ndarray]:
        """`solve_pairs`, kept for other targets while there is room."""
        key = id(smoother), e
        if key not in self._kept_pairs:
            inverses = solve_pairs(smoother, self.rows, e)
            size = sum(one.nbytes for one in inverses)
            with self._pair_lock:
                if self._pair_bytes + size > REMEMBERED_BYTES:
                    return inverses
                self._pair_bytes += size
                self._kept_pairs[key] = inverses
        return self._kept_pairs[key]


def solve_pairs(smoother: Smoother, rows: Sequence[np.ndarray], e: int) -> list[np.ndarray]:
    """What leaving out episode e together with each earlier one takes, whatever the target: of each, the inverse of
    what is left of e's block of I − H once that of the earlier one is eliminated, float32. rows: of each episode.
    """
    weighted = (smoother.basis[rows[e]] * smoother.weight).astype(np.float32)
    block, found = np.linalg.inv(smoother.inverses[e]), []
    for f in range(e):
        between = weighted @ smoother.basis[rows[f]].T.astype(np.float32)
        carried = between @ smoother.inverses[f].astype(np.float32)
        found.append(np.linalg.inv(block - carried @ between.T).astype(np.float32))
    return found


def _smoothers(features: np.ndarray, rows: Sequence[np.ndarray]) -> list[Smoother]:
    """One a width and penalty. features: float [frame, dim]; rows: those of each episode."""
    frames = len(features)
    landmarks = np.linspace(0, frames - 1, min(frames, LANDMARKS)).astype(int)
    squared = cdist(features, features[landmarks], "sqeuclidean")
    scale = np.median(squared)
    if scale <= 0:
        raise InputError("Neither state nor time moves in these demonstrations, so nothing can be told beyond them.")
    found: list[list[Smoother]] = [[] for _ in WIDTHS]

    def one(number: int) -> None:
        kernel = -WIDTHS[number] / scale * squared
        np.exp(kernel, out=kernel)
        lower = cholesky(kernel[landmarks] + _JITTER * np.eye(len(landmarks)), lower=True)
        mapped = solve_triangular(lower, kernel.T, lower=True, overwrite_b=True)  # where the kernel was
        spectrum, vectors = eigh(mapped @ mapped.T)
        basis = mapped.T @ vectors
        for penalty in PENALTIES:
            weight = 1 / (np.maximum(spectrum, 0) + penalty)
            inverses = (np.linalg.inv(np.eye(len(own)) - (basis[own] * weight) @ basis[own].T) for own in rows)
            found[number].append(Smoother(basis, weight, tuple(inverses)))

    for_each(len(WIDTHS), one, Progress(), "Smoothers of state and time")
    return [smoother for of_width in found for smoother in of_width]
