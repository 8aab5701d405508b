"""One small artefact of every kind that a store holds, for tests that ask something of all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
    FrameAttention,
    GainSweep,
    Head,
    HeadChange,
    HeadShape,
    Neighbours,
    OpenLoop,
    OpenLoopComparison,
    PolicyCheck,
    PolicyExport,
    Relevance,
    RelevanceOverTime,
    Replication,
    Rollouts,
    Selection,
    StrengthSweep,
    SuccessRate,
    Surgery,
    SurgeryRun,
    Trust,
)

GRID = (2, 3, 4)  # stacks, layers, heads
FRAMES = 6


def numbers(*shape: int) -> np.ndarray:
    """float32 of this shape, the same at each call."""
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def demonstrations() -> Demonstrations:
    rng = np.random.default_rng(0)
    cameras = {name: rng.integers(0, 256, (FRAMES, 16, 16, 3), dtype=np.uint8) for name in ("exterior", "wrist")}
    one = Episode("first", "pick up the cube", 20.0, cameras, numbers(FRAMES, 8), numbers(FRAMES, 7))
    return Demonstrations("demo", "pick_cube", (), (one,))


def activations() -> Activations:
    return Activations(
        outputs=numbers(FRAMES, *GRID, 6),
        episode=np.zeros(FRAMES, np.int32),
        frame=np.arange(FRAMES, dtype=np.int32),
        action=numbers(FRAMES, 7),
        chunk=numbers(FRAMES, 2, 7),
        state=numbers(FRAMES, 8),
        time_in_episode=np.linspace(0, 1, FRAMES, dtype=np.float32),
        tokens=("last_prefix", "first_action"),
        timestep=1.0,
        seed=0,
        inert=np.zeros(GRID, bool),
    )


def relevance() -> Relevance:
    return Relevance(
        metric="knn",
        preset="paper",
        target="action",
        score=numbers(*GRID),
        error=numbers(2, *GRID),
        ks=(10, 20),
        best_k={"vlm": 10, "expert": 10},
        cv_mse={"vlm": 0.5, "expert": 0.5},
        baselines={"mean_action": 0.6},
        inert=np.zeros(GRID, bool),
        tokens=("last_prefix", "first_action"),
    )


def trust() -> Trust:
    one = numbers(*GRID)
    return Trust(one, one, one, one, one, {"vlm": (0.1, 0.2, 0.3)}, one, one, numbers(9), 20, 9, 20, 0)


def replication() -> Replication:
    return Replication((5, 10), {"vlm": numbers(2, 3)}, {"vlm": numbers(2, 3)}, 20, 3)


def rollouts(method: str, folder: Path) -> Rollouts:
    """Two scenes, of which one is filmed and traced."""
    film, trace = folder / "1.mp4", folder / "1.json"
    film.write_bytes(bytes(range(200)))
    trace.write_text('{"path_m": []}')
    won = np.array([method == "lora", True])
    return Rollouts(method, "pick_cube", (), (1, 2), won, np.full(2, 9, np.int32), (film,), traces=(trace,))


def adapter(folder: Path) -> FinetuneResult:
    inside = folder / "adapter"
    inside.mkdir()
    (inside / "adapter_config.json").write_text("{}")
    (inside / "adapter_model.safetensors").write_bytes(bytes(range(256)))
    heads = Selection((Head("vlm", 0, 1),), "manual")
    curve = numbers(3)
    return FinetuneResult(
        "steering", FinetuneSettings(), heads, inside, {"q_proj": 9}, curve, np.arange(3, dtype=np.int32), curve, 1.0
    )


def policy_export(folder: Path) -> PolicyExport:
    file = folder / "policy.zip"
    file.write_bytes(bytes(range(200)))
    return PolicyExport("peft", file)


def save_all(store: Store) -> dict[str, str]:
    """Kind -> the id of one artefact of it, each made from those before it."""
    ids: dict[str, str] = {}

    def save(kind: str, value: object, *parents: str) -> str:
        ids[kind] = store.save(kind, value, parents=[ids[one] for one in parents])
        return ids[kind]

    def with_files(kind: str, make: Callable[[Path], object], *parents: str, **params: str) -> str:
        with store.new_folder(kind) as folder:
            value = make(folder)
            ids[kind] = store.save(kind, value, parents=[ids[p] for p in parents], params=params, folder=folder)
        return ids[kind]

    save("demonstrations", demonstrations())
    save("activations", activations(), "demonstrations")
    order, units = np.zeros((28, FRAMES, 2), np.uint16), numbers(28, FRAMES, 2)
    rows = np.arange(FRAMES, dtype=np.int32)
    save("neighbours", Neighbours(order, units, GRID, ("state",), rows, rows), "activations")
    save("relevance", relevance(), "activations", "demonstrations")
    save("trust", trust(), "relevance")
    by_time = RelevanceOverTime(numbers(6), numbers(5, *GRID), np.arange(5, dtype=np.int32), "state", 20)
    save("over_time", by_time, "activations")
    save("replication", replication(), "relevance", "activations")
    save(
        "attention", Attention(np.zeros((FRAMES, *GRID, 2, 36), np.uint8), numbers(FRAMES, *GRID, 5), 6), "activations"
    )
    of_frame = (numbers(*GRID, 2, 36), numbers(*GRID, 2), numbers(*GRID), numbers(*GRID), numbers(*GRID, 2))
    seen = FrameAttention(("last_prefix", "first_action"), ("pick", "up"), 6, *of_frame)
    save("frame_attention", seen, "demonstrations")
    gains = GainSweep(Head("vlm", 0, 1), 0, 0, (0.0, 1.0), numbers(2, 4, 7), numbers(4, 7), numbers(7), ("x",) * 7)
    save("gain_sweep", gains, "demonstrations")
    save("selection", Selection((Head("vlm", 0, 1), Head("expert", 2, 3)), "top_k", 10, 0.25), "relevance")
    with_files("adapter", adapter, "demonstrations", "selection", method="steering")
    save("head_change", HeadChange("steering", (Head("vlm", 0, 1),), relevance(), relevance()), "adapter", "relevance")
    runs = [with_files("rollouts", lambda folder, m=m: rollouts(m, folder), method=m) for m in ("zero_shot", "lora")]
    ids["comparison"] = store.save("comparison", compare([store.load(run) for run in runs]), parents=runs)
    surgery, compared = Surgery((Head("vlm", 0, 1),)), store.load(ids["comparison"])
    ids["surgery"] = store.save("surgery", SurgeryRun(surgery, None, compared, 0, 20.0), parents=runs)
    rates = {"push": (SuccessRate("lora × 1", 1, 2, 0.1, 0.9),)}
    save("strength", StrengthSweep("lora", "pick_cube", (1.0,), rates), "adapter")
    valid = np.ones((FRAMES, 2), bool)
    chunks = numbers(FRAMES, 2, 7)
    predicted = OpenLoop("lora", rows * 0, rows, chunks, chunks, valid, numbers(7), ("x",) * 7, 20.0)
    save("open_loop", predicted, "demonstrations")
    errors = (numbers(1, 2, 7),) * 3
    summed = (numbers(1, 2, 3), numbers(1, 7, 3), numbers(1, 3), numbers(1, 3))
    save("open_loop_comparison", OpenLoopComparison(("lora",), (0,), ("x",) * 7, 20.0, *errors, *summed), "open_loop")
    with_files("policy_export", policy_export, "adapter", layout="peft")
    save("policy", PolicyCheck("embedded", "pi0", "transformers", HeadShape.pair(3, 4, 6), 10, "", "own", 0.1))
    return ids
