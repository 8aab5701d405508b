"""Train chosen heads and say how well they predict demonstrations that took no part; nothing is saved.

The loop is that of `finetune`, so an experiment over many sets of heads measures what a user's run would reach. Frames
are embedded once for all sets that reach the first layer: 45 kB and 2 ms each. Cost on the embedded policy: 200 steps
of 4 heads in about a minute on a core.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from steering.finetune.attaching import attached
from steering.finetune.checkpoint import TrainingState
from steering.finetune.frames import FrameSet, frame_set
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


@dataclass(frozen=True)
class Trying:
    """Demonstrations to train on, all of them, and `heldout` ones to judge by, `heldout_frames` of their frames."""

    policy: SteerablePolicy
    demonstrations: Demonstrations
    heldout: Demonstrations
    settings: FinetuneSettings
    heldout_frames: int = 96
    _embedded: dict[int, tuple[FrameSet, FrameSet]] = field(default_factory=dict, repr=False, compare=False)

    def heads(self, selection: Selection, *, with_change: bool = False, progress: Progress = Progress()) -> Tried:
        """Train q and o of the selection's heads; the error on the held-out frames before and after."""
        policy, settings = self.policy, self.settings
        chosen = plan("steering", settings, selection, sizes_of_model(policy.model))
        frozen = chosen.frozen_layers(policy.layout)
        with attached(policy, "steering", settings, selection), training_pass(policy):
            frames, evaluation = self._frames(frozen, progress.part(0, 0.1))
            state = TrainingState()
            memory = PeakMemory(policy.device)
            began_s, began_cpu_s = time.monotonic(), time.process_time()
            with tempfile.TemporaryDirectory(prefix="steering-trying-") as folder:
                TrainingRun(
                    policy, frames, evaluation, settings, Processes(policy), memory, Path(folder), "trying"
                ).train(state, progress.part(0.1, 1))
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

    def _frames(self, frozen: int, progress: Progress) -> tuple[FrameSet, FrameSet]:
        """Frames to train on and to judge by; what is embedded alone is kept, since most sets reach the first layer."""
        if frozen in self._embedded:
            return self._embedded[frozen]
        frames = frame_set(
            self.policy,
            self.demonstrations,
            range(len(self.demonstrations.episodes)),
            progress,
            draws=self.settings.steps * self.settings.batch_size,
            frozen_layers=frozen,
            precision=getattr(torch, self.settings.precision),
        )
        evaluation = frame_set(
            self.policy,
            self.heldout,
            range(len(self.heldout.episodes)),
            Progress(),
            draws=2 * self.heldout_frames * max(len(self.heldout.episodes), 2),
            limit=self.heldout_frames,
            frozen_layers=frozen,
        )
        if frozen == 0:
            self._embedded[0] = frames, evaluation
        return frames, evaluation
