"""The finetuning loop: flow matching on demonstrations, the same for every method.

AdamW (0.9, 0.95) without weight decay, gradients clipped at norm 1, linear warm-up and cosine decay to a tenth of the
peak (openpi's schedule), bfloat16 autocast, several noise samples per prefix. Every draw depends on (seed, step)
alone, so a run that stops, or is killed, and resumes ends with the same bytes. Cost: `tests/benchmarks/
bench_finetune.py`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from steering.errors import Cancelled, InputError, SteeringError, unknown_name
from steering.finetune.attaching import attached
from steering.finetune.checkpoint import CHECKPOINT_FILE, TrainingState, read_checkpoint, write_checkpoint
from steering.finetune.evaluation import heldout_error, heldout_frames
from steering.finetune.frames import FrameSet, autocast, frame_set
from steering.finetune.parameters import trainable_parameters
from steering.finetune.peak import PeakMemory
from steering.finetune.plan import STATE_AND_ACTION, Plan, plan, sizes_of_model
from steering.finetune.processes import Processes
from steering.finetune.saving import save
from steering.finetune.schedule import draws, learning_rate
from steering.finetune.training_pass import training_pass
from steering.models.policy import SteerablePolicy
from steering.progress import Progress
from steering.types import (
    METHODS,
    METHODS_OF_HEADS,
    PRECISIONS,
    Demonstrations,
    FinetuneResult,
    FinetuneSettings,
    Selection,
)

BETAS = (0.9, 0.95)
CLIP_NORM = 1.0
LEAST_EVALUATION_STEPS = 5
CHECKPOINT_S = 15.0
CHECKPOINT_SHARE = 0.05
"""Of the time, at most, that goes into writing checkpoints."""
EMBEDDING_SHARE = 0.1

Trained = dict[str, torch.nn.Parameter]


def finetune(
    policy: SteerablePolicy,
    demonstrations: Demonstrations,
    method: str,
    settings: FinetuneSettings,
    selection: Selection | None,
    folder: Path,
    *,
    heldout_episodes: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> FinetuneResult:
    """Train by `method` (METHODS) and save the result in `folder`; the policy leaves as it came.

    `selection`: the heads of METHODS_OF_HEADS, ignored by the others. `heldout_episodes`: indices of episodes that
    take no part in training (default: the last tenth). A checkpoint in `folder` of the same run is resumed.
    `zero_shot` trains and saves nothing. Under `accelerate launch` every process calls this and gets the same result.
    """
    _check(method, settings)
    progress = progress or Progress()
    training, heldout = demonstrations.split(heldout_episodes)
    selection = selection if method in METHODS_OF_HEADS else None
    memory = PeakMemory(policy.device)
    if method == "zero_shot":
        state = TrainingState()
        evaluation = heldout_frames(policy, demonstrations, heldout, evaluations=0)
        if evaluation is not None:
            with training_pass(policy):
                state.heldout.append((0, heldout_error(policy, evaluation, settings.seed)))
        progress.report(1.0, "Held-out error of the untouched policy")
        return _result(method, settings, selection, folder, state, peak_memory_mb=memory.mb())
    processes = Processes(policy)
    processes.check(settings.batch_size)
    chosen = plan(method, settings, selection, sizes_of_model(policy.model))
    name = _fingerprint(policy, demonstrations, method, settings, selection.heads if selection else (), heldout)
    folder.mkdir(parents=True, exist_ok=True)
    state = read_checkpoint(folder, name) or TrainingState()
    with attached(policy, method, settings, selection) as (peft_model, masks), training_pass(policy):
        frozen = _frozen(policy, chosen)
        frames = frame_set(
            policy,
            demonstrations,
            training,
            progress.part(0.0, EMBEDDING_SHARE),
            draws=settings.steps * settings.batch_size,
            frozen_layers=frozen,
            precision=getattr(torch, settings.precision),
        )
        evaluation = heldout_frames(
            policy, demonstrations, heldout, evaluations=settings.evaluations, frozen_layers=frozen
        )
        counts = trainable_parameters(policy.model, masks, chosen)
        run = TrainingRun(policy, frames, evaluation, settings, processes, memory, folder, name)
        notices = chosen.notices + run.train(state, progress.part(EMBEDDING_SHARE, 1.0))
        best = _best_step(state) if settings.keep_best and state.best else None
        if best is not None:
            _assign(policy.model, state.best)
        if processes.first:
            save(peft_model, policy, folder, method, selection, demonstrations.robot)
            (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
        processes.wait()
    return _result(
        method,
        settings,
        selection,
        folder,
        state,
        parameters=counts,
        rank=chosen.rank,
        best_step=best,
        frozen_layers=frames.frozen_layers or 0,
        cache_mb=frames.kept_bytes / 1e6,
        peak_memory_mb=memory.mb(),
        notices=notices,
    )


def _check(method: str, settings: FinetuneSettings) -> None:
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if settings.precision not in PRECISIONS:
        raise unknown_name("precision", settings.precision, PRECISIONS)
    for name in ("steps", "batch_size", "noise_samples", "accumulation", "evaluations"):
        if getattr(settings, name) < 1:
            raise InputError(f"Expected {name} of at least 1; got {getattr(settings, name)}. Raise it.")
    if settings.accumulation > settings.batch_size:
        raise InputError(
            f"Expected at most as many parts as frames in a batch ({settings.batch_size}); got {settings.accumulation} "
            "(accumulation). Lower it."
        )


def _frozen(policy: SteerablePolicy, chosen: Plan) -> int | None:
    """The VLM's layers below everything that trains; None where the embedded prefix itself trains."""
    state_enters_vlm = "state" not in policy.expert_tokens
    if not chosen.parts or (state_enters_vlm and any(part.projection == STATE_AND_ACTION[0] for part in chosen.parts)):
        return None
    return chosen.frozen_layers(policy.layout)


@dataclass(frozen=True)
class TrainingRun:
    """What does not change during the loop. name: the run's fingerprint."""

    policy: SteerablePolicy
    frames: FrameSet
    evaluation: FrameSet | None
    settings: FinetuneSettings
    processes: Processes
    memory: PeakMemory
    folder: Path
    name: str

    def train(self, state: TrainingState, progress: Progress) -> tuple[str, ...]:
        """Run the loop from `state` to the end; `state` follows. Returns what the user should know, as sentences.

        A checkpoint is left behind when it is cancelled, and from time to time, for when it is killed.
        """
        settings = self.settings
        trained = {name: p for name, p in self.policy.model.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(trained.values(), lr=settings.learning_rate, betas=BETAS, weight_decay=0.0)
        if state.adapter:
            _assign(self.policy.model, state.adapter)
            optimizer.load_state_dict(state.optimizer)
        every = max(settings.steps // settings.evaluations, LEAST_EVALUATION_STEPS)
        began_s = time.monotonic() - state.train_s
        written_s, writing_s = time.monotonic(), 0.0
        if state.step == 0:
            self._evaluate(state, trained)
            self._report(progress, state, trained, optimizer)
        while state.step < settings.steps:
            if self._patience_is_over(state):
                return (
                    f"Stopped after step {state.step}: the held-out error did not fall in {settings.patience} "
                    f"evaluations after step {_best_step(state)}.",
                )
            state.loss.append(self.step(state.step, optimizer))
            state.step += 1
            if state.step % every == 0 or state.step == settings.steps:
                self._evaluate(state, trained)
            state.train_s = time.monotonic() - began_s
            if time.monotonic() - written_s >= max(CHECKPOINT_S, writing_s / CHECKPOINT_SHARE):
                began_writing_s = time.monotonic()
                self._write(state, trained, optimizer)
                written_s = time.monotonic()
                writing_s = written_s - began_writing_s
            self._report(progress, state, trained, optimizer)
        return ()

    def step(self, step: int, optimizer: torch.optim.Optimizer) -> float:
        """One optimizer step; returns the loss. Raises SteeringError, weights untouched, when it is not finite."""
        settings, policy = self.settings, self.policy
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        drawn = draws(step, len(self.frames), settings, policy.model.config, policy.chunk_size, policy.noise_dim)
        total = 0.0
        for rows in np.array_split(self.processes.share(settings.batch_size), settings.accumulation):
            if len(rows):
                noise = torch.from_numpy(drawn.noise[rows]).to(policy.device)
                timestep = torch.from_numpy(drawn.timestep[rows]).to(policy.device)
                batch = self.frames.batch(drawn.rows[rows])
                with autocast(policy, self.frames.precision):
                    loss = policy.flow_loss(batch, noise, timestep) * (len(rows) / settings.batch_size)
                loss.backward()
                total += float(loss.detach())
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        total = self.processes.sum([total], gradients)[0]
        if not np.isfinite(total):
            raise SteeringError(
                f"The loss became {total} at step {step + 1}. Lower the learning rate "
                f"({settings.learning_rate:g}) and start again."
            )
        torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total

    def _evaluate(self, state: TrainingState, trained: Trained) -> None:
        """Add the held-out error at this step, where episodes are held out, and keep the weights if it is the best."""
        if self.evaluation is None:
            return
        error = heldout_error(self.policy, self.evaluation, self.settings.seed)
        error = self.processes.sum([error])[0] / self.processes.count
        if self.settings.keep_best and (not state.heldout or error < min(e for _, e in state.heldout)):
            state.best = {name: p.detach().clone() for name, p in trained.items()}
        state.heldout.append((state.step, error))

    def _patience_is_over(self, state: TrainingState) -> bool:
        if self.settings.patience is None or not state.heldout:
            return False
        return sum(step > _best_step(state) for step, _ in state.heldout) >= self.settings.patience

    def _write(self, state: TrainingState, trained: Trained, optimizer: torch.optim.Optimizer) -> None:
        if self.processes.first:
            write_checkpoint(self.folder, self.name, state, trained, optimizer)

    def _report(
        self, progress: Progress, state: TrainingState, trained: Trained, optimizer: torch.optim.Optimizer
    ) -> None:
        """Report where the run stands. Where the user stops it, every process leaves, a checkpoint behind it."""
        cancelled: Cancelled | None = None
        message = f"Finetuning: step {state.step} of {self.settings.steps}"
        try:
            progress.report(state.step / self.settings.steps, message, **self._metrics(state))
        except Cancelled as stop:
            cancelled = stop
        if self.processes.sum([float(cancelled is not None)])[0]:
            self._write(state, trained, optimizer)
            raise cancelled or Cancelled("Stopped in another process; finished results are kept.")

    def _metrics(self, state: TrainingState) -> dict[str, float]:
        metrics = {"step": float(state.step), "peak_memory_mb": self.memory.mb()}
        if state.loss and state.train_s:
            metrics |= {
                "loss": state.loss[-1],
                "learning_rate": learning_rate(state.step - 1, self.settings),
                "samples_per_s": state.step * self.settings.batch_size / state.train_s,
                "left_s": state.train_s / state.step * (self.settings.steps - state.step),
            }
        if state.heldout and state.heldout[-1][0] == state.step:
            metrics["heldout_error"] = state.heldout[-1][1]
        return metrics


def _best_step(state: TrainingState) -> int:
    return min(state.heldout, key=lambda one: one[1])[0]


def _assign(model: torch.nn.Module, values: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            model.get_parameter(name).copy_(value)


def _fingerprint(policy: SteerablePolicy, demonstrations: Demonstrations, *rest: object) -> str:
    """What decides a run's bytes, as SHA-256: a checkpoint is resumed by the same run only."""
    scales = [values.tolist() for values in vars(policy.preprocessor.statistics).values()]
    return hashlib.sha256(repr((policy.name, demonstrations.fingerprint(), scales, *rest)).encode()).hexdigest()


def _result(
    method: str,
    settings: FinetuneSettings,
    selection: Selection | None,
    folder: Path,
    state: TrainingState,
    **others: object,
) -> FinetuneResult:
    return FinetuneResult(
        method=method,
        settings=settings,
        selection=selection,
        folder=folder,
        loss=np.array(state.loss, np.float32),
        heldout_step=np.array([step for step, _ in state.heldout], np.int32),
        heldout_error=np.array([error for _, error in state.heldout], np.float32),
        train_s=state.train_s,
        **{"parameters": {}, **others},  # type: ignore[arg-type]
    )
