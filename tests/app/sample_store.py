"""A small store with synthetic but plausible artefacts, for tests of the page: `python sample_store.py DIR [LAYERS]`.

Nothing here is a measurement. A block slides across a table in both cameras; relevance, attention, adapters, rollouts
and a comparison follow from a seed.
"""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from steering.comparison.compare import compare
from steering.store import Store
from steering.types import (
    Activations,
    Attention,
    Demonstrations,
    Episode,
    FinetuneResult,
    FinetuneSettings,
    HeadShape,
    Relevance,
    Rollouts,
    Selection,
    Trust,
)

LAYERS, HEADS, GRID = 8, 8, 6


def frames(rng: np.random.Generator, count: int, size: int, zoom: float) -> np.ndarray:
    """uint8 [frame, size, size, 3]: a red block and a blue bowl on a wooden table."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    table = np.stack([150 + 25 * y, 122 + 18 * y, 96 + 12 * y], -1)
    start, goal = rng.uniform(0.2, 0.45, 2), rng.uniform(0.6, 0.8, 2)
    table[np.hypot(x - goal[0], y - goal[1]) < 0.11 * zoom] = (52, 96, 168)
    empty = table.astype(np.uint8)
    images = np.repeat(empty[None], count, 0)
    for image, t in zip(images, np.linspace(0, 1, count), strict=True):
        at = start + (goal - start) * np.clip(1.6 * t - 0.3, 0, 1)
        block = (abs(x - at[0]) < 0.05 * zoom) & (abs(y - at[1]) < 0.05 * zoom)
        image[block] = (196, 52, 44)
        arm = abs(x - at[0] - 0.1 * (at[1] - y)) < 0.022 * zoom
        image[arm & (y < at[1] - 0.04)] = (226, 228, 232)
    return images


def episode(seed: int, instruction: str, count: int, size: int, success: bool = True) -> Episode:
    """One demonstration of `count` frames."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, count)[:, None]
    action = np.clip(np.sin(2 * np.pi * t * rng.uniform(0.3, 1.4, 7) + rng.uniform(0, 6, 7)) * 0.7, -1, 1)
    action[:, 6] = np.where((t[:, 0] > 0.4) & (t[:, 0] < 0.9), 1, -1)
    state = np.cumsum(rng.normal(0, 0.03, (count, 8)), 0)
    return Episode(
        name=f"episode {seed}",
        instruction=instruction,
        rate_hz=20.0,
        cameras={"exterior": frames(rng, count, size, 1.0), "wrist": frames(rng, count, size, 1.9)},
        state=state.astype(np.float32),
        action=action.astype(np.float32),
        phase=np.searchsorted([0.4, 0.5, 0.9], t[:, 0], side="right").astype(np.int8),
        success=success,
        seed=seed,
    )


def relevance(seed: int) -> Relevance:
    """Scores with a band of good VLM heads and better expert heads; the last VLM layer is inert."""
    rng = np.random.default_rng(seed)
    shape = (2, LAYERS, HEADS)
    layer = np.arange(LAYERS)[:, None]
    vlm = 0.28 * np.exp(-(((layer - 4.5) / 2) ** 2)) - 0.12 + rng.normal(0, 0.05, (LAYERS, HEADS))
    expert = 0.16 + 0.045 * layer + rng.normal(0, 0.06, (LAYERS, HEADS))
    score = np.stack([vlm, expert]).astype(np.float32)
    error = np.stack([0.2 * (1 - score) * (1 + 0.02 * i) for i in range(4)]).astype(np.float32)
    inert = np.zeros(shape, bool)
    inert[0, -1] = True
    return Relevance(
        metric="knn",
        preset="paper",
        target="raw action",
        score=score,
        error=error,
        ks=(10, 20, 30, 40),
        best_k={"vlm": 10, "expert": 10},
        cv_mse={"vlm": 0.14, "expert": 0.11},
        baselines={"mean_action": 0.2, "time": 0.17, "state": 0.15, "state_time": 0.145},
        inert=inert,
        tokens=("last_prefix", "first_action"),
    )


def trust(scored: Relevance) -> Trust:
    """Intervals about the scores; a few heads in the best set of some replicates only."""
    rng = np.random.default_rng(8)
    shape = scored.score.shape
    rank = np.argsort(np.argsort(-scored.score.reshape(2, -1), axis=1), axis=1).reshape(shape) + 1.0
    return Trust(
        score_low=scored.score - 0.04,
        score_high=scored.score + 0.05,
        rank_low=np.maximum(rank - 3, 1),
        rank_high=rank + 4,
        chosen_share=np.clip(rng.normal(0.9 * (rank <= 20), 0.12), 0, 1),
        stability={"vlm": (0.5, 0.6, 0.7), "expert": (0.4, 0.5, 0.6)},
        p=np.full(shape, 0.02),
        p_head=np.full(shape, 0.01),
        null_max=np.zeros(9, np.float32),
        replicates=20,
        permutations=9,
        set_size=20,
        seed=0,
    )


def attention(seed: int, count: int) -> Attention:
    """Attention that wanders over the patches, a different way for every head."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, count)[:, None, None, None, None]
    centre = 0.5 + 0.35 * np.sin(
        2 * np.pi * (t * rng.uniform(0.2, 1, (1, 2, LAYERS, HEADS, 4)) + rng.random((1, 2, LAYERS, HEADS, 4)))
    )
    y, x = np.mgrid[0:GRID, 0:GRID].reshape(2, -1) / GRID + 0.5 / GRID
    weight = np.stack(
        [np.exp(-((x - centre[..., c : c + 1]) ** 2 + (y - centre[..., c + 1 : c + 2]) ** 2) / 0.04) for c in (0, 2)], 4
    )
    weight *= rng.uniform(0.2, 1, (1, 2, LAYERS, HEADS, 2, 1))
    image = 255 * weight / weight.max((4, 5), keepdims=True)
    mass = rng.dirichlet([1.2, 1, 0.5, 0.4, 0.4], (1, 2, LAYERS, HEADS)) + 0.05 * rng.random(
        (count, 2, LAYERS, HEADS, 5)
    )
    mass[:, 0, :, :, 3:] = 0
    mass /= mass.sum(-1, keepdims=True)
    return Attention(image.astype(np.uint8), mass.astype(np.float32), GRID)


def trace(seed: int, method: str, steps: int = 40) -> dict[str, object]:
    """A recorded path as `steering.rollout.tracing` writes it: an arc from the arm's rest to a bowl."""
    rng = np.random.default_rng([seed, len(method)])
    t = np.linspace(0, 1, steps + 1)[:, None]
    goal = np.array([0.5, 0.2, 0.1]) + rng.normal(0, 0.02, 3)
    path = (1 - t) * np.array([0.35, -0.1, 0.3]) + t * goal + np.sin(np.pi * t) * rng.normal(0, 0.03, 3)
    places = np.stack([0.2 + 0.6 * t[:, 0], 0.3 + 0.4 * t[:, 0]], axis=1)
    chunks = []
    for step in range(0, steps, 5):
        ahead = slice(step, step + 11)
        pixels = {camera: places[ahead].round(4).tolist() for camera in ("exterior", "wrist")}
        chunks.append({"step": step, "path_m": path[ahead].round(4).tolist(), "path_px": pixels})
    thing = {"name": "cube", "phrase": "red cube", "radius_m": 0.03, "height_m": 0.04}
    return {
        "rate_hz": 20.0,
        "cameras": ["exterior", "wrist"],
        "path_m": path.round(4).tolist(),
        "path_px": {"exterior": places.round(4).tolist()},
        "things": [{**thing, "path_m": [[0.45, 0.0, 0.0]] * (steps + 1)}],
        "chunks": chunks,
    }


def h264(images: np.ndarray) -> bytes:
    """An MP4 file that browsers play."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(20))
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def fill(root: Path, *, episodes: int = 6, count: int = 72, size: int = 192, runs: bool = True) -> dict[str, str]:
    """Fill a store; returns name -> artefact id."""
    store = Store(root)
    ids: dict[str, str] = {}
    for k, (task, instruction) in enumerate(
        [("place_cube_in_bowl", "place the red cube in the blue bowl"), ("press_button", "press the round button")]
    ):
        made = tuple(episode(100 * k + i, instruction, count + 3 * i, size) for i in range(episodes))
        ids[task] = store.save("demonstrations", Demonstrations(task, task, (), made), params={"task": task, "seed": k})
    demonstrations = ids["place_cube_in_bowl"]
    rng = np.random.default_rng(0)
    few = 4
    activations = Activations(
        outputs=rng.normal(size=(few, 2, LAYERS, HEADS, 4)).astype(np.float32),
        episode=np.zeros(few, np.int32),
        frame=np.arange(few, dtype=np.int32),
        action=np.zeros((few, 7), np.float32),
        chunk=np.zeros((few, 10, 7), np.float32),
        state=np.zeros((few, 8), np.float32),
        time_in_episode=np.linspace(0, 1, few, dtype=np.float32),
        tokens=("last_prefix", "first_action"),
        timestep=1.0,
        seed=0,
        inert=HeadShape.pair(LAYERS, HEADS, 4).last_layer("vlm"),
    )
    captured = store.save("activations", activations, parents=[demonstrations])
    scored = relevance(3)
    ids["gain"] = store.save(
        "relevance",
        replace(scored, preset="default", score=scored.score - 0.3, gain=scored.score - 0.3),
        parents=[captured, demonstrations],
        params={"target": "chunk"},
    )
    ids["relevance"] = store.save("relevance", scored, parents=[captured, demonstrations])
    ids["trust"] = store.save("trust", trust(scored), parents=[ids["relevance"]])
    ids["attention"] = store.save("attention", attention(1, count), parents=[demonstrations], params={"episode": 0})
    if runs:
        _runs(store, ids, size)
    return ids


def _runs(store: Store, ids: dict[str, str], size: int) -> None:
    heads = HeadShape.pair(LAYERS, HEADS, 1).all_heads(("vlm",))[20:40]
    selection = store.save(
        "selection", Selection(heads, "manual"), parents=[ids["relevance"]], params={"rule": "manual"}
    )
    rollouts = []
    wins = {"zero_shot": 3, "steering": 8, "lora": 7}
    seeds = tuple(range(1_000_000, 1_000_010))
    films: list[bytes] = []  # the same for every method
    for i, seed in enumerate(seeds):
        both = [frames(np.random.default_rng(seed), 40 + 5 * (i % 3), size, zoom) for zoom in (1.0, 1.9)]
        films.append(h264(np.concatenate(both, axis=2)))
    rng = np.random.default_rng(5)
    for method in wins:
        parents = []
        if method != "zero_shot":
            with store.new_folder("adapter") as folder:
                (folder / "adapter").mkdir()
                (folder / "adapter" / "adapter_config.json").write_text("{}")
                steps = np.arange(300)
                loss = (
                    0.4 * np.exp(-steps / (90 if method == "lora" else 120)) + 0.08 + rng.normal(0, 0.01, 300)
                ).astype(np.float32)
                result = FinetuneResult(
                    method,
                    FinetuneSettings(),
                    Selection(heads, "manual") if method == "steering" else None,
                    folder / "adapter",
                    {"q_proj": 10_000, "o_proj": 10_000}
                    if method == "steering"
                    else {"q_proj": 90_000, "mlp": 200_000},
                    loss,
                    np.array([0, 100, 200, 300], np.int32),
                    np.array([0.4, 0.25, 0.2, 0.19], np.float32),
                    41.0 if method == "steering" else 66.0,
                )
                demonstrations = ids["place_cube_in_bowl"]
                kin = [demonstrations, selection] if method == "steering" else [demonstrations]
                parents = [store.save("adapter", result, parents=kin, params={"method": method}, folder=folder)]
                ids[method] = parents[0]
        with store.new_folder("rollouts") as folder:
            videos = []
            for seed, film in zip(seeds, films, strict=True):
                videos.append(folder / f"{seed}.mp4")
                videos[-1].write_bytes(film)
            traces = []
            for seed in seeds:
                traces.append(folder / f"{seed}.json")
                traces[-1].write_text(json.dumps(trace(seed, method)))
            success = rng.permutation(np.arange(10) < wins[method])
            value = Rollouts(
                method,
                "place_cube_in_bowl",
                (),
                seeds,
                success,
                np.full(10, 80, np.int32),
                tuple(videos),
                20.0,
                9.5,
                tuple(traces),
                failure=tuple("" if won else ("dropped", "never_reached")[i % 2] for i, won in enumerate(success)),
                distance_m=np.where(success, 0, 0.062).astype(np.float32),
                wrong_object=np.arange(10) == 3,
            )
            rollouts.append(store.save("rollouts", value, parents=parents, params={"method": method}, folder=folder))
    comparison = compare([store.load(one) for one in rollouts])
    ids["comparison"] = store.save("comparison", comparison, parents=rollouts)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        LAYERS = int(sys.argv[2])
    print(fill(Path(sys.argv[1])))
