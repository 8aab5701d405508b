"""Train chosen heads and say how well they predict demonstrations that took no part; nothing is saved.

The loop is that of `finetune`, so an experiment over many sets of heads measures what a user's run would reach. Cost on
the embedded policy: 200 steps of 4 heads in about a minute on a core.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from steering.finetune.adapters import attached
from steering.finetune.checkpoint import TrainingState
from steering.finetune.frames import frame_set
from steering.finetune.peak import PeakMemory
from steering.finetune.plan import plan, sizes_of_model
from steering.finetune.processes import Processes
from steering.finetune.training import TrainingRun
from steering.finetune.training_pass import training_pass
from steering.models.policy import SteerablePolicy
from steering.progress import Progress
from steering.types import Demonstrations, FinetuneSettings, Selection


@dataclass(frozen=True)
class Tried:
    """before, after: held-out error, squared standard deviations of the action. loss: of each step.

    train_s, cpu_s: wall and processor seconds of loop and evaluations. frozen_layers: computed once a frame.
    change: full module name -> ΔW, as large as its weight, float32; only where it was asked for.
    """

    before: float
    after: float
    loss: tuple[float, ...]
    trained: int
    train_s: float
    cpu_s: float
    frozen_layers: int
    change: dict[str, torch.Tensor]


def try_heads(
    policy: SteerablePolicy,
    demonstrations: Demonstrations,
    heldout: Demonstrations,
    selection: Selection,
    settings: FinetuneSettings,
    *,
    heldout_frames: int = 96,
    with_change: bool = False,
    progress: Progress = Progress(),
) -> Tried:
    """Train q and o of the selection's heads on all `demonstrations`; the error on `heldout` before and after."""
    chosen = plan("steering", settings, selection, sizes_of_model(policy.model))
    frozen = chosen.frozen_layers(policy.layout)
    with attached(policy, "steering", settings, selection) as (peft_model, _), training_pass(policy):
        frames = frame_set(
            policy,
            demonstrations,
            range(len(demonstrations.episodes)),
            progress.part(0, 0.1),
            draws=settings.steps * settings.batch_size,
            frozen_layers=frozen,
            precision=getattr(torch, settings.precision),
        )
        evaluation = frame_set(
            policy,
            heldout,
            range(len(heldout.episodes)),
            Progress(),
            draws=2 * heldout_frames * max(len(heldout.episodes), 2),
            limit=heldout_frames,
            frozen_layers=frozen,
        )
        state = TrainingState()
        memory = PeakMemory(policy.device)
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        with tempfile.TemporaryDirectory(prefix="steering-trying-") as folder:
            TrainingRun(policy, frames, evaluation, settings, Processes(policy), memory, Path(folder), "trying").train(
                state, progress.part(0.1, 1)
            )
        train_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
        change = {}
        if with_change:
            for part in chosen.parts:
                layer = policy.model.get_submodule(part.name)
                change[part.name] = layer.get_delta_weight("default").detach().float().clone()
    return Tried(
        before=state.heldout[0][1],
        after=state.heldout[-1][1],
        loss=tuple(state.loss),
        trained=sum(part.trained for part in chosen.parts),
        train_s=train_s,
        cpu_s=cpu_s,
        frozen_layers=frozen,
        change=change,
    )
