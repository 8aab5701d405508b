"""What a VLM head's weights can do to the action, by depth: counted from π0's architecture, and measured.

In π0 the action expert reads the VLM only through the keys and values of each layer, so a head of layer l of L has
L − 1 − l readers: one expert layer for each VLM layer above it (arXiv 2410.24164, section IV). Each reader is the first
step of many paths, since every block can be passed by (Veit et al. 2016, "Residual networks behave like ensembles").
Both counts stand beside the measured gradient of the flow-matching loss. Cost on the embedded policy: recording, and
2 s a task on a core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steering import pipeline, policy_cache
from steering.assets import ASSETS
from steering.evidence.cell_files import Result, write_result
from steering.evidence.tables import Table, markdown
from steering.manifest import versions
from steering.progress import Progress
from steering.selection.trainable import Place
from steering.store import Store

DEPTH = ASSETS / "evidence" / "depth.json"
STACK = "vlm"
FRAMES = 96
RANDOM_SETS = 10_000
SKIP = 2
"""Ways through a block with a residual connection: through it, or past it."""

RELEASE_LAYERS = 18
RELEASE: tuple[Place, ...] = (
    *((9, 7), (9, 4), (8, 4), (9, 2), (5, 7), (7, 6), (8, 5), (9, 1), (7, 1), (1, 5)),
    *((3, 2), (9, 0), (3, 1), (9, 5), (1, 6), (4, 7), (7, 0), (8, 6), (5, 3), (1, 3)),
)
"""The 20 heads that the authors' release chooses on its example task (swap green and red cube, π0.5, 18 × 8 heads),
best first: tests/golden/knn_swap_green_red_cube.json in github.com/chancharikmitra/openpi_robotv."""


def readers(layers: int) -> np.ndarray:
    """Expert layers that read what a VLM layer's heads write, int [layer]: L − 1 to 0."""
    return np.arange(layers - 1, -1, -1)


def paths(layers: int) -> np.ndarray:
    """All paths from a layer's heads to the action, int [layer], through and past every block between.

    A head's output passes its layer's FFN, then attention and FFN of VLM layers, enters an expert layer as keys and
    values, and passes that layer's FFN and the expert's attention and FFN above. Keys and values count as one.
    """
    found = np.zeros(layers, np.int64)
    for layer in range(layers):
        in_vlm, in_expert = 0, 0
        for above in range(layer, layers):
            in_expert = SKIP * (SKIP * in_expert + in_vlm)
            in_vlm = SKIP * (SKIP * in_vlm + (above == layer))
        found[layer] = in_expert
    return found


@dataclass(frozen=True)
class Reach:
    """How early a set of heads lies. reach: mean share of readers; chance: that of random heads; rank: share of random
    sets of the same size that lie earlier.
    """

    heads: int
    lowest: int
    layer: float
    reach: float
    chance: float
    rank: float


def reach_of(places: Sequence[Place], movable: np.ndarray, seed: int = 0) -> Reach:
    """Where a set lies, beside RANDOM_SETS random sets of heads that can move an action (movable: [layer, head])."""
    share = readers(len(movable)) / (len(movable) - 1)
    own = float(np.mean([share[layer] for layer, _ in places]))
    rng = np.random.default_rng(seed)
    every = np.repeat(share, movable.sum(1))
    others = np.array([rng.permutation(every)[: len(places)].mean() for _ in range(RANDOM_SETS)])
    return Reach(
        heads=len(places),
        lowest=min(layer for layer, _ in places),
        layer=float(np.mean([layer for layer, _ in places])),
        reach=own,
        chance=float(every.mean()),
        rank=float((others > own + 1e-12).mean()),
    )


def measure(
    store: Store, tasks: Sequence[str], demonstrations: int, policy: str, progress: Progress = Progress()
) -> Result:
    """By task and layer: gradient norm of q and o, and the predicted fall of the loss by an Adam step; plain data."""
    from steering.attribution.probe import probe
    from steering.attribution.trainability import adam_fall, weight_gradients

    loaded = policy_cache.get(policy)
    shape = loaded.head_shape[STACK]
    by_task: dict[str, dict[str, list[float]]] = {}
    for i, task in enumerate(tasks):
        part = progress.part(i / len(tasks), (i + 1) / len(tasks))
        recorded = pipeline.record(store, task=task, count=demonstrations, seed=0, progress=part)
        asked = probe(loaded, store.load(recorded), frames=FRAMES)
        gradients = weight_gradients(asked, STACK)
        norms = np.zeros((2, shape.layers))  # of q, of o
        for layer, head in gradients[0]:
            halves = np.mean([one[layer, head].numpy() for one in gradients], 0).reshape(2, -1)
            norms[:, layer] += (halves**2).sum(1)
        fall = adam_fall(asked, STACK).sum(1)
        by_task[task] = {
            name: [float(f"{one:.5g}") for one in values]
            for name, values in {"q": np.sqrt(norms[0]), "o": np.sqrt(norms[1]), "fall": fall}.items()
        }
    return {
        "command": "python -m steering evidence depth",
        "versions": versions(),
        "weights": policy_cache.fingerprint(policy),
        "frames": FRAMES,
        "demonstrations": demonstrations,
        "layers": shape.layers,
        "tasks": by_task,
    }


def write_depth(result: Result, sets: Mapping[str, tuple[Sequence[Place], int]], file: Path = DEPTH) -> Path:
    """The numbers in `file` and the page beside it; sets: name -> (heads, layers of their VLM)."""
    write_result(file, result)
    page = file.with_suffix(".md")
    page.write_text(document(result, sets) + "\n", encoding="utf-8")
    return page


def document(result: Mapping[str, Any], sets: Mapping[str, tuple[Sequence[Place], int]]) -> str:
    """The page in Markdown."""
    layers = int(result["layers"])
    measured = _measured(result)
    mean = measured["q and o"].mean(0)
    counted, every = readers(layers), paths(layers)
    rows = [
        (
            str(layer),
            f"{counted[layer]} ({counted[layer] / counted[0]:.2f})",
            f"{every[layer]:,} ({every[layer] / every[0]:.2g})",
            *(_range(measured[name][:, layer]) for name in measured),
        )
        for layer in range(layers)
    ]
    movable = mean > 0
    fit = {
        name: float(np.sqrt(np.mean(np.log(count[movable] / count[0] / mean[movable]) ** 2)))
        for name, count in {"readers": counted.astype(float), "paths": every.astype(float)}.items()
    }
    nearer = min(fit, key=lambda name: fit[name])
    titles = ("Layer", "Expert layers that read it", "All paths", *(f"Gradient of {name}" for name in ("q", "o")))
    parts = [
        "# What a head's weights can do, by depth",
        f"`{result['command']}` makes this page. Counted from the architecture, and measured on the embedded policy: "
        f"{result['frames']} frames of {result['demonstrations']} demonstrations of each of {len(result['tasks'])} "
        "tasks. Measured columns are relative to layer 0: mean over tasks (lowest to highest task).",
        markdown(Table((*titles, "Gradient of q and o", "Predicted fall by an Adam step"), tuple(rows))),
        f"The measured gradient follows the number of {nearer} more nearly: typical factor between count and gradient "
        f"{np.exp(fit['readers']):.2f} for readers, {np.exp(fit['paths']):.2f} for paths (1 is equal).",
        "## Where chosen sets lie",
        "Reach is the share of expert layers that read a head, the mean over the set; chance: of random heads of the "
        "layers that can move an action; last column: the share of random sets of that size that lie earlier.",
        markdown(set_table(sets)),
        _predicted(sets),
    ]
    return "\n\n".join(parts)


def set_table(sets: Mapping[str, tuple[Sequence[Place], int]]) -> Table:
    """A set a row: where it lies beside chance."""
    rows = []
    for name, (places, layers) in sets.items():
        one = reach_of(*_with_movable(places, layers))
        numbers = (str(one.heads), str(layers), str(one.lowest), f"{one.layer:.1f}")
        rows.append((name, *numbers, f"{one.reach:.2f}", f"{one.chance:.2f}", f"{one.rank:.3f}"))
    return Table(
        ("Set", "Heads", "Layers", "Lowest layer", "Mean layer", "Reach", "Chance", "Random sets earlier"), tuple(rows)
    )


def release_sets() -> dict[str, tuple[Sequence[Place], int]]:
    """The release's list, and its beginnings of 4 and 8."""
    return {f"the release, its best {count}": (RELEASE[:count], RELEASE_LAYERS) for count in (4, 8, len(RELEASE))}


def sets_of_screen(cells: Sequence[Mapping[str, Any]], layers: int) -> dict[str, tuple[Sequence[Place], int]]:
    """The release's list, and the sets that the published rule chose in the screen's cells."""
    found = release_sets()
    for one in cells:
        task, rule, heads, seed = one["cell"].split("/")
        if rule == "paper_keyframes":
            places = tuple((int(layer), int(head)) for layer, head in one["heads"])
            found[f"published rule, {task.replace('_', ' ')}, {heads} heads, seed {seed}"] = (places, layers)
    return found


def _with_movable(places: Sequence[Place], layers: int, heads: int = 8) -> tuple[Sequence[Place], np.ndarray]:
    """π0's heads that can move an action: all but the last layer's."""
    movable = np.ones((layers, heads), bool)
    movable[-1] = False
    return places, movable


def _measured(result: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Column -> [task, layer], relative to layer 0."""
    tasks = result["tasks"].values()
    q, o, fall = (np.array([one[name] for one in tasks]) for name in ("q", "o", "fall"))
    columns = {"q": q, "o": o, "q and o": np.hypot(q, o), "fall": fall}
    return {name: values / values[:, :1] for name, values in columns.items()}


def _range(values: np.ndarray) -> str:
    return f"{values.mean():.2f} ({values.min():.2f} to {values.max():.2f})"


def _predicted(sets: Mapping[str, tuple[Sequence[Place], int]]) -> str:
    """What depth says of the release's list, in words."""
    found = [reach_of(*_with_movable(*sets[name])) for name in release_sets()]
    said = "; ".join(
        f"of {one.heads} heads {one.reach:.2f} (chance {one.chance:.2f}), and {one.rank:.0%} of random sets lie earlier"
        for one in found
    )
    return (
        f"What depth predicts of the release's list, best heads first: reach {said}. Where more than half lie earlier, "
        "depth alone says that the set can move the action less than random heads, else more. This carries what a "
        "small policy showed to a larger one by the architecture that they share; the larger one's gradient was not "
        "measured."
    )
