"""Checkpoints of a finetuning run: one file, written atomically, read back to the same bytes.

Adapter, optimizer and curves; the random draws need no state because they depend on (seed, step) alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from steering.errors import InputError

CHECKPOINT_FILE = "checkpoint.pt"


@dataclass
class TrainingState:
    """Where a run stands, mutable: it belongs to the loop.

    step: steps done. loss: of each. heldout: (step, error) of each evaluation. best: adapter weights of the lowest
    held-out error. adapter, optimizer: as read from a checkpoint, empty in a new run. train_s: wall seconds so far.
    """

    step: int = 0
    loss: list[float] = field(default_factory=list)
    heldout: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    adapter: dict[str, torch.Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    train_s: float = 0.0


def write_checkpoint(
    folder: Path, run: str, state: TrainingState, trained: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer
) -> None:
    """Write the checkpoint of run `run` (its fingerprint) to `folder`; the file before stays whole until it is done."""
    values = {
        "run": run,
        "step": state.step,
        "loss": state.loss,
        "heldout": state.heldout,
        "best": state.best,
        "adapter": {name: tensor.detach() for name, tensor in trained.items()},
        "optimizer": optimizer.state_dict(),
        "train_s": state.train_s,
    }
    partial = folder / f"{CHECKPOINT_FILE}.partial"
    with partial.open("wb") as file:
        torch.save(values, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / CHECKPOINT_FILE)


def read_checkpoint(folder: Path, run: str) -> TrainingState | None:
    """The state that `folder` holds, None when it holds none. Raises InputError when it is of another run."""
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        return None
    values = torch.load(path, map_location="cpu", weights_only=True)
    if values.pop("run") != run:
        raise InputError(
            f"Expected an empty folder or the same run to resume; {folder} holds a checkpoint of other settings, "
            "heads, demonstrations or policy. Choose another folder, or delete the checkpoint."
        )
    return TrainingState(**values)
