"""Peak memory of a run: of the device where it is a GPU, else the process's resident memory. Microseconds to read."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Watches from its creation on. On systems that cannot restart the count, from the process's start."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device if device.type == "cuda" else None
        if self._cuda is not None:
            torch.cuda.reset_peak_memory_stats(self._cuda)
        elif _RESET.exists():
            with contextlib.suppress(OSError):  # a container may forbid it
                _RESET.write_text("5")

    def mb(self) -> float:
        """The peak so far, in MB (10⁶ bytes)."""
        if self._cuda is not None:
            return torch.cuda.max_memory_allocated(self._cuda) / 1e6
        if _STATUS.exists():
            line = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM")), None)
            if line is not None:
                return int(line.split()[1]) * 1024 / 1e6
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
