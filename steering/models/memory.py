"""Where a policy goes and in which precision, and whether it fits, before anything is loaded.

On a GPU with bfloat16: bfloat16 from a gigabyte of weights on, single precision below. On a CPU: single precision
where it fits into half of the free memory, else bfloat16, which is slower there but half as large. Free memory is
what the system can give without swapping, and no more than a container's limit. Cost: microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from steering.errors import InputError, unknown_name
from steering.models.checkpoint import Checkpoint
from steering.models.free_memory import system_bytes

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SMALL_BYTES = 1 << 30
WORKING_BYTES = 512 << 20  # activations of a small batch, images, libraries


@dataclass(frozen=True)
class Placement:
    """device: `cpu`, `cuda`, …. weight_bytes: of all parameters in `dtype`. need_bytes: at the peak of loading."""

    device: str
    dtype: torch.dtype
    elements: int
    weight_bytes: int
    need_bytes: int
    free_bytes: int

    def words(self) -> str:
        """What it takes and what there is, as one sentence."""
        return (
            f"{_count(self.elements)} parameters in {_name(self.dtype)} on {self.device}: "
            f"{gigabytes(self.need_bytes)} of {gigabytes(self.free_bytes)} free memory."
        )


def place(checkpoint: Checkpoint, device: str | None = None, precision: str | None = None) -> Placement:
    """The device (`cuda` where there is one, unless given) and precision for a checkpoint.

    `precision`: of PRECISIONS, chosen by what the machine has unless given. Raises InputError, in words, when the
    policy does not fit into the free memory.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    free = free_bytes(device)
    if precision is None:
        dtype = _precision(checkpoint.elements, device, free)
    elif precision in PRECISIONS:
        dtype = PRECISIONS[precision]
    else:
        raise unknown_name("precision", precision, PRECISIONS)
    weights = checkpoint.elements * dtype.itemsize
    largest = max((tensor.bytes for tensor in checkpoint.tensors.values()), default=0)
    small = WORKING_BYTES if weights >= SMALL_BYTES else weights
    placement = Placement(device, dtype, checkpoint.elements, weights, weights + largest + small, free)
    if placement.need_bytes > free:
        half = "" if dtype.itemsize == 2 else " load it in bfloat16,"
        raise InputError(
            f"Expected {gigabytes(placement.need_bytes)} of free memory on {device} for {checkpoint.name} "
            f"({_count(checkpoint.elements)} parameters in {_name(dtype)}); there are {gigabytes(free)}. Close other "
            f"programs,{half} use a machine with more memory or a GPU, or choose a smaller policy."
        )
    return placement


def free_bytes(device: str = "cpu") -> int:
    """Memory that can still be taken on `device`."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    return system_bytes()


def _precision(elements: int, device: str, free: int) -> torch.dtype:
    single = elements * torch.float32.itemsize
    if device.startswith("cuda"):
        return torch.bfloat16 if single >= SMALL_BYTES and torch.cuda.is_bf16_supported() else torch.float32
    return torch.float32 if single < SMALL_BYTES or single <= free / 2 else torch.bfloat16


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def gigabytes(count: int) -> str:
    """Bytes as people say them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"


def _count(elements: int) -> str:
    return f"{elements / 1e9:.2f} billion" if elements >= 1e9 else f"{elements / 1e6:.1f} million"
