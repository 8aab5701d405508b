"""One training step of Robotic Steering beside one of LoRA on all heads, interleaved in one run.

    python tests/benchmarks/bench_finetune.py [--rounds 12] [--noise-samples 1 4] [--threads 2] [--quick] [--out FILE]

On the embedded policy and the sample demonstrations: 20 VLM heads (the sample's selection) and as many expert heads.
`peft` is LoRA on all heads as PEFT and transformers train it by themselves: the same loss, optimizer, autocast, batch
and noise samples, transformers' default attention, the vision tower computed at each step from prepared pixels. `lora`
is the same adapter in our loop: frozen tower computed once a frame, the workbench's attention, the lean training pass.
Prints one JSON line for
each number of noise samples: median milliseconds of each, ratios of times taken within a round (median), trainable
parameters, and peak memory of a process of its own above the loaded policy, in MB. Budgets: vlm / peft 0.5,
expert / peft 0.2, memory 0.7, parameters 1/7.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from steering.finetune.attaching import attached
from steering.finetune.frames import FrameSet, frame_set
from steering.finetune.parameters import trainable_parameters
from steering.finetune.peak import PeakMemory
from steering.finetune.plan import plan, sizes_of_model
from steering.finetune.processes import Processes
from steering.finetune.training import BETAS, TrainingRun
from steering.finetune.training_pass import training_pass
from steering.models.flow import FlowPolicy
from steering.models.loading import load_policy
from steering.models.preprocessing import observe
from steering.progress import Progress
from steering.samples import open_store
from steering.types import Demonstrations, FinetuneSettings, Head, Selection

EPISODES = 3  # of the samples; a step's time does not depend on how many there are
VARIANTS = ("peft", "lora", "vlm", "expert")


@dataclasses.dataclass(frozen=True)
class PixelFrames(FrameSet):
    """Frames whose pixels are prepared beforehand, and nothing else."""

    def batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """The prepared tensors; the vision tower is left to the loss."""
        assert self.kept is not None
        return {name: tensor[torch.from_numpy(rows)] for name, tensor in self.kept.items()}


@contextlib.contextmanager
def stepping(
    variant: str, policy: FlowPolicy, demonstrations: Demonstrations, selection: Selection, settings: FinetuneSettings
) -> Iterator[tuple[Callable[[int], float], int]]:
    """A function that trains one step, and the number of trainable parameters, while the context is open."""
    expert = Selection(tuple(Head("expert", head.layer, head.head) for head in selection.heads), "same indices")
    chosen = {"vlm": selection, "expert": expert}.get(variant)
    method = "steering" if chosen else "lora"
    precision = getattr(torch, settings.precision)
    planned = plan(method, settings, chosen, sizes_of_model(policy.model))
    frozen = planned.frozen_layers(policy.layout)
    with contextlib.ExitStack() as stack:
        _, masks = stack.enter_context(attached(policy, method, settings, chosen))
        options: dict[str, Any] = {"draws": 10**9, "frozen_layers": frozen, "precision": precision}
        episodes = range(len(demonstrations.episodes))
        if variant == "peft":
            options["frozen_layers"] = None
        frames = frame_set(policy, demonstrations, episodes, Progress(), **options)
        if variant == "peft":
            kept = policy.prepare(observe(demonstrations, frames.episode, frames.frame), frames.chunk)
            frames = PixelFrames(**{**vars(frames), "kept": kept})
        trained = [p for p in policy.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=BETAS, weight_decay=0.0)
        run = TrainingRun(
            policy, frames, None, settings, Processes(policy), PeakMemory(policy.device), Path(), "benchmark"
        )
        counts = trainable_parameters(policy.model, masks, planned)
        if variant == "peft":
            policy.model.set_attn_implementation("sdpa")
        else:
            stack.enter_context(training_pass(policy))
        yield lambda number: run.step(number, optimizer), sum(counts.values())


def samples() -> tuple[Demonstrations, Selection]:
    """The sample demonstrations' first episodes, and the selection made from all of them."""
    with TemporaryDirectory() as folder:
        store = open_store(folder)
        selection = store.find("selection")[0]
        relevance = store.manifest(selection.parents[0])
        whole = store.load(relevance.parents[-1])
        return dataclasses.replace(whole, episodes=whole.episodes[:EPISODES]), store.load(selection.id)


def times_ms(rounds: int, settings: FinetuneSettings) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Milliseconds of a step, one of each variant a round, and trainable parameters; every variant has its policy."""
    demonstrations, selection = samples()
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    parameters = {}
    with contextlib.ExitStack() as stack:
        steps = {}
        for variant in VARIANTS:
            opened = stack.enter_context(stepping(variant, load_policy(), demonstrations, selection, settings))
            steps[variant], parameters[variant] = opened
        for number in range(rounds + 2):
            for variant, step in steps.items():
                began_s = time.perf_counter()
                step(number)
                if number >= 2:
                    times[variant].append(1e3 * (time.perf_counter() - began_s))
    return times, parameters


def memory_mb(variant: str, settings: FinetuneSettings) -> float:
    """Peak memory of three steps above that of the loaded policy, of this process; a variant needs a fresh one."""
    policy = load_policy()
    demonstrations, selection = samples()
    memory = PeakMemory(policy.device)
    before = memory.mb()
    with stepping(variant, policy, demonstrations, selection, settings) as (step, _):
        for number in range(3):
            step(number)
    return PeakMemory.mb(memory) - before


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--noise-samples", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--batch-size", type=int, default=FinetuneSettings().batch_size)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the JSON lines to this file")
    parser.add_argument("--quick", action="store_true", help="a few steps, only to see that it runs")
    parser.add_argument("--memory-of", choices=VARIANTS, help="only the peak memory of one variant")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.noise_samples, given.batch_size = 1, [1], 2
    torch.set_num_threads(given.threads)
    lines = []
    for noise_samples in given.noise_samples:
        settings = FinetuneSettings(batch_size=given.batch_size, noise_samples=noise_samples)
        if given.memory_of:
            print(memory_mb(given.memory_of, settings))
            return
        times, parameters = times_ms(given.rounds, settings)
        ratios = {
            f"{variant}/{base}": round(float(np.median(np.divide(times[variant], times[base]))), 3)
            for base in ("peft", "lora")
            for variant in ("vlm", "expert")
        }
        memory = {}
        for variant in VARIANTS:
            command = [sys.executable, __file__, "--memory-of", variant, "--threads", str(given.threads)]
            command += ["--noise-samples", str(noise_samples), "--batch-size", str(given.batch_size)]
            memory[variant] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        result = {
            "noise_samples": noise_samples,
            "batch_size": given.batch_size,
            "median_ms": {variant: round(float(np.median(values)), 1) for variant, values in times.items()},
            "time_ratio": ratios,
            "peak_mb": {variant: round(value) for variant, value in memory.items()},
            "memory_ratio": {v: round(memory[v] / memory["peft"], 2) for v in ("lora", "vlm", "expert")},
            "parameters": parameters,
            "parameter_ratio": {v: round(parameters[v] / parameters["peft"], 3) for v in ("vlm", "expert")},
        }
        lines.append(json.dumps(result))
        print(lines[-1], flush=True)
    if given.out is not None:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
