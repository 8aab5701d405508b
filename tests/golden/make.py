"""Golden values of the rooms that compute results, beside their versions: `PYTHONPATH=. python tests/golden/make.py`.

Small fixed inputs go through every room of `steering.stages`; numbers of each stand in `golden.json`. A room whose
numbers moved is refused until its RESULTS is raised. Seconds.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from steering import stages
from steering.comparison.compare import compare
from steering.comparison.intervals import wilson
from steering.relevance.scoring import score
from steering.selection import controls, rules
from steering.types import (
    CAMERAS,
    Activations,
    Demonstrations,
    Episode,
    FinetuneSettings,
    Head,
    HeadShape,
    Observation,
    Relevance,
    Rollouts,
    Selection,
)

if TYPE_CHECKING:
    from steering.models.flow import FlowPolicy

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


def noise(episodes: int = 1, frames: int = 4) -> Demonstrations:
    """Demonstrations of noise, as the embedded policy takes them."""
    generator, made = np.random.default_rng(9), []
    for i in range(episodes):
        cameras = {name: generator.integers(0, 256, (frames, 64, 64, 3), dtype=np.uint8) for name in CAMERAS}
        state = generator.standard_normal((frames, 8)).astype(np.float32)
        action = generator.uniform(-1, 1, (frames, 7)).astype(np.float32)
        made.append(Episode(f"noise {i}", "pick up the cube", 20.0, cameras, state, action))
    return Demonstrations("noise", "", (), tuple(made))


def embedded(demonstrations: Demonstrations) -> FlowPolicy:
    """The embedded policy."""
    from steering import policy_cache

    return policy_cache.get("embedded", None, demonstrations)


def captured() -> list[float]:
    """Means and spreads of the embedded policy's heads on four frames of noise."""
    from steering.activations.capture import capture

    outputs = capture(embedded(noise()), noise()).outputs
    return [float(v) for v in np.stack([outputs.mean((0, 3, 4)), outputs.std((0, 3, 4))]).ravel()]


def attribution() -> list[float]:
    """Scores of every head by measures that run the policy, each in shares of its largest."""
    from steering.attribution.scoring import attribute

    values = []
    for metric in ("gradient_activation", "attribution_patching"):
        score = attribute(embedded(noise()), noise(), metric, frames=2, samples=1).score
        values.append(score / np.abs(score).max())
    return [float(v) for v in np.stack(values).ravel()]


def finetune() -> list[float]:
    """Losses, held-out errors and trained numbers of three steps by three methods, in float32."""
    from steering.finetune.training import finetune as train

    demonstrations = noise(episodes=3)
    settings = FinetuneSettings(
        steps=3, batch_size=2, rank=2, learning_rate=0.02, warmup_steps=1, noise_samples=1, precision="float32"
    )
    heads = Selection((Head("vlm", 2, 1), Head("expert", 3, 4), Head("expert", 3, 5)), "manual")
    values: list[float] = []
    for method in ("steering", "lora", "dense_heads"):
        with tempfile.TemporaryDirectory() as folder:
            result = train(embedded(demonstrations), demonstrations, method, settings, heads, Path(folder))
        values += [*map(float, result.loss), *map(float, result.heldout_error), float(result.trainable_parameters)]
    return values


def rollout() -> list[float]:
    """What is left to the goal after ten steps in three scenes, seen as grey, and predictions on frames of noise."""
    from steering.rollout.open_loop import predict_chunks
    from steering.rollout.runner import run_scenes
    from steering.simulation.tasks import bench_scene

    def grey(seen: Observation) -> Observation:
        return replace(seen, cameras={name: np.full_like(images, 128) for name, images in seen.cameras.items()})

    scenes = [bench_scene(task, 4) for task in ("pick_cube", "press_button", "push_cup_to_bowl")]
    outcomes = run_scenes(embedded(noise()), scenes, [4, 5, 6], 10, see=grey, processes=1)
    chunks = predict_chunks(embedded(noise()), noise(), [0], method="zero_shot", stride=2).predicted
    return [*(float(one.distance_m) for one in outcomes), *map(float, chunks.ravel())]


def demonstrations() -> list[float]:
    """A recording by the expert, and a file of two episodes as it is guessed, judged and read."""
    from steering.demonstrations.guessing import guess
    from steering.demonstrations.health import examine
    from steering.demonstrations.importing import import_episodes
    from steering.demonstrations.readers.registry import open_dataset
    from steering.demonstrations.recording import record

    [recorded] = record("press_button", 1, seed=2).episodes
    values = [float(recorded.frames), *map(float, recorded.state[::20].ravel()), *map(float, recorded.action[5])]
    arrays: dict[str, np.ndarray] = {}
    for i, one in enumerate(noise(episodes=2, frames=12).episodes):
        arrays |= {f"episode_{i}/action": one.action, f"episode_{i}/state": one.state}
        arrays |= {f"episode_{i}/image.{name}": images for name, images in one.cameras.items()}
        arrays |= {f"episode_{i}/instruction": np.array(one.instruction), f"episode_{i}/rate_hz": np.array(20.0)}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "two.npz", allow_pickle=False, **arrays)
        with open_dataset(Path(folder) / "two.npz") as dataset:
            found = guess(dataset)
            problems = examine(dataset, found).problems
            read = import_episodes(dataset, found.mapping, image_px=32).demonstrations
    pictures = [episode.cameras[name].mean((0, 3))[::8, ::8] for episode in read.episodes for name in CAMERAS]
    values += [
        float(len(problems)),
        *(float(v) for one in read.episodes for v in (one.state[3], one.action[3]) for v in v),
    ]
    return [*values, *(float(v) / 255 for one in pictures for v in one.ravel())]


ROOMS: dict[str, Callable[[], list[float]]] = {
    "relevance": relevance,
    "selection": selection,
    "comparison": comparison,
    "simulation": simulation,
    "models": captured,
    "activations": captured,
    "attribution": attribution,
    "finetune": finetune,
    "rollout": rollout,
    "demonstrations": demonstrations,
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
