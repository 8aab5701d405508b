"""Methods of finetuning, their settings, and what they made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steering.types.selection import Selection
from steering.types.showing import Shown, table

METHODS = ("zero_shot", "steering", "lora", "lora_rank_matched", "dense_heads", "full")
METHOD_LABELS = {
    "zero_shot": "Zero-shot",
    "steering": "Robotic Steering",
    "lora": "LoRA, all heads",
    "lora_rank_matched": "LoRA, rank-matched",
    "dense_heads": "Selected heads, dense",
    "full": "Full finetune",
}
CONTROL_LABELS = {
    "random": "Control: random heads",
    "bottom": "Control: worst heads",
    "other_task": "Control: another task's heads",
}
"""Robotic Steering on heads that were not chosen for the task: rule -> label. Rollouts are named by the rule."""
HEAD_RESTRICTED = ("steering", "dense_heads")  # these train the selected heads alone
METHODS_OF_HEADS = ("steering", "lora_rank_matched", "dense_heads")  # these need a selection
FFN_CHOICES = ("none", "selected", "all")
PRECISIONS = ("bfloat16", "float32")


@dataclass(frozen=True)
class FinetuneSettings:
    """Settings shared by every finetuning method (openpi names). Learning rate is the peak after warm-up.

    alpha: scales ΔW by alpha / rank. What trains besides the selected heads' q and o: shared_kv, keys and values of
    their layers, which all heads of a layer share; ffn: of no layer, of the `selected` layers, or of `all` layers of
    the stacks that hold selected heads (FFN_CHOICES); projections: state and action projections, whole, under every
    adapter; time_mlp: the layers that the flow-matching time passes through, whole. LoRA on all heads always has keys,
    values and FFN. head_factors: every head has low-rank factors of its own (openpi), in place of its layer's.
    expert_rank: the rank in stacks on the actions, where it is another. noise_samples: of each prefix. accumulation:
    parts that a batch is computed in, to the same gradient with less memory. precision: of autocast (PRECISIONS).
    evaluations: of the held-out error in a run. keep_best: save the weights of the lowest held-out error instead of
    the last. patience: stop after as many evaluations without a lower held-out error.
    """

    steps: int = 300
    batch_size: int = 24
    rank: int = 16
    alpha: float = 16.0
    learning_rate: float = 1e-3
    warmup_steps: int = 20
    noise_samples: int = 4
    seed: int = 0
    shared_kv: bool = False
    ffn: str = "none"
    projections: bool = False
    time_mlp: bool = False
    head_factors: bool = False
    expert_rank: int | None = None
    accumulation: int = 1
    precision: str = "bfloat16"
    evaluations: int = 10
    keep_best: bool = False
    patience: int | None = None


@dataclass(frozen=True, repr=False)
class FinetuneResult(Shown):
    """A trained adapter and how it was made.

    folder: PEFT adapter folder; of `full` a checkpoint's folder. parameters: group -> trainable parameters that are
    not masked, e.g. `q_proj`, `o_proj`, `mlp`. loss: float32 [step]. heldout_step, heldout_error: int32, float32
    [evaluation], mean squared error of predicted action chunks on episodes left out of training, each dimension in
    its standard deviations. train_s: wall seconds of the loop.

    selection: also what a rank-matched LoRA was matched to. rank: of the adapters, None where there are none.
    best_step: the step whose weights are kept, None where that is the last. frozen_layers: the VLM's layers that were
    computed once a frame; cache_mb: memory that what was computed once took. peak_memory_mb: of the process (CPU) or
    of the device. notices: what the user should know of the run, as sentences.
    """

    method: str
    settings: FinetuneSettings
    selection: Selection | None
    folder: Path
    parameters: Mapping[str, int]
    loss: np.ndarray
    heldout_step: np.ndarray
    heldout_error: np.ndarray
    train_s: float
    rank: int | None = None
    best_step: int | None = None
    frozen_layers: int = 0
    cache_mb: float = 0.0
    peak_memory_mb: float = 0.0
    notices: tuple[str, ...] = ()

    def __repr__(self) -> str:
        heads = f", {len(self.selection.heads)} heads" if self.selection else ""
        return f"FinetuneResult({self.method}{heads}, {', '.join(' '.join(one) for one in self._told())})"

    def _repr_html_(self) -> str:
        """What trained, for how long, and what came of it."""
        return table(("", ""), self._told(), METHOD_LABELS[self.method])

    def _told(self) -> list[tuple[str, str]]:
        told = [("steps", str(len(self.loss))), ("trained parameters", f"{self.trainable_parameters:,}")]
        told += [("loss at the end", f"{self.loss[-20:].mean():.4f}")] if len(self.loss) else []
        told += [("held-out error", f"{self.heldout_error[-1]:.4f}")] if len(self.heldout_error) else []
        return [*told, ("seconds", f"{self.train_s:.0f}"), ("folder", self.folder.name)]

    @property
    def trainable_parameters(self) -> int:
        """Sum over groups."""
        return sum(self.parameters.values())
