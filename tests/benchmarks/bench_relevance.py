"""k-NN relevance of a usual capture, ours beside a scikit-learn loop in the same run.

    python tests/benchmarks/bench_relevance.py [--heads 128] [--dim 32] [--episodes 20] [--frames 60] [--out FILE]

Prints one JSON line: best-of-`repeats` seconds of each, their ratio, and the largest difference of any head's error
(the two must agree). The loop fits one KNeighborsRegressor for each head, fold and k, as the rule is usually written;
it is timed on `loop-heads` heads and scaled, since its time is proportional to their number.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.neighbors import KNeighborsRegressor

from steering.relevance.knn import KS
from steering.relevance.neighbours import frame_errors


def sklearn_loop(features: np.ndarray, action: np.ndarray, episode: np.ndarray) -> np.ndarray:
    """Error of each head at each k, float64 [k, head]."""
    errors = np.zeros((len(KS), features.shape[1]))
    for i, k in enumerate(KS):
        for head in range(features.shape[1]):
            for one in np.unique(episode):
                query, memory = episode == one, episode != one
                model = KNeighborsRegressor(k, weights=lambda d: 1 / (d + 1e-8), algorithm="brute", metric="cosine")
                predicted = model.fit(features[memory, head], action[memory]).predict(features[query, head])
                errors[i, head] += ((predicted - action[query]) ** 2).mean(1).sum()
    return errors / len(features)


def best_s(run: Callable[[], np.ndarray], repeats: int) -> tuple[float, np.ndarray]:
    """Shortest wall time of `repeats` runs, and the last result."""
    times = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - began_s)
    return min(times), result


def main() -> None:
    """Time both on the same random walk of outputs and actions, so that neighbours are as near as in real frames."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("heads", 128), ("dim", 32), ("episodes", 20), ("frames", 60), ("loop-heads", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write the JSON line to this file")
    given = parser.parse_args()

    generator = np.random.default_rng(0)
    walk = generator.standard_normal((given.episodes, given.frames, given.heads * given.dim)).cumsum(1)
    features = walk.reshape(-1, given.heads, given.dim).astype(np.float32)
    action = np.tanh(walk[:, :, :7] / 5).reshape(-1, 7).astype(np.float32)
    episode = np.repeat(np.arange(given.episodes), given.frames)
    frame = np.tile(np.arange(given.frames), given.episodes)
    some = features[:, : given.loop_heads]

    ours_s, errors = best_s(lambda: frame_errors(features, action, episode, frame, KS).mean(-1), given.repeats)
    loop_s, expected = best_s(lambda: sklearn_loop(some.astype(np.float64), action.astype(np.float64), episode), 1)
    loop_s *= given.heads / some.shape[1]
    line = json.dumps(
        {
            "frames": len(features),
            "heads": given.heads,
            "dim": given.dim,
            "ours_s": round(ours_s, 3),
            "sklearn_loop_s": round(loop_s, 2),
            "ratio": round(loop_s / ours_s, 1),
            "largest_difference": float(np.abs(errors[:, : some.shape[1]] - expected).max()),
        }
    )
    print(line)
    if given.out is not None:
        given.out.write_text(line + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
