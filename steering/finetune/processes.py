"""One run on several processes (`accelerate launch`): each computes its share of a batch, gradients are summed.

Every process draws the same batch and takes every n-th row of it, so the numbers do not depend on how many there are
(to rounding). The first process alone writes files. Cost: one all-reduce of the trained parameters a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from accelerate import PartialState  # type: ignore[import-untyped]
from accelerate.utils import reduce  # type: ignore[import-untyped]

from steering.errors import InputError
from steering.models.policy import SteerablePolicy


class Processes:
    """Those of this run; one where nothing was launched. With several, the policy moves to its process's device."""

    def __init__(self, policy: SteerablePolicy) -> None:
        self._state = PartialState(cpu=policy.device.type == "cpu")
        self.count = self._state.num_processes
        if self.count > 1:
            policy.model.to(self._state.device)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return bool(self._state.is_main_process)

    def check(self, rows: int) -> None:
        """Raise InputError unless a batch of so many rows has one for every process: without, it has no gradient."""
        if rows < self.count:
            raise InputError(
                f"Expected a batch of at least {self.count} frames, one for each process; got {rows}. Raise the batch "
                f"size, or launch at most {rows} processes."
            )

    def share(self, rows: int) -> np.ndarray:
        """The rows of a batch that this process computes: int64."""
        return np.arange(rows)[self._state.process_index :: self.count]

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            self._state.wait_for_everyone()

    def sum(self, values: Sequence[float], tensors: Sequence[torch.Tensor] = ()) -> list[float]:
        """Sum `values` over processes, and `tensors` in place."""
        if self.count == 1:
            return list(values)
        device = self._state.device
        flat = torch.cat([torch.tensor(values, device=device), *(tensor.flatten().float() for tensor in tensors)])
        summed = reduce(flat, "sum")
        start = len(values)
        for tensor in tensors:
            tensor.copy_(summed[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()
        return [float(value) for value in summed[: len(values)]]
