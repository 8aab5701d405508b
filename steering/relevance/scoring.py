"""From activations to a score per head, by preset and metric; the one entry point of the stage.

Presets: `paper` predicts the raw action and scores explained variance, 1 − error / error of the mean action. `default`
divides each action dimension by its standard deviation, so that the gripper does not decide alone, and scores the gain
over robot state and time in the episode, 1 − error / error of that baseline: a head that only knows the clock gets 0
or less. Metrics: `knn` (the paper's) and `ridge` (a linear probe).
Cost: about 1 s for 20 episodes of 60 frames at 128 heads of 32 dims on two cores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from steering.errors import InputError, unknown_name
from steering.progress import Progress
from steering.relevance import knn, ridge
from steering.relevance.baselines import baseline_errors, standardise
from steering.types import PAPER_SET_SIZE, STACKS, Activations, Head, Relevance

PRESETS: Mapping[str, tuple[str, str]] = {  # preset -> (target, baseline that a score of 0 equals)
    "paper": ("raw action", "mean_action"),
    "default": ("action, each dimension divided by its standard deviation", "state_time"),
}
METRICS = ("knn", "ridge")
_NO_PROGRESS = Progress()


def score(
    activations: Activations,
    preset: str = "paper",
    ks: Sequence[int] = knn.KS,
    metric: str = "knn",
    inert: np.ndarray | None = None,
    progress: Progress = _NO_PROGRESS,
) -> Relevance:
    """Score every head.

    ks: numbers of neighbours of the k-NN metric and of the baselines. inert: bool [stack, layer, head], heads that
    cannot move an action; they are scored but take no part in the best set. None: no head is (the authors' release).
    Per stack, `best_k` is the k whose PAPER_SET_SIZE best heads, concatenated, have the lowest error `cv_mse`, and
    heads are scored at that k. The ridge metric has no k: its `ks` and `best_k` are empty and `error` has one row.
    """
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    head_grid = activations.outputs.shape[1:4]
    inert = np.zeros(head_grid, bool) if inert is None else np.asarray(inert, bool)
    if inert.shape != head_grid:
        raise InputError(f"Expected a mask of inert heads of shape {head_grid}, got {inert.shape}.")
    target, zero = PRESETS[preset]
    action = activations.action if preset == "paper" else standardise(activations.action)
    baselines = baseline_errors(activations, action, ks)
    if baselines[zero] < 1e-12:
        raise InputError(
            f"The baseline {zero!r} already predicts these actions without error, so no head can be told from another. "
            "The actions may be constant, or the same episode may be loaded twice: use other demonstrations."
        )
    progress.report(0.1, "Scored the baselines")
    error = _errors(activations, action, ks, metric, progress.part(0.1, 0.9))
    best = [_best_set(activations, action, error[:, s], ks, metric, s, inert[s]) for s in range(len(STACKS))]
    progress.report(1.0, "Scored the sets of best heads")
    at_best = np.stack([error[best[s][0], s] for s in range(len(STACKS))])
    return Relevance(
        metric=metric,
        preset=preset,
        target=target,
        score=(1 - at_best / baselines[zero]).astype(np.float32),
        error=error,
        ks=tuple(int(k) for k in ks) if metric == "knn" else (),
        best_k={stack: int(ks[best[s][0]]) for s, stack in enumerate(STACKS)} if metric == "knn" else {},
        cv_mse={stack: best[s][1] for s, stack in enumerate(STACKS)},
        baselines=baselines,
        inert=inert,
        tokens=activations.tokens,
    )


def _errors(
    activations: Activations, action: np.ndarray, ks: Sequence[int], metric: str, progress: Progress
) -> np.ndarray:
    """float32 [k, stack, layer, head]; one row for metrics without k."""
    if metric == "knn":
        errors = knn.head_frame_errors(activations, action, ks, progress)
    else:
        outputs = activations.outputs
        flat = outputs.reshape(len(outputs), -1, outputs.shape[-1])
        errors = ridge.ridge_frame_errors(flat, action, activations.episode, activations.frame, progress=progress)
        errors = errors.reshape(1, *outputs.shape[1:4], len(outputs))
    return errors.mean(-1, np.float64).astype(np.float32)


def _best_set(
    activations: Activations,
    action: np.ndarray,
    error: np.ndarray,
    ks: Sequence[int],
    metric: str,
    stack: int,
    inert: np.ndarray,
) -> tuple[int, float]:
    """Index of the best k and the error of its best heads, for one stack. error: float [k, layer, head]."""
    movable = np.flatnonzero(~inert)
    if len(movable) == 0:
        raise InputError(f"Every head of the stack {STACKS[stack]!r} is marked inert; at least one must not be.")
    found = []
    for index, errors in enumerate(error.reshape(len(error), -1)):
        best = movable[np.argsort(errors[movable], kind="stable")[:PAPER_SET_SIZE]]
        heads = [Head(STACKS[stack], *divmod(int(flat), error.shape[2])) for flat in best]
        if metric == "knn":
            found.append(float(knn.set_errors(activations, heads, action, ks[index : index + 1])[0]))
        else:
            joined = np.concatenate([knn.head_outputs(activations, head) for head in heads], axis=1)[:, None]
            episode, frame = activations.episode, activations.frame
            found.append(float(ridge.ridge_frame_errors(joined, action, episode, frame).mean(dtype=np.float64)))
    index = int(np.argmin(found))
    return index, found[index]
