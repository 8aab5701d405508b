"""Head surgery: the same scenes untouched, with heads changed from a moment on, and with a matched control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from steering.pipeline.evaluation import filmed_alike, rollout
from steering.pipeline.making import load, made
from steering.progress import Progress
from steering.store import Store
from steering.types import Head, HeadShape, Rollouts, Selection, Surgery, SurgeryRun

RUNS = ("Untouched", "Changed", "Control")


def operate(
    store: Store,
    *,
    task: str,
    heads: Sequence[Sequence[object]],
    factor: float = 0.0,
    from_s: float = 0.0,
    adapter_id: str | None = None,
    trials: int = 20,
    seed: int = 0,
    variations: Sequence[str] = (),
    policy: str = "embedded",
    videos: int = 3,
    progress: Progress = Progress(),
) -> str:
    """Run a policy in `trials` scenes untouched, with `heads` scaled by `factor`, and with a control: a SurgeryRun.

    heads: (stack, layer, head) each. from_s: second of a scene from which they are changed, one at which the policy is
    asked: every quarter. The control scales other heads of the same layers, drawn by `seed`, so that the outputs of
    each layer change by the same norm (types.Surgery); there is none where a layer has no other heads. The untouched
    run is that of a comparison of the same scenes. `videos` scenes are filmed, those in which the runs differ
    first. Three times the time of a rollout.
    """
    from steering.comparison.compare import compare
    from steering.finetune.plan import sizes_of_checkpoint
    from steering.models.checkpoint import open_checkpoint
    from steering.models.hooks import check_surgery
    from steering.rollout.runner import check_moment
    from steering.simulation.scene import CONTROL_HZ

    method = "zero_shot"
    if adapter_id is not None:
        params = store.manifest(adapter_id).params
        method, policy = str(params["method"]), str(params.get("policy", policy))
    from_step = round(from_s * CONTROL_HZ)
    shape = sizes_of_checkpoint(open_checkpoint(policy)).head_shape
    changed = Surgery(tuple(Head(str(s), int(str(i)), int(str(j))) for s, i, j in heads), float(factor), from_step)
    check_surgery(changed, shape)
    check_moment(task, from_step)
    changed = replace(changed, heads=shape.ordered(set(changed.heads)))
    control = _control(changed, shape, seed)
    runs = list(zip(RUNS, (None, changed, *([control] if control else [])), strict=False))

    first = trials if trials <= videos else 0
    films = min(trials, videos) - first
    begun = trials / (trials + 2 * films)  # a filmed scene takes about twice as long
    common: dict[str, Any] = {"task": task, "method": method, "adapter_id": adapter_id, "trials": trials, "seed": seed}
    common |= {"variations": variations, "policy": policy, "videos": first}
    ids = []
    for i, (name, surgery) in enumerate(runs):
        part = progress.part(begun * i / len(runs), begun * (i + 1) / len(runs), name)
        ids.append(rollout(store, surgery=surgery, progress=part, **common))
    if films:
        ids = filmed_alike(store, ids, films, progress.part(begun, 1))

    def make() -> SurgeryRun:
        rollouts: list[Rollouts] = [load(store, one, Rollouts) for one in ids]
        ended = int((rollouts[0].success & (rollouts[0].steps <= from_step)).sum())
        return SurgeryRun(changed, control, compare(rollouts), ended, rollouts[0].rate_hz)

    plain = {"task": task, "seed": seed, "surgery": changed.plain(), "control": control.plain() if control else None}
    return made(store, "surgery", ids, plain, make)


def _control(surgery: Surgery, shape: HeadShape, seed: int) -> Surgery | None:
    """As many other heads of each layer, or all others where they are fewer; None where a layer has none."""
    from steering.selection.controls import random_heads

    drawn = random_heads(Selection(surgery.heads, "of a surgery"), shape, seed).heads
    others = tuple(head for head in drawn if head not in surgery.heads)
    layers = {(head.stack, head.layer) for head in surgery.heads}
    return replace(surgery, instead=others) if {(one.stack, one.layer) for one in others} == layers else None
