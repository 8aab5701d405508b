"""Relevance beside what one would write at first: the paper preset against scikit-learn and against NumPy, in one run.

    python tests/benchmarks/bench_relevance.py [--size small|pi0] [--repeats 3] [--out FILE] [--skip-rest] [--quick]

Both rivals fit one regression for each head, fold and k, as the rule is usually written: scikit-learn's
KNeighborsRegressor (cosine, brute force), and plain NumPy (distances, argpartition, weighted mean). Their time is
proportional to the number of heads, so they are timed on `--rival-heads` heads and scaled. Runs are interleaved, the
best of each counts. Processor seconds stand beside wall seconds: they tell more where other work shares the cores.
`small`: 128 heads of 16 dims; `pi0`: 288 heads of 256 dims; 20 episodes of 60 frames, four ks.

Besides, at the embedded size (128 heads of 32 dims, 20 episodes of 80 frames): finding neighbours, a change of target,
phase and k, 200 permutations, 100 bootstrap replicates, and the strict score; and the memory that finding neighbours
adds at π0's size with 20 episodes of 300 frames (`--memory`; one minute).
Prints one JSON line.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsRegressor

from steering.metrics import KS
from steering.relevance import phases, targets
from steering.relevance.conditional_null import conditional_null
from steering.relevance.conditioning import Conditioner
from steering.relevance.knn import errors_of
from steering.relevance.null import permutation_null
from steering.relevance.scoring import prepare, rescore, score
from steering.relevance.stability import bootstrap
from steering.types import Activations

EPISODES = 20
SIZES = {"small": (4, 16, 16), "pi0": (18, 8, 256)}  # layers, heads and dims; twice as many heads in two stacks


def activations(layers: int, heads: int, dim: int, episodes: int, frames: int) -> Activations:
    """A random walk of outputs and actions, so that neighbours are as near as in real frames."""
    generator = np.random.default_rng(0)
    walk = generator.standard_normal((episodes, frames, 2 * layers * heads * dim), np.float32)
    np.cumsum(walk, axis=1, out=walk)
    count = episodes * frames
    action = np.tanh(walk[:, :, :7] / 5).reshape(count, 7)
    return Activations(
        outputs=walk.reshape(count, 2, layers, heads, dim),
        episode=np.repeat(np.arange(episodes), frames).astype(np.int32),
        frame=np.tile(np.arange(frames), episodes).astype(np.int32),
        action=action,
        chunk=np.repeat(action[:, None], 16, axis=1),
        state=generator.standard_normal((count, 8), np.float32),
        time_in_episode=np.tile(np.linspace(0, 1, frames), episodes).astype(np.float32),
        tokens=("last_prefix", "first_action"),
        timestep=1.0,
        seed=0,
        inert=np.zeros((2, layers, heads), bool),
    )


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


def numpy_loop(features: np.ndarray, action: np.ndarray, episode: np.ndarray) -> np.ndarray:
    """The same without a library: float64 [k, head]."""
    errors = np.zeros((len(KS), features.shape[1]))
    for i, k in enumerate(KS):
        for head in range(features.shape[1]):
            unit = features[:, head] / np.linalg.norm(features[:, head], axis=1, keepdims=True)
            for one in np.unique(episode):
                query, memory = episode == one, episode != one
                distance = 1 - unit[query] @ unit[memory].T
                near = np.argpartition(distance, k, axis=1)[:, :k]
                weight = 1 / (np.take_along_axis(distance, near, 1) + 1e-8)
                predicted = (weight[..., None] * action[memory][near]).sum(1) / weight.sum(1, keepdims=True)
                errors[i, head] += ((predicted - action[query]) ** 2).mean(1).sum()
    return errors / len(features)


def timed(runs: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Shortest [wall, processor] seconds of each run, taken in turn, and their last results."""
    best = {name: np.full(2, np.inf) for name in runs}
    results: dict[str, Any] = {}
    for _ in range(repeats):
        for name, run in runs.items():
            began_s = np.array([time.perf_counter(), time.process_time()])
            results[name] = run()
            best[name] = np.minimum(best[name], np.array([time.perf_counter(), time.process_time()]) - began_s)
    return best, results


def rivals(size: str, rival_heads: int, repeats: int, episodes: int) -> dict[str, Any]:
    """The paper preset of all heads beside both rivals."""
    a = activations(*SIZES[size], episodes, 60)
    features = a.outputs.reshape(len(a.outputs), -1, a.outputs.shape[-1])
    wide = features[:, :rival_heads].astype(np.float64), a.action.astype(np.float64), a.episode
    seconds, results = timed(
        {
            "ours": lambda: errors_of(features, a.action, a.episode, a.frame, KS).mean(-1),
            "sklearn": lambda: sklearn_loop(*wide),
            "numpy": lambda: numpy_loop(*wide),
        },
        repeats,
    )
    scale = features.shape[1] / rival_heads
    seconds |= {name: seconds[name] * scale for name in ("sklearn", "numpy")}
    difference = max(float(np.abs(results["ours"][:, :rival_heads] - results[n]).max()) for n in ("sklearn", "numpy"))
    return {
        "heads": features.shape[1],
        "dim": features.shape[2],
        "rivals_timed_on_heads": rival_heads,
        **{f"{name}_s": round(float(wall), 3) for name, (wall, _) in seconds.items()},
        **{f"{name}_processor_s": round(float(processor), 3) for name, (_, processor) in seconds.items()},
        "times_faster_than_sklearn": round(float(seconds["sklearn"][0] / seconds["ours"][0]), 1),
        "times_faster_than_numpy": round(float(seconds["numpy"][0] / seconds["ours"][0]), 1),
        "largest_difference": difference,
    }


def the_rest(repeats: int, episodes: int, permutations: int, replicates: int) -> dict[str, Any]:
    """Seconds of what rests on the neighbours, at the embedded size."""
    a = activations(8, 8, 32, episodes, 80)
    neighbours, target = prepare(a), targets.named("action", a)
    values, whole, inert = target.values[:, target.scored], np.ones(len(a.episode), bool), np.zeros((2, 8, 8), bool)
    found = phases.phases_of(a)
    some = found == np.bincount(found).argmax()
    common: dict[str, Any] = {"counted": whole, "inert": inert}
    given: dict[str, Any] = {"conditioner": Conditioner(a)}
    state, chunk = targets.named("state", a), targets.named("chunk", a)
    clock: dict[str, Any] = {"conditioner": Conditioner(a, clock=True)}
    number = itertools.count(1)

    def anew(target: targets.Target) -> targets.Target:
        return replace(target, values=target.values * next(number))  # so that its residuals are found again

    runs: dict[str, Callable[[], Any]] = {
        "find_neighbours": lambda: prepare(a),
        "another_target": lambda: rescore(a, neighbours, k=20, target=anew(state), **clock),
        "another_phase": lambda: rescore(a, neighbours, k=20, counted=some, **given),
        "another_k": lambda: rescore(a, neighbours, k=30, **given),
        "whole_chunk": lambda: rescore(a, neighbours, k=20, target=anew(chunk), **given),
        "paper_score": lambda: score(a, "paper", neighbours=neighbours),
    }
    slow: dict[str, Callable[[], Any]] = {
        f"null_{permutations}": lambda: permutation_null(neighbours, values, KS, permutations=permutations, **common),
        f"strict_null_{permutations}": lambda: conditional_null(
            neighbours, given["conditioner"], values, KS, permutations=permutations, **common
        ),
        f"bootstrap_{replicates}": lambda: bootstrap(
            neighbours, values, {"vlm": 20, "expert": 20}, replicates=replicates, **common
        ),
        "conditioner": lambda: Conditioner(a),
        "strict_score": lambda: score(a, "default", neighbours=neighbours),
    }
    seconds = timed(runs, repeats)[0] | timed(slow, 1)[0]
    size = neighbours.order.nbytes + neighbours.distance.nbytes
    walls = {f"{name}_s": round(float(wall), 3) for name, (wall, _) in seconds.items()}
    return {**walls, "neighbours_mb": round(size / 1e6, 1)}


def memory(episodes: int) -> dict[str, Any]:
    """Peak memory that finding neighbours adds at π0's size with 20 episodes of 300 frames, and its seconds."""
    a = activations(*SIZES["pi0"], episodes, 300)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began_s = time.perf_counter()
    neighbours = prepare(a)
    return {
        "activations_mb": round(a.outputs.nbytes / 1e6),
        "kept_mb": round((neighbours.order.nbytes + neighbours.distance.nbytes) / 1e6),
        "added_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mb),
        "seconds": round(time.perf_counter() - began_s, 1),
    }


def main() -> None:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=[*SIZES, "both"], default="both")
    parser.add_argument("--rival-heads", type=int, default=4, help="heads that the rivals are timed on")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="also measure memory; needs 6 GB")
    parser.add_argument("--skip-rest", action="store_true", help="only the rivals")
    parser.add_argument("--quick", action="store_true", help="a few steps, only to see that it runs")
    parser.add_argument("--out", type=Path, help="also write the JSON line to this file")
    given = parser.parse_args()
    episodes, permutations, replicates = EPISODES, 200, 100
    if given.quick:
        given.size, given.rival_heads, given.repeats, given.memory = "small", 1, 1, True
        episodes, permutations, replicates = 3, 2, 2
    result: dict[str, Any] = {"memory": memory(episodes)} if given.memory else {}
    for size in SIZES if given.size == "both" else (given.size,):
        result[size] = rivals(size, given.rival_heads, given.repeats, episodes)
    if not given.skip_rest:
        result["embedded"] = the_rest(given.repeats, episodes, permutations, replicates)
    line = json.dumps(result)
    print(line)
    if given.out is not None:
        given.out.write_text(line + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
