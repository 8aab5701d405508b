"""Golden values of the rooms that compute results, beside their versions: `PYTHONPATH=. python tests/golden/make.py`.

Small fixed inputs go through relevance, selection, comparison, the simulator and the embedded policy; numbers of each
stand in `golden.json`. A room whose numbers moved is refused until its RESULTS is raised. Seconds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from steering import stages
from steering.comparison.compare import compare
from steering.comparison.intervals import wilson
from steering.relevance.scoring import score
from steering.selection import controls, rules
from steering.types import Activations, HeadShape, Relevance, Rollouts

GOLDEN = Path(__file__).with_name("golden.json")
TOLERANCE = 1e-4


def activations() -> Activations:
    """Six episodes of a random policy with 2 x 2 x 3 heads, of which some hold the action."""
    generator, lengths = np.random.default_rng(3), (14, 12, 15, 13, 14, 12)
    count = sum(lengths)
    action = generator.uniform(-1, 1, (count, 7)).astype(np.float32)
    outputs = generator.standard_normal((count, 2, 2, 3, 8)).astype(np.float32)
    outputs[:, 0, 1, 2, :7] = action + 0.1 * outputs[:, 0, 1, 2, :7]
    return Activations(
        outputs=outputs,
        episode=np.repeat(np.arange(len(lengths)), lengths).astype(np.int32),
        frame=np.concatenate([np.arange(length) for length in lengths]).astype(np.int32),
        action=action,
        chunk=action[:, None],
        state=generator.standard_normal((count, 8)).astype(np.float32),
        time_in_episode=np.concatenate([np.linspace(0, 1, n) for n in lengths]).astype(np.float32),
        inert=np.zeros((2, 2, 3), bool),
        tokens=("last_prefix", "state"),
        timestep=1.0,
        seed=0,
    )


def relevance() -> list[float]:
    """Scores of every head by each preset and by ridge."""
    asked = [("paper", "knn"), ("default", "knn"), ("paper", "ridge")]
    return [float(v) for preset, metric in asked for v in score(activations(), preset, (5, 10), metric).score.ravel()]


def selection() -> list[float]:
    """Places of heads chosen by rule and control."""
    values = np.random.default_rng(5).permutation(48).reshape(2, 3, 8).astype(np.float32)
    stored = Relevance(
        metric="knn",
        preset="paper",
        target="action",
        score=values,
        error=np.zeros((1, 2, 3, 8), np.float32),
        ks=(10,),
        best_k={"vlm": 10, "expert": 10},
        cv_mse={"vlm": 0.5, "expert": 0.5},
        baselines={},
        inert=np.zeros((2, 3, 8), bool),
        tokens=("last_prefix", "state"),
    )
    shape = HeadShape.pair(3, 8, 16)
    best = rules.top_k(stored, 5)
    sets = [best, controls.bottom(stored, 4, ("vlm",)), controls.random_heads(best, shape, 7, stored.inert)]
    return [float(number) for one in sets for head in one.heads for number in shape.place(head)]


def comparison() -> list[float]:
    """Rates, intervals and a paired test of two methods in twelve scenes."""
    won = {"steering": [1] * 9 + [0] * 3, "lora": [1, 0] * 6}
    seeds = tuple(range(12))
    runs = [Rollouts(m, "pick_cube", (), seeds, np.array(w, bool), np.full(12, 9, np.int32)) for m, w in won.items()]
    pair = compare(runs).tests[0]
    return [*map(float, wilson(9, 12)), float(pair.p)]


def simulation() -> list[float]:
    """State and the cube's place after eight pushed actions in a scene of its own seed."""
    from steering.simulation.environment import BenchEnvironment

    bench = BenchEnvironment("pick_cube")
    try:
        bench.reset(seed=11)
        for turn in range(8):
            bench.step(np.array([0.5, -0.5, -1.0, 0.2, 0.0, 0.1, turn % 2], np.float32))
        return [float(value) for value in bench.world.state()]
    finally:
        bench.close()


def captured() -> list[float]:
    """Means and spreads of the embedded policy's heads on four frames of noise."""
    from steering import policy_cache
    from steering.activations.capture import capture
    from steering.types import CAMERAS, Demonstrations, Episode

    generator = np.random.default_rng(9)
    cameras = {name: generator.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8) for name in CAMERAS}
    state = generator.standard_normal((4, 8)).astype(np.float32)
    action = generator.uniform(-1, 1, (4, 7)).astype(np.float32)
    noise = Demonstrations("noise", "", (), (Episode("noise", "pick up the cube", 20.0, cameras, state, action),))
    outputs = capture(policy_cache.get("embedded", None, noise), noise).outputs
    return [float(v) for v in np.stack([outputs.mean((0, 3, 4)), outputs.std((0, 3, 4))]).ravel()]


ROOMS: dict[str, Callable[[], list[float]]] = {
    "relevance": relevance,
    "selection": selection,
    "comparison": comparison,
    "simulation": simulation,
    "models": captured,
    "activations": captured,
}


def moved(name: str, values: list[float]) -> bool:
    """Whether the values of a room are others than those that are kept."""
    kept = json.loads(GOLDEN.read_text(encoding="utf-8")).get(name, {}).get("values", [])
    return len(kept) != len(values) or not np.allclose(kept, values, atol=TOLERANCE)


def main() -> int:
    """Write the values; refused for a room whose numbers moved under the version that is kept."""
    kept = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.is_file() else {}
    for name, compute in ROOMS.items():
        values, version = compute(), stages.ROOMS[name].RESULTS
        if name in kept and moved(name, values) and kept[name]["version"] >= version:
            print(f"The numbers of {name} moved. Raise RESULTS in steering/{name}/__init__.py, then run this again.")
            return 1
        kept[name] = {"version": version, "values": values}
    GOLDEN.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
