"""Fill a model with a checkpoint's weights: tensor by tensor, in the wanted precision, on the wanted device.

The model is built without memory for its parameters; each tensor is read, converted and placed in turn, so that the
peak is the model itself and one tensor. Names are translated by the family's rules. A parameter that the file lacks is
an error, never left random. Cost: the disk's speed; 7 GB in 10 to 60 s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from accelerate import init_empty_weights  # type: ignore[import-untyped]
from safetensors import safe_open
from torch import nn

from steering.errors import InputError
from steering.models.checkpoint import Checkpoint
from steering.models.memory import Placement, gigabytes
from steering.models.names import Rules, translated
from steering.progress import Progress

DOWNLOAD_SHARE = 0.9  # of the progress, where the weights are fetched first


def load_model(
    build: Callable[[], nn.Module],
    checkpoint: Checkpoint,
    placement: Placement,
    rules: Rules,
    progress: Progress,
    *,
    may_lack: Sequence[str] = (),
) -> nn.Module:
    """The model that `build` makes, with the checkpoint's weights, in evaluation mode and without gradients.

    `may_lack`: parameters that no computation of the policy uses; where the file lacks them they become zero.
    Raises InputError where a parameter is missing or has another shape.
    """
    with init_empty_weights(include_buffers=False):
        model = build()
    wanted = dict(model.named_parameters())
    names = _sources(checkpoint, wanted, rules)
    _check(checkpoint, wanted, names, may_lack)
    local = all((checkpoint.folder / file).is_file() for file in checkpoint.files)
    checkpoint.download(progress.part(0.0, DOWNLOAD_SHARE))
    total = sum(checkpoint.tensors[name].bytes for name in names.values()) or 1
    done, reported, reading = 0, 0.0, progress if local else progress.part(DOWNLOAD_SHARE, 1.0)
    where = {name: target for target, name in names.items()}
    for file in checkpoint.files:
        with safe_open(checkpoint.folder / file, "pt") as tensors:
            for name in [name for name in tensors.keys() if name in where]:  # noqa: SIM118, not a dictionary
                tensor = tensors.get_tensor(name).to(placement.device, placement.dtype, copy=True)
                _place(model, where[name], tensor)
                done += checkpoint.tensors[name].bytes
                if done / total >= reported + 0.01 or done == total:
                    reported = done / total
                    reading.report(reported, f"Loading {checkpoint.name}: {gigabytes(done)} of {gigabytes(total)}")
    for target in wanted.keys() - names.keys():
        _place(model, target, torch.zeros(wanted[target].shape, dtype=placement.dtype, device=placement.device))
    for module in model.modules():
        for buffer in [name for name, value in module.named_buffers(recurse=False) if value is not None]:
            setattr(module, buffer, getattr(module, buffer).to(placement.device))
    return model.eval().requires_grad_(False)


def _sources(checkpoint: Checkpoint, wanted: dict[str, nn.Parameter], rules: Rules) -> dict[str, str]:
    """Parameter -> name in the file. Of two that fit (tied weights saved twice) the one of the parameter's own name."""
    names: dict[str, str] = {}
    for name in checkpoint.tensors:
        target = translated(name, rules)
        if target in wanted and (target not in names or name.split(".")[-2] == target.split(".")[-2]):
            names[target] = name
    return names


def _check(
    checkpoint: Checkpoint, wanted: dict[str, nn.Parameter], names: dict[str, str], may_lack: Sequence[str]
) -> None:
    missing = sorted(wanted.keys() - names.keys() - set(may_lack))
    if missing:
        raise InputError(
            f"Expected all {len(wanted)} parameters of the policy in the weights of {checkpoint.source!r}; "
            f"{len(missing)} are missing, such as {missing[0]}. Fetch the whole checkpoint, or one of this family."
        )
    for target, name in names.items():
        if tuple(wanted[target].shape) != checkpoint.tensors[name].shape:
            raise InputError(
                f"Expected {target} of shape {list(wanted[target].shape)}, as config.json says; the weights of "
                f"{checkpoint.source!r} hold {list(checkpoint.tensors[name].shape)}. Use the checkpoint's own config."
            )


def _place(model: nn.Module, target: str, tensor: torch.Tensor) -> None:
    module, _, name = target.rpartition(".")
    setattr(model.get_submodule(module), name, nn.Parameter(tensor, requires_grad=False))
