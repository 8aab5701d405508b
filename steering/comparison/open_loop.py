"""Predicted beside demonstrated action chunks: errors by dimension and horizon, intervals over episodes. A second.

Frames of an episode resemble each other, so episodes are what is resampled (SciPy's percentile bootstrap), and every
method is resampled alike. With a handful of held-out episodes the intervals are wide, and too narrow if anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from steering.comparison.names import method_label
from steering.errors import InputError
from steering.types import OpenLoop, OpenLoopComparison

RESAMPLES = 2000
CONFIDENCE = 0.95
_SMALLEST_SPREAD = 1e-2


def compare_open_loop(
    predictions: Sequence[OpenLoop], *, resamples: int = RESAMPLES, seed: int = 0
) -> OpenLoopComparison:
    """Compare methods on the same frames; the first is the one that differences refer to."""
    _check(predictions)
    first = predictions[0]
    episodes = np.unique(first.episode)
    sums = np.stack([_sums(one, episodes) for one in predictions])  # [method, episode, step, dim]
    counts = np.stack([first.valid[first.episode == e].sum(0) for e in episodes]).astype(float)  # [episode, step]
    error, low, high = _interval(sums, counts[None, :, :, None], resamples, seed)
    over_dims, over_steps = sums.mean(3), sums.sum(2)
    all_steps = counts.sum(1)
    totals = over_steps.mean(2)  # [method, episode]
    return OpenLoopComparison(
        methods=tuple(one.method for one in predictions),
        episodes=tuple(int(e) for e in episodes),
        action_names=first.action_names,
        rate_hz=first.rate_hz,
        error=error,
        low=low,
        high=high,
        by_step=np.stack(_interval(over_dims, counts[None], resamples, seed), axis=-1),
        by_dim=np.stack(_interval(over_steps, all_steps[None, :, None], resamples, seed), axis=-1),
        total=np.stack(_interval(totals, all_steps[None], resamples, seed), axis=-1),
        difference=np.stack(_interval(totals - totals[:1], all_steps[None], resamples, seed), axis=-1),
    )


def open_loop_report(comparison: OpenLoopComparison, notices: Mapping[str, str]) -> str:
    """The comparison in plain sentences, one a line. notices: method -> what flatters its error, a sentence."""
    count = len(comparison.episodes)
    lines = [
        f"{count} held-out episode{'s' if count > 1 else ''}; squared error in standard deviations of each action "
        "squared (1: as bad as the mean action), with 95 % bootstrap intervals over episodes."
    ]
    for method, (error, low, high) in zip(comparison.methods, comparison.total, strict=True):
        notice = f" {notices[method]}" if method in notices else ""
        lines.append(f"{method_label(method)}: {error:.3f} ({low:.3f} to {high:.3f}).{notice}")
    first = method_label(comparison.methods[0])
    for method, (error, low, high) in list(zip(comparison.methods, comparison.difference, strict=True))[1:]:
        shown = "lower" if high < 0 else "higher" if low > 0 else "no difference shown"
        lines.append(f"{method_label(method)} less {first}: {error:+.3f} ({low:+.3f} to {high:+.3f}), {shown}.")
    if count < 2:
        lines.append("One episode has no interval: hold out more.")
    return "\n".join(lines)


def _sums(one: OpenLoop, episodes: np.ndarray) -> np.ndarray:
    """Sums of squared errors over an episode's frames [episode, step, dim], in standard deviations squared."""
    spread = np.maximum(one.spread.astype(np.float64), _SMALLEST_SPREAD)
    squared = ((one.predicted.astype(np.float64) - one.demonstrated) / spread) ** 2 * one.valid[..., None]
    return np.stack([squared[one.episode == e].sum(0) for e in episodes])


def _interval(
    sums: np.ndarray, counts: np.ndarray, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean error, and its interval's ends, of `sums` [method, episode, …] over `counts` that broadcast to it.

    Every resample draws whole episodes, the same for all methods, steps and dimensions.
    """
    episodes = sums.shape[1]
    totals = np.broadcast_to(counts, sums.shape)

    def mean(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        """drawn: int [..., episode] -> [method, …, resample]."""
        chosen = np.moveaxis(np.asarray(drawn, int), axis, 0)  # [episode, …]
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = sums[:, chosen].sum(1) / totals[:, chosen].sum(1)  # [method, resample, …]
        return np.moveaxis(ratio, 1, -1) if chosen.ndim > 1 else ratio

    value = mean(np.arange(episodes))
    if episodes < 2:
        return value.astype(np.float32), value.astype(np.float32), value.astype(np.float32)
    from scipy.stats import bootstrap  # 60 MB that a server holds ever after

    found = bootstrap(
        (np.arange(episodes),),
        mean,
        n_resamples=resamples,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return value.astype(np.float32), np.asarray(found.low, np.float32), np.asarray(found.high, np.float32)


def _check(predictions: Sequence[OpenLoop]) -> None:
    if not predictions:
        raise InputError("Expected the predictions of at least one method to compare, got none.")
    methods = [one.method for one in predictions]
    if len(set(methods)) != len(methods):
        raise InputError(f"Expected each method once, got {', '.join(methods)}. Leave out the repeated ones.")
    first = predictions[0]
    for one in predictions[1:]:
        same = np.array_equal(one.episode, first.episode) and np.array_equal(one.frame, first.frame)
        if not same or not np.array_equal(one.demonstrated, first.demonstrated):
            raise InputError(
                f"Only predictions at the same frames can be compared; those of {method_label(one.method)} are at "
                f"others than those of {method_label(first.method)}. Predict with the same episodes and stride."
            )
