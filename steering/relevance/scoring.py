"""From activations to a score per head, by preset, metric, target and phase; the one entry point of the stage.

Presets: `paper` predicts the raw action, scores explained variance, 1 − error / error of the mean action, and chooses
k in sample, as published. `default` asks what a head knows beyond robot state and time: it divides each dimension by
its standard deviation, scores the gripper apart, and predicts what state and time leave open (`conditioning`,
`conditional`); the score, or gain, is the share of it that the head tells, so a head that only knows state or clock
gets 0. It chooses k and the best set inside each held-out episode. Metrics: `knn` (the paper's) and `ridge` (a linear
probe).

    neighbours = prepare(activations)                       # the slow part, once
    conditioner = Conditioner(activations)                  # under `default`
    relevance = score(activations, "default", neighbours=neighbours, conditioner=conditioner)
    relevance = rescore(activations, neighbours, k=20, counted=frames, conditioner=conditioner)

Cost on two cores, 20 episodes of 100 frames at 128 heads of 32 dims: see NOTES.md, `bench_relevance.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from steering.errors import InputError, unknown_name
from steering.metrics import FROM_ACTIVATIONS, KS, PRESETS
from steering.progress import Progress
from steering.relevance import choice, conditional, ridge, targets
from steering.relevance.baselines import MEAN, baseline_features, contenders, mean_errors
from steering.relevance.conditioning import Conditioner, can_condition
from steering.relevance.neighbours import DEPTH, check_ks, find
from steering.relevance.phases import WHOLE
from steering.relevance.regression import episode_errors, episode_sums
from steering.types import Activations, Head, Neighbours, Relevance

METRICS = FROM_ACTIVATIONS
_NO_PROGRESS = Progress()


def prepare(activations: Activations, depth: int = DEPTH, progress: Progress = _NO_PROGRESS) -> Neighbours:
    """The neighbours that every later score of these activations rests on; `depth` is the largest k, or more."""
    return find(activations, baseline_features(activations), depth, progress)


def score(
    activations: Activations,
    preset: str | None = None,
    ks: Sequence[int] = KS,
    metric: str = "knn",
    progress: Progress = _NO_PROGRESS,
    *,
    include_inert: bool = False,
    target: targets.Target | None = None,
    counted: np.ndarray | None = None,
    phase: str = WHOLE,
    neighbours: Neighbours | None = None,
    conditioner: Conditioner | None = None,
) -> Relevance:
    """Score every head.

    preset: one of PRESETS; unset, that of `fitting_preset`. ks: numbers of neighbours of the k-NN metric and of the
    baselines. include_inert: heads that cannot move an action may be chosen too, as in the authors' release; else they
    are scored (`Activations.inert`) and take no part in the best set, and no rule chooses them. The relevance then
    holds no head inert.
    target: from `targets.named`; the preset's action by default. counted: bool [frame], frames whose errors count,
    those of `phase`; all by default. neighbours, conditioner: from `prepare` and `Conditioner` (`clock_only`) on the
    same activations, where they are at hand.

    Under `paper`, `best_k` is per stack the k whose PAPER_SET_SIZE best heads, concatenated, have the lowest error
    `cv_mse`, and heads are scored at that k. Under `default`, which needs `conditioning.MIN_EPISODES` episodes and the
    robot's state, each episode's errors are those at the k that the others chose (`fold_k`; `best_k` is the most
    frequent), and `cv_mse` is of held-out episodes. The ridge metric has no k: its `ks` and `best_k` are empty, `error`
    has one row, its set is chosen in sample.
    """
    preset = preset or fitting_preset(activations)
    return _Scoring(activations, preset, ks, metric, include_inert, target, counted, phase, conditioner).relevance(
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
    conditioner: Conditioner | None = None,
) -> Relevance:
    """k-NN scores at a given k, at once: with no set to choose, `cv_mse` is empty. Arguments as those of `score`."""
    scoring = _Scoring(activations, preset, (k,), "knn", include_inert, target, counted, phase, conditioner)
    return scoring.relevance(neighbours, _NO_PROGRESS, with_sets=False)


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
        conditioner: Conditioner | None,
    ) -> None:
        if preset not in PRESETS:
            raise unknown_name("preset", preset, PRESETS)
        if metric not in METRICS:
            raise unknown_name("metric", metric, METRICS)
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
        self.strict = self.zero != MEAN
        if conditioner is None and (self.strict or can_condition(activations)):
            conditioner = Conditioner(activations, clock=self.strict and clock_only(self.target))
        self.conditioner = conditioner

    def relevance(self, neighbours: Neighbours | None, progress: Progress, *, with_sets: bool) -> Relevance:
        a, scored = self.activations, list(self.target.scored)
        neighbours = self._neighbours(neighbours, progress.part(0, 0.3))
        baselines = self._baselines(neighbours, progress.part(0.3, 0.35))
        residuals = left_open(a, self.target, self.counted, self.preset, self.conditioner)
        if residuals is not None:
            left = conditional.own(residuals, a.episode).astype(np.float64) ** 2
            baselines[self.zero] = episode_sums(a.episode, self.counted).astype(np.float64) @ left
            progress.report(0.4, "Found what state and time leave open")
        mean = {name: float(e[:, scored].sum() / self.counted.sum() / len(scored)) for name, e in baselines.items()}
        self._check_zero(mean)
        of_heads, inner = self._errors(neighbours, residuals, progress.part(0.4, 0.6))
        of_heads = of_heads.reshape(len(of_heads), *self.grid, *of_heads.shape[2:])
        # [k, stack, layer, head, episode, dim]
        error = of_heads[..., scored].sum((-2, -1)) / self.counted.sum() / len(scored)
        choices = self._choices(residuals, error, inner, with_sets, progress.part(0.6, 1))
        progress.report(1.0, "Scored every head")
        at_best = self._at_chosen(of_heads, choices)  # [stack, layer, head, dim]
        main = at_best[..., scored].mean(-1)
        below = baselines[self.zero]
        grippers = [self._dimension(at_best, below, d) for d in self.target.grippers]
        known = "state_time" in mean and self.target.own_baseline is None
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
            gain=_explained(main, mean["state_time"]) if known else None,
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
            return find(a, baseline_features(a), max(self.ks), progress, of_heads=self.metric == "knn")
        same = np.array_equal(neighbours.episode, a.episode) and np.array_equal(neighbours.frame, a.frame)
        if not same or neighbours.grid != self.grid:
            raise InputError("The neighbours were found in other activations. Find them again in these.")
        return neighbours

    def _check_zero(self, mean: Mapping[str, float]) -> None:
        if mean[self.zero] < 1e-12:
            raise InputError(
                f"The baseline {self.zero!r} already predicts these actions without error, so no head can be told "
                "from another. The actions may be constant, or one episode loaded twice: use other demonstrations."
            )

    def _baselines(self, neighbours: Neighbours, progress: Progress) -> dict[str, np.ndarray]:
        """Squared error of what sees no head, summed over each episode's frames that count: float64 [episode, dim]."""
        a, target, scored = self.activations, self.target, list(self.target.scored)
        found = {MEAN: mean_errors(target.values, a.episode, a.frame, self.counted)}
        heads = int(np.prod(neighbours.grid))
        units = range(heads, heads + len(neighbours.baselines))
        errors = episode_errors(neighbours, target.values, self.ks, self.counted, progress, units)
        for name in neighbours.baselines:
            each = errors[:, contenders(name, neighbours.baselines)]
            offered = list(each.reshape(-1, *errors.shape[2:]))  # [k * contender][episode, dim]
            if name == "state_time" and self.conditioner is not None and not self.strict:
                left = self.conditioner.own(target.values, scored) ** 2
                offered.append(episode_sums(a.episode, self.counted).astype(np.float64) @ left)
            found[name] = min(offered, key=lambda one: float(one[:, scored].sum()))
        return found

    def _errors(
        self, neighbours: Neighbours, residuals: np.ndarray | None, progress: Progress
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Squared errors of every head summed over each episode, float64 [k, head, episode, dim]; and those that choose
        inside each held-out episode, float64 [episode, k, head], where the choice is nested.
        """
        a, target = self.activations, self.target
        if self.metric != "knn":
            flat = a.outputs.reshape(len(a.outputs), -1, a.outputs.shape[-1])
            asked = target.values if residuals is None else residuals
            errors = ridge.ridge_frame_errors(flat, asked, a.episode, a.frame, progress=progress)
            groups = [(a.episode == one) & self.counted for one in np.unique(a.episode)]
            return np.stack([errors[:, rows].sum(1, np.float64) for rows in groups], axis=1)[None], None
        if residuals is not None:
            of_heads = conditional.errors(neighbours, residuals, target.scored, self.ks, self.counted, progress)
            return of_heads.held_out, of_heads.inner
        units = range(int(np.prod(neighbours.grid)))
        return episode_errors(neighbours, target.values, self.ks, self.counted, progress, units), None

    def _choices(
        self,
        residuals: np.ndarray | None,
        error: np.ndarray,
        inner: np.ndarray | None,
        with_sets: bool,
        progress: Progress,
    ) -> dict[str, choice.Choice]:
        a, scored = self.activations, list(self.target.scored)
        values = (self.target.values if residuals is None else residuals)[..., scored]
        if self.metric != "knn":
            found = choice.linear(a, values, self.counted, error[0], self.inert)
        elif not with_sets:
            found = [choice.given(a, self.inert[s]) for s in range(len(self.inert))]
        elif inner is not None:
            episodes = np.unique(a.episode)

            def judge(fold: int, heads: list[Head], k: int) -> float:
                return conditional.set_error(a, heads, values[fold], a.episode == episodes[fold], self.counted, k)

            found = choice.judged(a, inner, self.counted, self.ks, self.inert, judge, progress)
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


def fitting_preset(activations: Activations) -> str:
    """`default`, the strict score, where there are episodes enough and the robot's state; else `paper`."""
    return "default" if can_condition(activations) else "paper"


def zero_of(preset: str, target: targets.Target) -> str:
    """The baseline that a score of 0 equals; not one that holds the target itself."""
    zero = PRESETS[preset]
    return target.own_baseline if target.own_baseline and zero != MEAN else zero


def left_open(
    activations: Activations,
    target: targets.Target,
    counted: np.ndarray,
    preset: str,
    conditioner: Conditioner | None,
) -> np.ndarray | None:
    """What state and time leave open of the target, float32 [episode, frame, dim]; None where a score is over the mean.

    Arguments as those of `score`; see `Conditioner.nested`.
    """
    if zero_of(preset, target) == MEAN:
        return None
    conditioner = conditioner or Conditioner(activations, clock=clock_only(target))
    return conditioner.nested(target.values, target.scored, counted)


def clock_only(target: targets.Target) -> bool:
    """Whether what leaves a target open is the clock alone: the state would hold the target itself."""
    return target.own_baseline == "time"


def _explained(error: np.ndarray, zero: float) -> np.ndarray:
    """float32, 1 − error / zero; 0 where the baseline makes no error and nothing is left to explain."""
    return (1 - error / zero).astype(np.float32) if zero > 1e-12 else np.zeros(error.shape, np.float32)
