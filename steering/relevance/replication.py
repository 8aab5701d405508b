"""Would other demonstrations have chosen the same heads? Two pools of demonstrations, scored without each other.

As many episodes are drawn from each pool, without replacement, and scored from nothing; draws from both pools share
nothing, so that the agreement is that of independent demonstrations and not of resamples of the same. (A bootstrap
within one pool, as in `steering.relevance.stability`, shares episodes and flatters.)
Cost on two cores: each draw of 20 episodes of 80 frames about 1.5 s for both pools, of 10 episodes about 0.5 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from steering.errors import InputError
from steering.metrics import PRESETS
from steering.progress import Progress
from steering.relevance import folds
from steering.relevance.baselines import MEAN
from steering.relevance.conditioning import MIN_EPISODES
from steering.relevance.keyframes import take
from steering.relevance.scoring import prepare, rescore
from steering.relevance.stability import nogueira, ranks
from steering.types import PAPER_SET_SIZE, Activations, Replication

REPLICATES = 20


def replicate(
    pools: tuple[Activations, Activations],
    k: Mapping[str, int],
    counts: Sequence[int],
    *,
    preset: str,
    set_size: int = PAPER_SET_SIZE,
    replicates: int = REPLICATES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Replication:
    """Agreement of the sets and scores of the two pools for each number of demonstrations in `counts`.

    k: stack -> neighbours, fewer where a draw has not as many frames. Where a draw takes a whole pool, one pair
    is drawn. Heads inert in either pool are left out. Stacks with no more than `set_size` movable heads are left out.
    """
    progress = progress or Progress()
    episodes = [np.unique(pool.episode) for pool in pools]
    fewest, least = min(map(len, episodes)), 2 if PRESETS[preset] == MEAN else MIN_EPISODES
    if not counts or min(counts) < least or max(counts) > fewest:
        raise InputError(
            f"Expected numbers of demonstrations from {least} to {fewest}, all that both pools have, got "
            f"{list(counts)}."
        )
    shape = pools[0].shape
    if not shape.has_the_heads_of(pools[1].shape):
        raise InputError(f"Expected outputs of the same heads, got {shape.words()} and {pools[1].shape.words()}.")
    inert = pools[0].inert | pools[1].inert
    stacks = [s for s, stack in enumerate(shape.names) if stack in k and (~inert[s]).sum() > set_size]
    found = {s: np.full((len(counts), 2, 3), np.nan, np.float32) for s in stacks}
    work = [(index, draw) for index, n in enumerate(counts) for draw in range(1 if n == fewest else replicates)]
    alike: dict[int, list[list[tuple[float, float]]]] = {s: [[] for _ in counts] for s in stacks}
    for done, (index, draw) in enumerate(work):
        progress.report(done / len(work), f"{counts[index]} demonstrations: draw {draw + 1}")
        generator = np.random.default_rng((seed, index, draw))
        pair = []
        for pool, known in zip(pools, episodes, strict=True):
            kept = generator.permutation(known)[: counts[index]]
            pair.append(_scores(take(pool, np.isin(pool.episode, kept)), k, preset))
        for s in stacks:
            alike[s][index].append(_agreement(np.stack([one[s] for one in pair]), inert[s], set_size))
    for s in stacks:
        for index, pairs in enumerate(alike[s]):
            found[s][index] = [_summary(np.array(values)) for values in zip(*pairs, strict=True)]
    progress.report(1.0, "Compared the choices of both pools")
    return Replication(
        counts=tuple(int(count) for count in counts),
        stability={shape.names[s]: found[s][:, 0] for s in stacks},
        rho={shape.names[s]: found[s][:, 1] for s in stacks},
        set_size=set_size,
        replicates=replicates,
    )


def _scores(activations: Activations, k: Mapping[str, int], preset: str) -> dict[int, np.ndarray]:
    """Place of the stack -> score of its heads at its k, float32 [layer, head]."""
    most = folds.fewest_training_frames(activations.episode, activations.frame)
    of_stack = {activations.shape.index(stack): min(value, most) for stack, value in k.items()}
    neighbours = prepare(activations, max(of_stack.values()))
    scores = {value: rescore(activations, neighbours, k=value, preset=preset).score for value in set(of_stack.values())}
    return {s: scores[value][s] for s, value in of_stack.items()}


def _agreement(scores: np.ndarray, inert: np.ndarray, set_size: int) -> tuple[float, float]:
    """Nogueira's S of the sets of best heads and Spearman's ρ of two score lists, float [2, layer, head]."""
    place = ranks(scores, inert)[:, ~inert]
    return nogueira(place <= set_size)[1], float(np.corrcoef(place)[0, 1])


def _summary(values: np.ndarray) -> tuple[float, float, float]:
    """Low end, mean and high end; the ends are NaN for a single value."""
    if len(values) == 1:
        return float("nan"), float(values[0]), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(values.mean()), float(high)
