"""From activations to a score per head, by preset, metric, target and phase; the one entry point of the stage.

Presets: `paper` predicts the raw action, scores explained variance, 1 − error / error of the mean action, and chooses
k in sample, as published. `default` divides each dimension by its standard deviation, scores the gripper apart and
the gain over robot state and time in the episode, 1 − error / error of that baseline: a head that only knows the
clock gets 0 or less. It chooses k and the best set inside each held-out episode. Metrics: `knn` (the paper's) and
`ridge` (a linear probe).

    neighbours = prepare(activations)                       # the slow part, once
    relevance = score(activations, "default", neighbours=neighbours)
    relevance = rescore(activations, neighbours, k=20, target=named("state", activations), counted=frames)

Cost on two cores, 20 episodes of 80 frames at 128 heads of 32 dims: `prepare` about 0.7 s, `score` about 3 s more under
`default` and 0.5 s under `paper`, `rescore` 0.1 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steering.errors import InputError, unknown_name
from steering.metrics import FROM_ACTIVATIONS
from steering.progress import Progress
from steering.relevance import choice, conditional, knn, ridge, targets
from steering.relevance.baselines import MEAN, baseline_features, contenders, mean_errors
from steering.relevance.conditioning import CONDITIONAL, Conditioner
from steering.relevance.neighbours import DEPTH, SPARE, check_ks, find
from steering.relevance.phases import WHOLE
from steering.relevance.regression import episode_errors
from steering.types import Activations, Head, Neighbours, Relevance

PRESETS: Mapping[str, str] = {
    "paper": MEAN,
    "default": "state_time",
    CONDITIONAL: "state_time",
}  # preset -> baseline that a score of 0 equals
METRICS = FROM_ACTIVATIONS
_NO_PROGRESS = Progress()


def prepare(activations: Activations, depth: int = DEPTH, progress: Progress = _NO_PROGRESS) -> Neighbours:
    """The neighbours that every later score of these activations rests on; `depth` is the largest k, or more."""
    return find(activations, baseline_features(activations), depth, progress)


def score(
    activations: Activations,
    preset: str = "paper",
    ks: Sequence[int] = knn.KS,
    metric: str = "knn",
    progress: Progress = _NO_PROGRESS,
    *,
    include_inert: bool = False,
    target: targets.Target | None = None,
    counted: np.ndarray | None = None,
    phase: str = WHOLE,
    neighbours: Neighbours | None = None,
) -> Relevance:
    """Score every head.

    ks: numbers of neighbours of the k-NN metric and of the baselines. include_inert: heads that cannot move an action
    may be chosen too, as in the authors' release; else they are scored (`Activations.inert`) and take no part in the
    best set, and no rule chooses them. The relevance then holds no head inert.
    target: from `targets.named`; the preset's action by default. counted: bool [frame], frames whose errors count,
    those of `phase`; all by default. neighbours: from `prepare` on the same activations, where they are at hand.

    Under `paper`, `best_k` is per stack the k whose PAPER_SET_SIZE best heads, concatenated, have the lowest error
    `cv_mse`, and heads are scored at that k. Under `default` with at least `choice.MIN_EPISODES` episodes, each
    episode's errors are those at the k that the others chose (`fold_k`; `best_k` is the most frequent), and `cv_mse`
    is of held-out episodes. The ridge metric has no k: its `ks` and `best_k` are empty, `error` has one row, its set
    is chosen in sample.
    """
    return _Scoring(activations, preset, ks, metric, include_inert, target, counted, phase).relevance(
        neighbours, progress, with_sets=True
    )


def rescore(
    activations: Activations,
    neighbours: Neighbours,
    *,
    k: int,
    preset: str = "default",
    include_inert: bool = False,
    target: targets.Target | None = None,
    counted: np.ndarray | None = None,
    phase: str = WHOLE,
) -> Relevance:
    """k-NN scores at a given k, at once: with no set to choose, `cv_mse` is empty. Arguments as those of `score`."""
    scoring = _Scoring(activations, preset, (k,), "knn", include_inert, target, counted, phase)
    return scoring.relevance(neighbours, _NO_PROGRESS, with_sets=False)


@dataclass(frozen=True)
class _OpenLeft:
    """residuals: float32 [episode, frame, dim]; left: float64 [episode, dim], their squares summed over each held-out
    episode's frames that count; errors: those of the heads.
    """

    residuals: np.ndarray
    left: np.ndarray
    errors: conditional.Errors


class _Scoring:
    """One question to the activations, checked; `relevance` answers it."""

    def __init__(
        self,
        activations: Activations,
        preset: str,
        ks: Sequence[int],
        metric: str,
        include_inert: bool,
        target: targets.Target | None,
        counted: np.ndarray | None,
        phase: str,
    ) -> None:
        if preset not in PRESETS:
            raise unknown_name("preset", preset, PRESETS)
        if metric not in METRICS:
            raise unknown_name("metric", metric, METRICS)
        if preset == CONDITIONAL and metric != "knn":
            raise InputError(f"The preset {preset!r} asks by k-NN, not by {metric!r}. Choose the preset 'default'.")
        self.activations, self.preset, self.metric, self.phase = activations, preset, metric, phase
        self.ks = tuple(int(k) for k in ks)
        check_ks(ks, activations.episode, activations.frame)
        self.grid = activations.outputs.shape[1:4]
        self.inert = ~activations.shape.present if include_inert else np.asarray(activations.inert, bool)
        if self.inert.all():
            raise InputError("Every head is marked inert; at least one must not be.")
        self.target = targets.named("action", activations, preset=preset) if target is None else target
        self.counted = np.ones(len(activations.episode), bool) if counted is None else np.asarray(counted, bool)
        self.zero = zero_of(preset, self.target)

    def relevance(self, neighbours: Neighbours | None, progress: Progress, *, with_sets: bool) -> Relevance:
        a, scored = self.activations, list(self.target.scored)
        neighbours = self._neighbours(neighbours, progress.part(0, 0.3))
        errors = episode_errors(neighbours, self.target.values, self.ks, self.counted, progress.part(0.3, 0.4))
        heads = int(np.prod(neighbours.grid))
        baselines = {MEAN: mean_errors(self.target.values, a.episode, a.frame, self.counted)}
        for name in neighbours.baselines:
            units = heads + np.array(contenders(name, neighbours.baselines))
            each = errors[:, units].reshape(-1, *errors.shape[2:])  # [k * contender, episode, dim]
            baselines[name] = each[int(np.argmin(each[..., scored].sum((1, 2))))]
        open_left = None
        if self.preset == CONDITIONAL:
            open_left = self._open_left(neighbours, progress.part(0.4, 0.6))
            baselines[self.zero] = open_left.left
        mean = {name: float(e[:, scored].sum() / self.counted.sum() / len(scored)) for name, e in baselines.items()}
        self._check_zero(mean)
        if open_left is not None:
            of_heads = open_left.errors.held_out
        else:
            of_heads = errors[:, :heads] if self.metric == "knn" else self._ridge_errors(progress.part(0.4, 0.6))
        of_heads = of_heads.reshape(
            len(of_heads), *self.grid, *of_heads.shape[2:]
        )  # [k, stack, layer, head, episode, dim]
        error = of_heads[..., scored].sum((-2, -1)) / self.counted.sum() / len(scored)
        choices = self._choices(neighbours, error, open_left, with_sets, progress.part(0.6, 1))
        progress.report(1.0, "Scored every head")
        at_best = self._at_chosen(of_heads, choices)  # [stack, layer, head, dim]
        main = at_best[..., scored].mean(-1)
        base = baselines[self.zero]
        grippers = [self._dimension(at_best, base, d) for d in self.target.grippers]
        below = baselines[MEAN] if open_left is None else open_left.left
        return Relevance(
            metric=self.metric,
            preset=self.preset,
            target=self.target.text,
            score=_explained(main, mean[self.zero]),
            error=error.astype(np.float32),
            ks=self.ks if self.metric == "knn" else (),
            best_k={s: self.ks[c.common()] for s, c in choices.items()} if self.metric == "knn" else {},
            cv_mse={s: c.error for s, c in choices.items()} if with_sets else {},
            baselines=mean,
            inert=self.inert,
            tokens=a.tokens,
            phase=self.phase,
            gain=_explained(main, mean["state_time"]) if "state_time" in mean else None,
            gripper=np.mean(grippers, axis=0) if grippers else None,
            dimension_r2=np.stack([self._dimension(at_best, below, d) for d in range(at_best.shape[-1])]),
            dimension_names=self.target.names,
            fold_k={s: tuple(self.ks[i] for i in c.index) for s, c in choices.items() if c.nested},
            fold_share=self._share(choices),
            stacks=a.stacks,
        )

    def _neighbours(self, neighbours: Neighbours | None, progress: Progress) -> Neighbours:
        a = self.activations
        if neighbours is None:
            nested = self.metric == "knn" and self.preset != "paper"
            depth = max(self.ks) + (SPARE if nested else 0)
            return find(a, baseline_features(a), depth, progress, of_heads=self.metric == "knn")
        same = np.array_equal(neighbours.episode, a.episode) and np.array_equal(neighbours.frame, a.frame)
        if not same or neighbours.grid != self.grid:
            raise InputError("The neighbours were found in other activations. Find them again in these.")
        return neighbours

    def _check_zero(self, mean: Mapping[str, float]) -> None:
        if self.zero != MEAN:
            contenders(self.zero, tuple(mean))
        if mean[self.zero] < 1e-12:
            raise InputError(
                f"The baseline {self.zero!r} already predicts these actions without error, so no head can be told "
                "from another. The actions may be constant, or one episode loaded twice: use other demonstrations."
            )

    def _ridge_errors(self, progress: Progress) -> np.ndarray:
        """float64 [1, unit, episode, dim]."""
        a = self.activations
        flat = a.outputs.reshape(len(a.outputs), -1, a.outputs.shape[-1])
        errors = ridge.ridge_frame_errors(flat, self.target.values, a.episode, a.frame, progress=progress)
        groups = [(a.episode == one) & self.counted for one in np.unique(a.episode)]
        return np.stack([errors[:, rows].sum(1, np.float64) for rows in groups], axis=1)[None]

    def _open_left(self, neighbours: Neighbours, progress: Progress) -> _OpenLeft:
        """What state and time leave open in every fold, and what heads tell of it."""
        a, target = self.activations, self.target
        conditioner = Conditioner(a, clock=self.zero == "time")
        residuals = conditioner.nested(target.values, target.scored, self.counted)
        progress.report(0.5, "Found what state and time leave open")
        squared = [
            (residuals[e, rows[self.counted[rows]]].astype(np.float64) ** 2).sum(0)
            for e, rows in enumerate(conditioner.rows)
        ]
        of_heads = conditional.errors(
            neighbours, residuals, target.scored, self.ks, self.counted, progress.part(0.5, 1)
        )
        return _OpenLeft(residuals, np.stack(squared), of_heads)

    def _choices(
        self,
        neighbours: Neighbours,
        error: np.ndarray,
        open_left: _OpenLeft | None,
        with_sets: bool,
        progress: Progress,
    ) -> dict[str, choice.Choice]:
        a, values = self.activations, self.target.values[:, self.target.scored]
        if self.metric != "knn":
            found = choice.linear(a, values, self.counted, error[0], self.inert)
        elif not with_sets:
            found = [choice.given(a, self.inert[s]) for s in range(len(self.inert))]
        elif open_left is not None:
            episodes, scored = np.unique(a.episode), list(self.target.scored)

            def judge(fold: int, heads: list[Head], k: int) -> float:
                held_out = a.episode == episodes[fold]
                return conditional.set_error(a, heads, open_left.residuals[fold][:, scored], held_out, self.counted, k)

            found = choice.judged(a, open_left.errors.inner, self.counted, self.ks, self.inert, judge, progress)
        elif self.preset == "default" and len(np.unique(a.episode)) >= choice.MIN_EPISODES:
            found = choice.nested(a, neighbours, values, self.counted, self.ks, self.inert, progress)
        else:
            found = choice.in_sample(a, values, self.counted, error, self.ks, self.inert)
        return {stack: c for stack, c in zip(self.activations.shape.names, found, strict=True) if c is not None}

    def _at_chosen(self, of_heads: np.ndarray, choices: Mapping[str, choice.Choice]) -> np.ndarray:
        """Mean error of each dimension at the k that each fold chose: float64 [stack, layer, head, dim]."""
        result = np.empty((*self.grid, of_heads.shape[-1]))
        for s, stack in enumerate(self.activations.shape.names):
            index = choices[stack].index if stack in choices else np.zeros(of_heads.shape[4], int)
            folds_errors = of_heads[index, s][np.arange(len(index)), ..., np.arange(len(index)), :]
            result[s] = folds_errors.sum(0) / self.counted.sum()
        return result

    def _dimension(self, at_best: np.ndarray, baseline: np.ndarray, dim: int) -> np.ndarray:
        return _explained(at_best[..., dim], float(baseline[:, dim].sum()) / self.counted.sum())

    def _share(self, choices: Mapping[str, choice.Choice]) -> np.ndarray | None:
        if not any(c.nested for c in choices.values()):
            return None
        empty = np.zeros(self.grid[1:], np.float32)
        names = self.activations.shape.names
        return np.stack([choices[stack].share if stack in choices else empty for stack in names])


def only_unconditional(preset: str, what: str) -> None:
    """Raise InputError for the preset `conditional`: `what` is not worked out under it."""
    if preset == CONDITIONAL:
        raise InputError(
            f"{what} cannot be had under the preset {preset!r}; its scores, their intervals and null, and "
            "the held-out error of its best heads can. Ask the preset 'default' or 'paper'."
        )


def zero_of(preset: str, target: targets.Target) -> str:
    """The baseline that a score of 0 equals; not one that holds the target itself."""
    zero = PRESETS[preset]
    return target.own_baseline if target.own_baseline and zero != MEAN else zero


def _explained(error: np.ndarray, zero: float) -> np.ndarray:
    """float32, 1 − error / zero; 0 where the baseline makes no error and nothing is left to explain."""
    return (1 - error / zero).astype(np.float32) if zero > 1e-12 else np.zeros(error.shape, np.float32)
