"""Vectorised rollouts: many scenes step together, the policy runs in batches, processes share the simulation.

Every scene draws its denoising noise from its own seed, one draw a chunk, so methods are paired by scene. The policy is
asked every `replan_steps` control steps, for many scenes at a time (`steering.rollout.calls`); a scene's outcome does
not depend on which others run beside it, nor on the number of processes. Cameras are drawn only then, and for the
scenes that are filmed.

While the policy works on one batch, the processes step the scenes of others. Embedded policy, two cores: see
`tests/benchmarks/bench_rollout.py`.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from steering.errors import InputError, unknown_name
from steering.models.policy import Policy
from steering.progress import Progress
from steering.rollout.calls import ObservationFilter, PolicyCalls
from steering.rollout.episode import SceneOutcome, Seen, Start
from steering.rollout.instructions import change_instruction
from steering.rollout.simulators import HereSimulator, ProcessSimulator, Request, Simulator
from steering.simulation.scene import CONTROL_HZ, Scene
from steering.simulation.tasks import TASKS, bench_scene
from steering.types import Rollouts, Surgery

REPLAN_STEPS = 5
BATCH_SIZE = 16
"""Most rows of a call of the policy."""
LIVE_SCENES = 48
"""Scenes that run at a time: enough to fill batches, few enough for memory (2 MB each)."""
_SCENES_A_PROCESS = 4
"""Fewer scenes than this are not worth starting a process for."""


def run_rollouts(
    policy: Policy,
    task: str,
    seeds: Sequence[int],
    *,
    method: str,
    variations: Sequence[str] = (),
    instruction: str = "original",
    surgery: Surgery | None = None,
    record_dir: Path | None = None,
    record_scenes: int = 6,
    batch_size: int = BATCH_SIZE,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Rollouts:
    """Run `policy` on the bench scenes of `seeds`. The first `record_scenes` are filmed and traced into `record_dir`.

    instruction: one of types.INSTRUCTIONS; success is counted for the task's own goal whatever the words. processes:
    of the simulation, 1 for this one alone; by default as many as cores and scenes allow.
    surgery: what is done to heads while the scenes run.
    Raises NotFound for an unknown task, variation or instruction, InputError for no seeds, and for a surgery that
    begins at no moment at which the policy is asked, or after the scene's time.
    """
    if not seeds:
        raise InputError("Expected at least one scene, got none. Choose the number of scenes.")
    began_s = time.monotonic()
    starts = []
    for i, seed in enumerate(seeds):
        scene, named = change_instruction(bench_scene(task, seed, variations), instruction, seed)
        starts.append(Start(i, scene, TASKS[task].step_limit, named))
    if surgery is not None:
        check_moment(task, surgery.from_step)
    recorded = range(min(record_scenes, len(seeds))) if record_dir is not None else range(0)
    if record_dir is not None:
        record_dir.mkdir(parents=True, exist_ok=True)
        for i in recorded:
            name = f"{method}_{seeds[i]}".replace("/", "_")
            starts[i] = replace(starts[i], film=record_dir / f"{name}.mp4", trace=record_dir / f"{name}.json")
    options: dict[str, Any] = {"batch_size": batch_size, "processes": processes, "progress": progress}
    outcomes = run_starts(policy, starts, seeds, surgery=surgery, **options)
    named_success = [-1 if o.named_success is None else int(o.named_success) for o in outcomes]
    return Rollouts(
        method=method,
        task=task,
        variations=tuple(variations),
        seeds=tuple(seeds),
        success=np.array([o.success for o in outcomes]),
        steps=np.array([o.steps for o in outcomes], dtype=np.int32),
        videos=tuple(film for i in recorded if (film := starts[i].film)),
        rate_hz=CONTROL_HZ,
        wall_s=time.monotonic() - began_s,
        traces=tuple(trace for i in recorded if (trace := starts[i].trace)),
        instruction=instruction,
        instructions=tuple(start.scene.instruction for start in starts),
        failure=tuple(o.failure for o in outcomes),
        distance_m=np.array([o.distance_m for o in outcomes], dtype=np.float32),
        wrong_object=np.array([o.wrong_object for o in outcomes]),
        named=np.array(named_success, dtype=np.int8) if instruction == "renamed" else None,
    )


def joined(parts: Sequence[Rollouts], wall_s: float) -> Rollouts:
    """Rollouts of one method on one part of the scenes after the other; those of the first parts are filmed."""
    first = parts[0]
    rows = ("success", "steps", "distance_m", "wrong_object", *(() if first.named is None else ("named",)))
    told = ("seeds", "videos", "traces", "instructions", "failure")
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in rows}
    words: dict[str, Any] = {name: tuple(one for part in parts for one in getattr(part, name)) for name in told}
    return replace(first, **arrays, **words, wall_s=wall_s)


def run_scenes(
    policy: Policy,
    scenes: Sequence[Scene],
    seeds: Sequence[int],
    step_limit: int,
    *,
    batch_size: int = BATCH_SIZE,
    replan_steps: int = REPLAN_STEPS,
    see: ObservationFilter | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> list[SceneOutcome]:
    """Outcomes of any `scenes`, in order. `see` changes what the policy sees."""
    starts = [Start(i, scene, step_limit) for i, scene in enumerate(scenes)]
    return run_starts(
        policy,
        starts,
        seeds,
        batch_size=batch_size,
        replan_steps=replan_steps,
        see=see,
        processes=processes,
        progress=progress,
    )


def run_starts(
    policy: Policy,
    starts: Sequence[Start],
    seeds: Sequence[int],
    *,
    batch_size: int = BATCH_SIZE,
    replan_steps: int = REPLAN_STEPS,
    see: ObservationFilter | None = None,
    surgery: Surgery | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> list[SceneOutcome]:
    """Outcomes of `starts`, in order; `seeds` are those of their noise."""
    processes = default_processes(len(starts)) if processes is None else min(processes, len(starts))
    with _simulator(processes) as simulator, _policy_threads(processes):
        calls = PolicyCalls(policy, batch_size, see, surgery)
        run = _Run(policy, calls, simulator, starts, seeds, replan_steps, overlapping=processes > 1)
        run.change_from = math.inf if surgery is None else surgery.from_step
        return run.outcomes(progress or Progress())


def check_moment(task: str, step: int) -> None:
    """Raises InputError unless heads can change at control step `step` of a task's scenes, NotFound without a task."""
    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    limit = TASKS[task].step_limit
    if not (0 <= step < limit and step % REPLAN_STEPS == 0):
        every_s, last_s = REPLAN_STEPS / CONTROL_HZ, (limit - REPLAN_STEPS) / CONTROL_HZ
        raise InputError(
            f"The policy is asked every {every_s:g} s, so heads change at such a moment, at {last_s:g} s at the "
            f"latest; got {step / CONTROL_HZ:g} s."
        )


def default_processes(scenes: int) -> int:
    """Processes for the simulation of so many scenes: half of the cores, at least two where there are two."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = 1 if cores == 1 else max(2, cores // 2)
    return max(1, min(wanted, scenes // _SCENES_A_PROCESS))


class _Run:
    """One set of scenes on its way: starting, waiting for the policy (`_seen`), simulated (`_away`), ended."""

    def __init__(
        self,
        policy: Policy,
        calls: PolicyCalls,
        simulator: Simulator,
        starts: Sequence[Start],
        seeds: Sequence[int],
        replan_steps: int,
        overlapping: bool,
    ) -> None:
        self._noise_shape = (policy.chunk_size, policy.noise_dim)
        self._calls, self._simulator = calls, simulator
        self._replan_steps, self._overlapping = replan_steps, overlapping
        self._waiting = list(starts)[::-1]
        self._noise = [np.random.default_rng([seed, 13]) for seed in seeds]
        self._seen: dict[int, Seen] = {}
        self._away: set[int] = set()
        self._running: dict[int, float] = {}
        self._ended: dict[int, SceneOutcome] = {}
        self._total = len(starts)
        self._asked = dict.fromkeys((start.index for start in starts), 0)
        self.change_from = math.inf  # control step of a scene from which its rows are changed

    def outcomes(self, progress: Progress) -> list[SceneOutcome]:
        while len(self._ended) < self._total:
            self._start()
            batch = self._batch()
            while len(batch) < self._wanted() and self._away:
                self._collect()
                self._start()
                batch = self._batch()
            if batch:
                self._ask(batch)
            progress.report(*self._said())
        return [self._ended[i] for i in range(self._total)]

    def _start(self) -> None:
        free = LIVE_SCENES - len(self._seen) - len(self._away)
        starts = [self._waiting.pop() for _ in range(min(free, len(self._waiting)))]
        if starts:
            self._away |= {start.index for start in starts}
            self._simulator.ask(Request(start=starts))

    def _wanted(self) -> int:
        """Scenes to wait for: where simulation goes on meanwhile, a power of two up to half of those that run."""
        running = len(self._seen) + len(self._away)
        return self._calls.rows(running // 4 + 1) if self._overlapping else self._calls.batch_size

    def _batch(self) -> list[int]:
        """Scenes for the next call of the policy: of one instruction, whose padding they then share."""
        by_words: dict[str, list[int]] = {}
        for index, seen in self._seen.items():
            by_words.setdefault(seen.instruction, []).append(index)
        return max(by_words.values(), key=len, default=[])[: self._wanted()]

    def _collect(self) -> None:
        reply = self._simulator.collect()
        self._away.remove(reply.index)
        self._running[reply.index] = reply.running
        if reply.seen is not None:
            self._seen[reply.index] = reply.seen
        elif reply.ended is not None:
            self._ended[reply.index] = reply.ended

    def _ask(self, batch: Sequence[int]) -> None:
        seen = [self._seen.pop(index) for index in batch]
        noise = [self._noise[index].standard_normal(self._noise_shape) for index in batch]
        changed = [self._asked[index] * self._replan_steps >= self.change_from for index in batch]
        chunks = self._calls.act(seen, noise, changed)
        for index in batch:
            self._asked[index] += 1
        self._away |= set(batch)
        self._simulator.ask(Request(chunks=dict(zip(batch, chunks, strict=True)), steps=self._replan_steps))

    def _said(self) -> tuple[float, str]:
        under_way = sum(done for index, done in self._running.items() if index not in self._ended)
        won = sum(outcome.success for outcome in self._ended.values())
        fraction = min((len(self._ended) + under_way) / self._total, 1.0)
        return fraction, f"{len(self._ended)} of {self._total} scenes, {won} succeeded"


@contextmanager
def _simulator(processes: int) -> Iterator[Simulator]:
    simulator: Simulator = HereSimulator() if processes == 1 else ProcessSimulator(processes)
    try:
        yield simulator
    finally:
        simulator.close()


@contextmanager
def _policy_threads(processes: int) -> Iterator[None]:
    """Leave cores to the simulation: threads that spin beside it slow the policy tenfold (NOTES.md)."""
    torch = sys.modules.get("torch")
    if processes == 1 or torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before - processes))
    try:
        yield
    finally:
        torch.set_num_threads(before)
