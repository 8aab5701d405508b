"""How often heads of the state alone pass for more than state, under the strict score.

Each data set has 20 episodes whose action follows robot state and time, with noise that lasts within an episode; eight
heads hold two joints each, or the clock, and nothing else. A family-wise p ≤ .05 of any of them is a false alarm: at
most one data set in twenty should have one. One more head holds the cause that state and time do not tell, and should
be found. `--sets` (200) and `--permutations` (99) set the work, about two seconds a data set; `--quick` takes one.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import stats

from steering.relevance.conditioning import Conditioner
from steering.relevance.scoring import prepare, score
from steering.relevance.targets import named
from steering.relevance.trust import trust
from steering.types import Activations, Robot

EPISODES, KS = 20, (10, 20)
PLANTED = 8


def data_set(seed: int) -> Activations:
    """Heads 0 to 7 of the only layer hold joints or the clock; the last holds the hidden cause."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(25, 40, EPISODES)
    episode = np.repeat(np.arange(EPISODES, dtype=np.int32), lengths)
    clock = np.concatenate([np.linspace(0, 1, n) for n in lengths])[:, None]
    start = generator.standard_normal((EPISODES, 8))[episode]
    state = start + np.sin(3 * clock + start) + 0.1 * generator.standard_normal((len(clock), 8))
    lasting = generator.standard_normal((EPISODES, 7))[episode] * np.cos(3 * clock)
    action = np.tanh(state[:, :7]) + np.sin(4 * clock) + 0.5 * lasting
    outputs = np.zeros((len(clock), 1, 1, PLANTED + 1, 3), np.float32)
    outputs[..., 2] = 1
    for head in range(PLANTED - 1):
        outputs[:, 0, 0, head, :2] = state[:, [head, (head + 1) % 8]]
    outputs[:, 0, 0, PLANTED - 1, 0] = clock[:, 0]
    outputs[:, 0, 0, PLANTED, :2] = lasting[:, :2]
    return Activations.from_arrays(
        {"expert": outputs[:, 0]}, action, episode, state=state, time=clock[:, 0], robot=Robot()
    )


def main() -> None:
    """Print the share of data sets with a false alarm, its interval, and how often the telling head is found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--permutations", type=int, default=99)
    parser.add_argument("--quick", action="store_true", help="a few steps, only to see that it runs")
    asked = parser.parse_args()
    if asked.quick:
        asked.sets, asked.permutations = 1, 3
    alarms, found, gains = 0, 0, []
    for seed in range(asked.sets):
        activations = data_set(seed)
        target, counted = named("action", activations), np.ones(len(activations.episode), bool)
        neighbours, conditioner = prepare(activations), Conditioner(activations)
        relevance = score(activations, "default", KS, neighbours=neighbours, conditioner=conditioner)
        trusted = trust(
            relevance,
            neighbours,
            target,
            counted,
            replicates=2,
            permutations=asked.permutations,
            seed=seed,
            set_size=2,
            conditioner=conditioner,
        )
        alarms += bool((trusted.p[0, 0, :PLANTED] <= 0.05).any())
        found += bool(trusted.p[0, 0, PLANTED] <= 0.05)
        gains.append(float(relevance.score[0, 0, :PLANTED].max()))
    interval = stats.binomtest(alarms, asked.sets).proportion_ci(method="wilson")
    print(
        f"False alarms in {alarms} of {asked.sets} data sets, {interval.low:.3f} to {interval.high:.3f}; the telling "
        f"head found in {found}. The largest gain of a head of the state: median {np.median(gains):.3f}, most "
        f"{max(gains):.3f}."
    )


if __name__ == "__main__":
    main()
