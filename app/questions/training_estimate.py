"""Seconds and memory that a training would take, before it starts.

From runs of this store where there are some: the time of a run is divided by its arithmetic (multiplications of the
layers that are passed forward and back, of what lies below computed once a frame), and the arithmetic of the training
that is asked for multiplied by it; runs of the same method count before others. Before any run the machine's own speed
at multiplying matrices stands in, roughly. Milliseconds; the machine is measured once, in a tenth of a second.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from app.answers.training import TrainingEstimate
from app.costs import PolicySize, policy_size
from app.questions.context import Context
from steering.errors import SteeringError
from steering.finetune.plan import FULL_BYTES, Plan
from steering.integrity import Damaged
from steering.models.sites import PROMPT, StackSites
from steering.store import Store
from steering.types import FinetuneResult, FinetuneSettings, Head

PREFIX_TOKENS, CHUNK_TOKENS = 92, 11  # of the embedded policy; a run's own speed makes up for other lengths
EFFICIENCY = 0.3
"""Share of NumPy's speed at multiplying matrices that a training step reaches on a CPU, on the embedded policy."""
LIBRARIES_MB = 700.0
_RECENT = 24


@dataclass(frozen=True)
class Run:
    """A finished training. work: its arithmetic, multiplications."""

    method: str
    work: float
    seconds: float
    memory_mb: float
    batch_size: int
    frozen: int


def estimate(store: Store, policy: str, heads: Sequence[Head]) -> TrainingEstimate | None:
    """Of Robotic Steering on `heads` at default settings."""
    return estimate_for(store, policy, policy_size(policy, policy), "steering", FinetuneSettings(), heads)


def estimate_of(
    context: Context, method: str, settings: FinetuneSettings, heads: Sequence[Head]
) -> TrainingEstimate | None:
    """Of a training on the policy in use."""
    return estimate_for(context.store, context.policy, context.size, method, settings, heads)


def estimate_for(
    store: Store, policy: str, size: PolicySize, method: str, settings: FinetuneSettings, heads: Sequence[Head]
) -> TrainingEstimate | None:
    """Of a training on the policy `policy` of `size`. None where the method cannot train anything."""
    try:
        planned = size.plan(method, settings, heads)
    except SteeringError:
        return None
    frozen = planned.frozen_layers(size.sizes.layout)
    work = work_of(planned, size, settings) * settings.steps * settings.batch_size
    runs = _runs(store, policy, size)
    near = [run for run in runs if run.method == method] or runs
    closest = min((abs(run.frozen - frozen) for run in near), default=0)
    chosen = [run for run in near if abs(run.frozen - frozen) == closest]
    speed = float(np.median([run.work / run.seconds for run in chosen])) if chosen else EFFICIENCY * machine_speed()
    return TrainingEstimate(
        seconds=work / speed,
        memory_mb=_memory(planned, size, settings, [run for run in chosen if run.memory_mb > 0]),
        steps=settings.steps,
        runs=len(chosen),
    )


def work_of(planned: Plan, size: PolicySize, settings: FinetuneSettings) -> float:
    """Multiplications of one example in one step: forward, back to what trains, and the gradients of whole weights."""
    whole = planned.method == "full"
    frozen = planned.frozen_layers(size.sizes.layout)
    passes = 3 if whole else 2  # forward, gradient of what passes through, gradient of the weights themselves
    total = 0.0
    for sites in size.sizes.layout.sites:
        layers = sites.stack.layers - (frozen if sites.sequence == PROMPT else 0)
        total += _weights(size, sites) / sites.stack.layers * layers * _tokens(sites, settings)
    return total * passes


def _tokens(sites: StackSites, settings: FinetuneSettings) -> int:
    """Tokens of an example that pass through the stack."""
    return PREFIX_TOKENS if sites.sequence == PROMPT else CHUNK_TOKENS * settings.noise_samples


def _weights(size: PolicySize, sites: StackSites) -> int:
    modules = size.sizes.modules
    names = [sites.name(layer, module) for layer in range(sites.stack.layers) for module in sites.projections]
    return sum(modules[name][0] * modules[name][1] for name in names if name in modules)


def _memory(planned: Plan, size: PolicySize, settings: FinetuneSettings, runs: Sequence[Run]) -> float | None:
    """Peak in MB: of the nearest run, with what a batch keeps scaled; else libraries, weights, optimiser and batch."""
    batch = settings.batch_size / settings.accumulation
    held = _held_mb(planned, size, settings)
    if runs:
        return float(np.median([max(run.memory_mb + held * (batch - run.batch_size), LIBRARIES_MB) for run in runs]))
    if size.parameters is None:
        return None
    trained = (
        size.parameters * (FULL_BYTES - 4) if planned.method == "full" else 16 * sum(planned.parameters().values())
    )
    return LIBRARIES_MB + (4 * size.parameters + trained) / 1e6 + held * batch


def _held_mb(planned: Plan, size: PolicySize, settings: FinetuneSettings) -> float:
    """What one example keeps for the gradients, in MB: about six times the outputs of its trained layers' weights."""
    held = 0
    for sites in size.sizes.layout.sites:
        outputs = sum(size.sizes.modules[sites.name(0, module)][0] for module in sites.projections)
        frozen = planned.frozen_layers(size.sizes.layout) if sites.sequence == PROMPT else 0
        held += outputs * (sites.stack.layers - frozen) * _tokens(sites, settings)
    return 2 * 4 * held / 1e6


def _runs(store: Store, policy: str, size: PolicySize) -> list[Run]:
    found = []
    for manifest in store.everybodys("adapter")[:_RECENT]:
        if manifest.params.get("policy", policy) == policy:
            key = (str(store.folder(manifest.id)), size.name)
            if key not in _known:
                try:
                    _known[key] = _run(store, manifest.id, size)
                except Damaged:
                    continue  # the line about damage names it
            found.append(_known[key])
    return [run for run in found if run is not None]


_known: dict[tuple[str, str], Run | None] = {}
"""(folder of a run, policy) -> the run, read once: what is stored never changes."""


def _run(store: Store, run_id: str, size: PolicySize) -> Run | None:
    result: FinetuneResult = store.load(run_id)
    try:
        heads = result.selection.heads if result.selection else ()
        planned = size.plan(result.method, result.settings, heads)
    except SteeringError:
        return None  # a run of other heads tells nothing
    settings, steps = result.settings, len(result.loss)
    if not steps or not result.train_s:
        return None
    work = work_of(planned, size, settings) * steps * settings.batch_size
    frozen = planned.frozen_layers(size.sizes.layout)
    kept = settings.batch_size // settings.accumulation
    return Run(result.method, work, result.train_s, result.peak_memory_mb, kept, frozen)


@lru_cache(maxsize=1)
def machine_speed() -> float:
    """Multiplications a second of NumPy's matrix product in single precision, the best of a few."""
    side = 512
    matrix = np.ones((side, side), np.float32)
    best = float("inf")
    for _ in range(4):
        began_s = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - began_s)
    return side**3 / best
