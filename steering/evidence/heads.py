"""What relevance finds on the bench: head maps, trust, causal checks, controls, and what tasks share.

Per task: demonstrations, head outputs, k-NN scores by both presets, rival measures, the true effect of ablating each
head, agreement between them, and a second, independent recording that says whether the same heads would have been
chosen again. Everything is made through the store, so a stopped run goes on where it was, and only numbers and figures
are made anew. Seeds are fixed.

Cost on two shared cores: about 6 minutes a task, half of it ablation and replication; 10 s when all is made already.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from steering import figures, pipeline, policy_cache
from steering.evidence.grid import TASKS
from steering.evidence.stopwatch import timed
from steering.manifest import versions
from steering.progress import Progress
from steering.store import Store
from steering.types import PAPER_SET_SIZE, STACKS, Head, Relevance, Replication, Selection, Trust

PRESETS = ("paper", "default")
CAUSAL = "mean_ablation"
RIVALS = ("attribution_patching", "gradient_activation")
SETS = (("paper", "vlm"), ("default", "vlm"), ("paper", "expert"), ("default", "expert"))
"""(preset, stack) of the head sets that are compared between tasks."""
RANDOM_SETS = 5
DRAWS = 10_000


@dataclass(frozen=True)
class HeadSettings:
    """How much work. demonstrations: of each of the two recordings. counts: of which stability is asked.

    frames: of ablation and gradients. bootstrap, permutations, replicates: of the trust and of the replication.
    """

    demonstrations: int = 20
    counts: tuple[int, ...] = (5, 10, 15, 20)
    set_size: int = PAPER_SET_SIZE
    frames: int = 64
    bootstrap: int = 100
    permutations: int = 200
    replicates: int = 10
    ks: tuple[int, ...] | None = None
    keyframes: bool | None = None
    policy: str = "embedded"
    seed: int = 0


def run_heads(
    out: Path,
    *,
    store: Path,
    tasks: Sequence[str] = TASKS,
    settings: HeadSettings = HeadSettings(),
    html: bool = False,
    progress: Progress = Progress(),
) -> dict[str, Any]:
    """Make what is missing and write `heads.json`, `heads.md` and `figures/*.json` to `out`; the document.

    html: also one page with all figures (5 MB), to look at.
    """
    from steering.evidence.heads_report import report

    opened = Store(store)
    found: dict[str, dict[str, Any]] = {}
    drawn: dict[str, go.Figure] = {}
    for i, task in enumerate(tasks):
        part = progress.part(i / len(tasks), (i + 1) / len(tasks))
        found[task], of_task = _task(opened, task, settings, part)
        drawn |= {f"{task}_{name}": figure for name, figure in of_task.items()}
    document = {
        "settings": asdict(settings),
        "policy": {"name": settings.policy, "weights": policy_cache.fingerprint(settings.policy)},
        "versions": versions(),
        "tasks": found,
        "between": _between_tasks(opened, found) if len(tasks) > 1 else {},
    }
    (out / "figures").mkdir(parents=True, exist_ok=True)
    (out / "heads.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (out / "heads.md").write_text(report(document), encoding="utf-8")
    for name, figure in drawn.items():
        (out / "figures" / f"{name}.json").write_text(figure.to_json() + "\n", encoding="utf-8")
    if html:
        (out / "figures.html").write_text(_page(drawn), encoding="utf-8")
    return document


def _task(
    store: Store, task: str, settings: HeadSettings, progress: Progress
) -> tuple[dict[str, Any], dict[str, go.Figure]]:
    """Numbers and figures of one task."""
    took_s: dict[str, float] = {}

    def step(name: str, stage: Callable[..., str], part: Progress, **arguments: Any) -> str:
        made, took_s[name] = timed(store, lambda: stage(store, progress=part, **arguments))
        return made

    recorded, captured = [], []
    for pool in range(2):  # the second recording tells whether the first one's heads would be found again
        at, seed, number = progress.part(0.2 * pool, 0.2 * pool + 0.2), settings.seed + pool, pool + 1
        recorded.append(
            step(
                f"record {number}",
                pipeline.record,
                at.part(0, 0.5),
                task=task,
                count=settings.demonstrations,
                seed=seed,
            )
        )
        captured.append(
            step(
                f"capture {number}",
                pipeline.capture,
                at.part(0.5, 1),
                demonstrations_id=recorded[pool],
                policy=settings.policy,
            )
        )
    scored: dict[str, str] = {}
    trusted: dict[str, str] = {}
    repeated: dict[str, str] = {}
    for i, preset in enumerate(PRESETS):
        at = progress.part(0.4 + 0.15 * i, 0.55 + 0.15 * i)
        scored[preset] = step(
            f"score {preset}",
            pipeline.score,
            at.part(0, 0.2),
            activations_id=captured[0],
            preset=preset,
            ks=settings.ks,
            keyframes=settings.keyframes,
        )
        trusted[preset] = step(
            f"trust {preset}",
            pipeline.trust,
            at.part(0.2, 0.5),
            relevance_id=scored[preset],
            replicates=settings.bootstrap,
            permutations=settings.permutations,
        )
        repeated[preset] = step(
            f"replicate {preset}",
            pipeline.replicate,
            at.part(0.5, 1),
            relevance_id=scored[preset],
            other_activations_id=captured[1],
            counts=settings.counts,
            set_size=settings.set_size,
            replicates=settings.replicates,
        )
    of_policy = {
        metric: step(
            metric,
            pipeline.attribute,
            at,
            demonstrations_id=recorded[0],
            metric=metric,
            policy=settings.policy,
            frames=settings.frames,
        )
        for metric, at in _shares((CAUSAL, *RIVALS), progress.part(0.7, 1))
    }
    linear = step(
        "ridge",
        pipeline.score,
        Progress(),
        activations_id=captured[0],
        preset="default",
        metric="ridge",
        ks=settings.ks,
        keyframes=settings.keyframes,
    )
    relevance: dict[str, Relevance] = {preset: store.load(one) for preset, one in scored.items()}
    ablation: Relevance = store.load(of_policy[CAUSAL])
    found = {
        "artefacts": {"demonstrations": recorded, "activations": captured, "relevance": scored, **of_policy},
        "frames": len(store.load(captured[0]).frame),
        "seconds": took_s,
        "presets": {
            preset: _preset(store, scored[preset], trusted[preset], repeated[preset], ablation, settings)
            for preset in PRESETS
        },
        "agreement": _agreement(store, {**scored, "ridge": linear, **of_policy}, of_policy[CAUSAL]),
        "ablation": _ablation(ablation),
        "inert": _inert(ablation, store.load(of_policy["gradient_activation"])),
    }
    selected = {preset: _selected(store, scored[preset], "vlm", settings)[1] for preset in PRESETS}
    drawn = {f"map_{preset}": figures.head_map(relevance[preset], selected[preset].heads) for preset in PRESETS}
    drawn["map_ablation"] = figures.head_map(ablation)
    for preset in PRESETS:
        drawn[f"{preset}_against_ablation"] = figures.disagreement(relevance[preset], ablation, selected[preset].heads)
        drawn[f"stability_{preset}"] = figures.stability_curve(store.load(repeated[preset]))
        drawn[f"bars_{preset}"] = figures.head_bars(
            relevance[preset], store.load(trusted[preset]), selected[preset].heads
        )
    return found, drawn


def _preset(
    store: Store, relevance_id: str, trust_id: str, replication_id: str, ablation: Relevance, settings: HeadSettings
) -> dict[str, Any]:
    """What one preset's score says of each stack."""
    relevance: Relevance = store.load(relevance_id)
    trust: Trust = store.load(trust_id)
    replication: Replication = store.load(replication_id)
    stacks = {}
    for s, stack in enumerate(STACKS):
        movable = ~relevance.inert[s]
        selection_id, selection = _selected(store, relevance_id, stack, settings)
        score = np.where(movable, relevance.score[s], -np.inf)
        best = np.unravel_index(int(score.argmax()), score.shape)
        stacks[stack] = {
            "best_head": Head(stack, int(best[0]), int(best[1])).label(),
            "best_score": float(score.max()),
            "median_score": float(np.median(relevance.score[s][movable])),
            "best_interval": [float(trust.score_low[s][best]), float(trust.score_high[s][best])],
            "above_null": int((trust.p[s][movable] < 0.05).sum()),
            "above_zero": int((relevance.score[s][movable] > 0).sum()),
            "movable": int(movable.sum()),
            "best_k": relevance.best_k.get(stack),
            "set_error_when_chosen": relevance.cv_mse.get(stack),
            "set_scores": _set_scores(store, relevance_id, selection, stack, settings),
            "bootstrap_stability": _plain(trust.stability.get(stack, (np.nan,) * 3)),
            "replication": _replication(replication, stack),
            "ablation_of_set": _concentration(ablation, selection, s, settings.seed),
            "selection": selection_id,
            "heads": [[head.layer, head.head] for head in selection.heads],
        }
    manifest = store.manifest(relevance_id)
    return {
        "stacks": stacks,
        "baselines": dict(relevance.baselines),
        "keyframes": bool(manifest.params["keyframes"]),
    }


def _selected(store: Store, relevance_id: str, stack: str, settings: HeadSettings) -> tuple[str, Selection]:
    made = pipeline.select(store, relevance_id=relevance_id, count=settings.set_size, stacks=(stack,))
    return made, store.load(made)


def _set_scores(
    store: Store, relevance_id: str, selection: Selection, stack: str, settings: HeadSettings
) -> dict[str, Any]:
    """Explained variance of the best heads as one set, of random ones in the same layers, the worst, and all heads."""
    relevance: Relevance = store.load(relevance_id)
    s = STACKS.index(stack)
    options: dict[str, Any] = {"relevance_id": relevance_id, "count": settings.set_size, "stacks": (stack,)}
    random = [pipeline.select(store, rule="random", seed=seed, **options) for seed in range(RANDOM_SETS)]
    worst = pipeline.select(store, rule="bottom", **options)
    everything = [Head(stack, int(layer), int(head)) for layer, head in np.argwhere(~relevance.inert[s])]

    def score(heads: Sequence[Head]) -> float:
        return pipeline.held_out_error(store, relevance_id=relevance_id, heads=heads).score

    return {
        "best": score(selection.heads),
        "random": [score(store.load(one).heads) for one in random],
        "worst": score(store.load(worst).heads),
        "all": score(everything),
    }


def _agreement(store: Store, of_metric: Mapping[str, str], causal_id: str) -> dict[str, dict[str, Any]]:
    """Kind of effect -> stack -> measure -> Spearman's ρ with that effect of ablation, and its 95 % interval."""
    found: dict[str, dict[str, Any]] = {}
    for kind, effect in (("loss", None), ("action", "action_change")):
        found[kind] = {stack: {} for stack in STACKS}
        for name, one in of_metric.items():
            for stack in STACKS if one != causal_id else ():
                rho = pipeline.agreement_of_stack(store, first_id=one, second_id=causal_id, stack=stack, effect=effect)
                found[kind][stack][name] = [rho.rho, rho.low, rho.high]
    return found


def _ablation(ablation: Relevance) -> dict[str, Any]:
    """The loss of the whole policy, and per stack the largest effects and how many are clear of their error."""
    error = ablation.effects["standard_error"]
    stacks = {}
    for s, stack in enumerate(STACKS):
        movable = ~ablation.inert[s]
        order = np.argsort(-np.where(movable, ablation.score[s], -np.inf), axis=None)[:5]
        places = [np.unravel_index(int(flat), movable.shape) for flat in order]
        stacks[stack] = {
            "largest": {
                Head(stack, int(layer), int(head)).label(): float(ablation.score[s, layer, head])
                for layer, head in places
            },
            "clear": int((ablation.score[s] > 2 * error[s])[movable].sum()),
            "total": float(ablation.score[s][movable].sum()),
            "movable": int(movable.sum()),
        }
    return {"loss": ablation.baselines["loss"], "stacks": stacks}


def _inert(ablation: Relevance, gradient: Relevance) -> dict[str, Any]:
    """The heads held inert, and the largest gradient and effect found in them; and movable heads with no gradient."""
    inert = ablation.inert
    return {
        "heads": [Head(STACKS[s], int(layer), int(head)).label() for s, layer, head in np.argwhere(inert)],
        "largest_gradient": float(np.abs(gradient.score[inert]).max(initial=0)),
        "largest_effect": float(np.abs(ablation.score[inert]).max(initial=0)),
        "movable_without_gradient": int((gradient.score[~inert] == 0).sum()),
    }


def _replication(replication: Replication, stack: str) -> dict[str, Any]:
    """Number of demonstrations -> mean and range of S and ρ between independent demonstrations."""
    if stack not in replication.stability:
        return {}
    of_stack = zip(replication.counts, replication.stability[stack], replication.rho[stack], strict=True)
    return {str(n): {"stability": _plain(one), "rho": _plain(two)} for n, one, two in of_stack}


def _concentration(ablation: Relevance, selection: Selection, s: int, seed: int) -> dict[str, float]:
    """Mean effect of ablating a chosen head beside random heads of the stack; p over random sets of the same size."""
    movable = np.argwhere(~ablation.inert[s])
    effect = ablation.score[s][tuple(movable.T)].astype(float)
    chosen = {(head.layer, head.head) for head in selection.heads}
    inside = np.array([(int(layer), int(head)) in chosen for layer, head in movable])
    generator = np.random.default_rng(seed)
    drawn = np.array([effect[generator.permutation(len(effect))[: inside.sum()]].mean() for _ in range(DRAWS)])
    mean = float(effect[inside].mean())
    return {
        "chosen": mean,
        "by_chance": float(effect.mean()),
        "p": float((1 + (drawn >= mean).sum()) / (DRAWS + 1)),
    }


def _between_tasks(store: Store, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the tasks' sets share, two by two and all together, beside chance."""
    names, between = tuple(found), {}
    for preset, stack in SETS:
        ids = [found[task]["presets"][preset]["stacks"][stack]["selection"] for task in names]
        pairs = pipeline.overlap(store, selection_ids=ids, names=names)
        counted, expected = pipeline.held_by(store, selection_ids=ids)
        between[f"{preset} {stack}"] = {
            "pairs": [
                {
                    "tasks": list(one.names),
                    "shared": len(one.shared),
                    "expected": one.expected,
                    "jaccard": one.jaccard,
                    "expected_jaccard": one.expected_jaccard,
                    "p": one.p,
                }
                for one in pairs
            ],
            "heads_in_tasks": {"counted": counted.tolist(), "expected": expected.tolist()},
        }
    return between


def _plain(values: Sequence[float] | np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _shares(names: Sequence[str], progress: Progress) -> list[tuple[str, Progress]]:
    """Each name with its part of the progress; the first takes nine tenths of the time."""
    edges = np.concatenate([[0, 0.9], np.linspace(0.9, 1, len(names))[1:]])
    return [(name, progress.part(edges[i], edges[i + 1])) for i, name in enumerate(names)]


def _page(drawn: Mapping[str, go.Figure]) -> str:
    parts = []
    for number, (name, figure) in enumerate(drawn.items()):
        parts.append(f"<h2>{name.replace('_', ' ')}</h2>")
        parts.append(figure.to_html(full_html=False, include_plotlyjs=number == 0))
    return '<!doctype html><meta charset="utf-8"><title>Heads</title>' + "\n".join(parts)
