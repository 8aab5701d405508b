"""How often the intervals of both scores hold a known value: 93 to 97 of 100 is what they promise.

Each data set has 20 episodes whose action follows robot state, time and causes of its own; four heads tell the causes
more and less clearly, down to nothing. The known value of a head is its mean score over all data sets. `--sets` (200)
and `--replicates` (100) set the work, about a second a data set; `--quick` takes two.
"""

from __future__ import annotations

import argparse

import numpy as np

from steering.relevance.conditioning import Conditioner
from steering.relevance.scoring import prepare, rescore
from steering.relevance.targets import named
from steering.relevance.trust import trust
from steering.types import Activations, Robot

EPISODES, FRAMES, K = 20, 25, 10
NOISE = (0.1, 0.5, 1.5, 6.0)


def data_set(seed: int) -> Activations:
    """The heads of the only layer hold the causes of the action with the noise of NOISE."""
    generator = np.random.default_rng(seed)
    episode = np.repeat(np.arange(EPISODES, dtype=np.int32), FRAMES)
    clock = np.tile(np.linspace(0, 1, FRAMES), EPISODES)[:, None]
    cause = generator.standard_normal((EPISODES, 3))[episode]
    state = generator.standard_normal((EPISODES, 4))[episode] + np.sin(3 * clock)
    own = 0.3 * generator.standard_normal((EPISODES, 4))[episode]
    moved = np.hstack(
        [np.sin(3 * clock + cause[:, :1]), cause[:, 1:2] * np.cos(2 * clock), np.cos(4 * clock) * cause[:, 2:]]
    )
    action = np.hstack([moved, moved[:, :1]]) + 0.5 * np.tanh(state) + own
    turn = np.hstack([np.cos(3 * clock + cause[:, :1]), np.sin(3 * clock + cause[:, :1])])
    told = np.hstack([turn, moved[:, 1:], clock, np.ones_like(clock)])
    outputs = np.empty((len(episode), 1, 1, len(NOISE), told.shape[1]), np.float32)
    for head, noise in enumerate(NOISE):
        lasting = generator.standard_normal((EPISODES, told.shape[1]))[episode]
        outputs[:, 0, 0, head] = told + noise * (0.6 * lasting + 0.4 * generator.standard_normal(told.shape))
    return Activations.from_arrays(
        {"expert": outputs[:, 0]}, action, episode, state=state, time=clock[:, 0], robot=Robot()
    )


def intervals(preset: str, sets: int, replicates: int) -> np.ndarray:
    """float [set, head, 3]: low end, score and high end."""
    found = np.empty((sets, len(NOISE), 3))
    for seed in range(sets):
        activations = data_set(seed)
        target, counted = named("action", activations, preset=preset), np.ones(len(activations.episode), bool)
        neighbours, conditioner = prepare(activations), Conditioner(activations)
        relevance = rescore(activations, neighbours, k=K, preset=preset, conditioner=conditioner)
        given = {"set_size": 2, "permutations": 0, "replicates": replicates, "seed": seed, "conditioner": conditioner}
        trusted = trust(relevance, neighbours, target, counted, **given)
        found[seed] = np.stack([trusted.score_low, relevance.score, trusted.score_high], -1)[0, 0]
    return found


def main() -> None:
    """Print, for each preset and head, the known score and the share of intervals that hold it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="a few steps, only to see that it runs")
    asked = parser.parse_args()
    if asked.quick:
        asked.sets, asked.replicates = 2, 4
    for preset in ("paper", "default"):
        low, score, high = np.moveaxis(intervals(preset, asked.sets, asked.replicates), -1, 0)
        known = score.mean(0)
        held = ((low <= known) & (known <= high)).mean(0)
        for head, noise in enumerate(NOISE):
            error = np.sqrt(held[head] * (1 - held[head]) / asked.sets)
            print(f"{preset}, noise {noise}: known score {known[head]:.3f}, held in {held[head]:.3f} ± {error:.3f}")
        print(f"{preset}: {held.mean():.3f} of all intervals; {asked.sets} data sets")


if __name__ == "__main__":
    main()
