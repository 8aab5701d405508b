"""The whole way once: record, capture, score, select, finetune both methods, roll all out on the same scenes, compare.

At most ten minutes on two cores, a minute and a half with `quick`, which proves the plumbing and whose figures mean
nothing.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steering import pipeline
from steering.manifest import versions
from steering.progress import Progress
from steering.store import Store
from steering.types import Comparison, FinetuneSettings


@dataclass(frozen=True)
class DemoSettings:
    """How much work the demo does. keyframes: as in `pipeline.score`."""

    demonstrations: int = 20
    stride: int = 1
    keyframes: bool | None = None
    heads: int = 20
    trials: int = 20
    videos: int = 6
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)


QUICK = DemoSettings(
    demonstrations=4,
    stride=4,
    trials=4,
    videos=1,
    finetune=FinetuneSettings(steps=6, batch_size=4, warmup_steps=2, noise_samples=1),
)
METHODS = ("steering", "lora")


def run_demo(
    out: Path,
    *,
    task: str = "place_cube_in_bowl",
    stacks: tuple[str, ...] | None = None,
    policy: str = "embedded",
    seed: int = 0,
    settings: DemoSettings | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Go the whole way; artefacts lie in the store `out`, the summary in `out/demo.json`. Returns the summary."""
    settings, progress = settings or DemoSettings(), progress or Progress()
    store, began_s = Store(out), time.monotonic()
    demonstrations = pipeline.record(
        store, task=task, count=settings.demonstrations, seed=seed, progress=progress.part(0.0, 0.1)
    )
    activations = pipeline.capture(
        store,
        demonstrations_id=demonstrations,
        policy=policy,
        seed=seed,
        stride=settings.stride,
        progress=progress.part(0.1, 0.2),
    )
    relevance = pipeline.score(
        store,
        activations_id=activations,
        preset="paper",
        keyframes=settings.keyframes,
        progress=progress.part(0.2, 0.25),
    )
    selection = pipeline.select(store, relevance_id=relevance, count=settings.heads, stacks=stacks)
    adapters: dict[str, str | None] = {"zero_shot": None}
    for i, method in enumerate(METHODS):
        adapters[method] = pipeline.finetune(
            store,
            demonstrations_id=demonstrations,
            method=method,
            selection_id=selection if method == "steering" else None,
            settings=settings.finetune,
            policy=policy,
            progress=progress.part(0.25 + 0.2 * i, 0.45 + 0.2 * i),
        )
    comparison = pipeline.evaluate(
        store,
        task=task,
        adapters=adapters,
        trials=settings.trials,
        videos=settings.videos,
        seed=seed,
        policy=policy,
        progress=progress.part(0.65, 1.0),
    )
    ids = {"demonstrations": demonstrations, "relevance": relevance, "selection": selection, "comparison": comparison}
    summary = {
        "task": task,
        "policy": policy,
        "seed": seed,
        **_selected(store, selection),
        "methods": _methods(store, comparison, adapters),
        "tests": [vars(test) for test in store.load(comparison).tests],
        "demonstrations": settings.demonstrations,
        "wall_s": round(time.monotonic() - began_s, 1),
        "versions": versions(),
        "artefacts": {**ids, **{method: made for method, made in adapters.items() if made}},
    }
    (store.root / "demo.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _selected(store: Store, selection_id: str) -> dict[str, Any]:
    selection = store.load(selection_id)
    heads = [[head.stack, head.layer, head.head] for head in selection.heads]
    return {"heads_selected": heads, "best_k": selection.best_k, "cv_mse": selection.cv_mse}


def _methods(store: Store, comparison_id: str, adapters: dict[str, str | None]) -> dict[str, dict[str, Any]]:
    comparison: Comparison = store.load(comparison_id)
    methods = {}
    for rate in comparison.rates:
        adapter_id = adapters[rate.method]
        result = store.load(adapter_id) if adapter_id else None
        methods[rate.method] = {
            "trainable_parameters": result.trainable_parameters if result else 0,
            "train_s": round(result.train_s, 2) if result else 0.0,
            "successes": rate.successes,
            "trials": rate.trials,
            "success_rate": rate.rate,
            "wilson_95": [round(rate.low, 4), round(rate.high, 4)],
        }
    return methods
