"""How fast head sets answer: the what-if line, why a head, its projection, and a step of greedy selection.

    python tests/benchmarks/bench_sets.py [--episodes 20] [--frames 80] [--repeats 7] [--quick] [--out FILE]

Noise at the size of the embedded policy (2 stacks of 8 layers × 8 heads × 32 dims). The what-if is asked of 20 heads
at four values of k; beside it scikit-learn's k-NN of the same set in the same run, so that the ratio holds on a loaded
machine too. Median seconds over the repeats, one JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.neighbors import KNeighborsRegressor

from steering.relevance import knn
from steering.relevance.projection import project
from steering.relevance.sets import GrowingSet, judge_of, set_errors
from steering.relevance.targets import named
from steering.relevance.why import why
from steering.types import Activations, Head

KS = (10, 20, 30, 40)
HEADS = tuple(Head("vlm", layer, head) for layer in range(3) for head in range(8))[:20]


def noise(episodes: int, frames: int) -> Activations:
    """Activations that carry nothing: the cost does not depend on what they say."""
    rng, count = np.random.default_rng(0), episodes * frames
    outputs = rng.standard_normal((2, count, 8, 8, 32), np.float32)
    action = rng.uniform(-1, 1, (count, 7)).astype(np.float32)
    heads = {"vlm": outputs[0], "expert": outputs[1]}
    return Activations.from_arrays(heads, action, np.repeat(np.arange(episodes), frames))


def by_scikit_learn(a: Activations) -> None:
    """The errors of the same set, a model per fold and k."""
    x = knn.joined(a, HEADS)
    for one in np.unique(a.episode):
        inside = a.episode == one
        for k in KS:
            model = KNeighborsRegressor(k, weights=lambda d: 1 / (d + 1e-8), algorithm="brute", metric="cosine")
            model.fit(x[~inside], a.action[~inside])
            model.predict(x[inside])


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a few steps, only to see that it runs")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.episodes, options.frames, options.repeats = 4, 30, 1
    a = noise(options.episodes, options.frames)
    phase, row = np.zeros(len(a.episode), np.int8), len(a.episode) // 2
    judge = judge_of(a, named("action", a, preset="paper"), np.ones(len(a.episode), bool), "paper")
    growing = GrowingSet(a, judge)
    candidates = tuple(Head("vlm", 4, head) for head in range(8))
    tasks: dict[str, Callable[[], object]] = {
        "what_if_s": lambda: set_errors(a, HEADS, judge, KS),
        "scikit_learn_s": lambda: by_scikit_learn(a),
        "why_s": lambda: why(a, HEADS[0], [row], 10),
        "projection_s": lambda: project(a, HEADS[0], phase),
        "greedy_step_of_8_s": lambda: growing(10, HEADS[:10], candidates),
    }
    took: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(options.repeats):
        for name, work in tasks.items():
            took[name].append(seconds(work))
    found = {name: float(np.median(values_s)) for name, values_s in took.items()}
    ratio = float(np.median(np.array(took["scikit_learn_s"]) / np.array(took["what_if_s"])))
    line = json.dumps({"frames": len(a.episode), **found, "what_if_speedup": round(ratio, 1)})
    print(line)
    if options.out:
        options.out.write_text(line + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
