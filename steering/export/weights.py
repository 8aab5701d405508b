"""The weights of a checkpoint with a finetune in them, tensor by tensor: no model is built, one tensor is in memory.

A low-rank adapter adds alpha / rank · B·A to a projection; modules that trained whole, and full finetunes, replace
theirs. What a finetune changed is written in single precision, everything else as it stands in the checkpoint. Cost:
the disk's speed, twice.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from steering.errors import InputError
from steering.models.checkpoint import ELEMENT_BYTES, WEIGHTS, Checkpoint, TensorHeader, read_header
from steering.models.names import RULES, translated
from steering.progress import Progress

ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."
BUFFERS = ("normalize_inputs.", "normalize_targets.", "unnormalize_outputs.")
"""lerobot's statistics before 0.4, among the weights."""
EXPERT_WORDS = "model.dit.embed_tokens.weight"
"""The expert's word head, which nothing reads and lerobot's loader wants."""
_PART = 64 << 20


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file to be written. read: gives it, of that shape and precision."""

    name: str
    header: TensorHeader
    read: Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Adapter:
    """An adapter's folder. config: of `adapter_config.json`, empty for a full finetune. tensors: of its weights."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, TensorHeader]

    @property
    def file(self) -> Path:
        """Its weights."""
        return self.folder / (ADAPTER_WEIGHTS if self.config else WEIGHTS)

    def tensor(self, name: str) -> torch.Tensor:
        """One of its tensors."""
        with safe_open(self.file, "pt") as file:
            return file.get_tensor(name)

    def changed(self, name: str, weight: torch.Tensor) -> torch.Tensor | None:
        """float32: the model's parameter `name`, of which the checkpoint has `weight`; None where it is unchanged."""
        whole = f"{PREFIX}{name}" if self.config else name
        if whole in self.tensors:
            return self.tensor(whole).float()
        module = name.removesuffix(".weight")
        down, up = (f"{PREFIX}{module}.lora_{factor}.weight" for factor in "AB")
        if down not in self.tensors or not name.endswith(".weight"):
            return None
        return weight.float() + self._scale(module) * (self.tensor(up).float() @ self.tensor(down).float())

    def changes(self, name: str) -> bool:
        """Whether the parameter `name` was trained."""
        module = name.removesuffix(".weight")
        found = (f"{PREFIX}{name}", f"{PREFIX}{module}.lora_A.weight") if self.config else (name,)
        return any(one in self.tensors for one in found)

    def _scale(self, module: str) -> float:
        own, rank = re.escape(module), self.config["r"]
        rank = self.config.get("rank_pattern", {}).get(own, rank)
        return float(self.config.get("alpha_pattern", {}).get(own, self.config["lora_alpha"])) / float(rank)


def open_adapter(folder: Path) -> Adapter:
    """The adapter or full finetune in a folder that finetuning wrote."""
    path = folder / ADAPTER_CONFIG
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return Adapter(folder, config, read_header(folder / (ADAPTER_WEIGHTS if config else WEIGHTS)))


def merged_tensors(checkpoint: Checkpoint, adapter: Adapter | None, rename: Callable[[str], str]) -> list[Tensor]:
    """Every parameter of the policy with the finetune in it, under the names that `rename` gives the model's.

    Raises InputError where the adapter trained what the checkpoint does not have.
    """
    rules, sources = RULES[checkpoint.family], dict[str, str]()
    for source in checkpoint.tensors:
        target = translated(source, rules)
        if not source.startswith(BUFFERS) and (target not in sources or source.split(".")[-2] == target.split(".")[-2]):
            sources[target] = source
    trained = [] if adapter is None else [name for name in sources if adapter.changes(name)]
    wanted = 0 if adapter is None else sum(not name.endswith(".lora_B.weight") for name in adapter.tensors)
    if adapter is not None and adapter.config and len(trained) != wanted:
        raise InputError(
            f"Expected an adapter that was trained on {checkpoint.name!r}; it has {wanted} modules, of which the "
            f"checkpoint has {len(trained)}. Export it with the policy that it was trained on."
        )
    files = {name: file for file in checkpoint.files for name in read_header(checkpoint.folder / file)}
    return [
        _tensor(checkpoint.folder / files[source], source, checkpoint.tensors[source], rename(target), target, adapter)
        for target, source in sources.items()
    ]


def _tensor(file: Path, source: str, header: TensorHeader, name: str, target: str, adapter: Adapter | None) -> Tensor:
    def read() -> torch.Tensor:
        with safe_open(file, "pt") as tensors:
            weight = tensors.get_tensor(source)
        changed = None if adapter is None else adapter.changed(target, weight)
        return weight if changed is None else changed

    if adapter is not None and adapter.changes(target):
        header = TensorHeader("F32", header.shape)
    return Tensor(name, header, read)


def zeros(name: str, shape: Sequence[int]) -> Tensor:
    """A tensor that nothing reads and a loader wants."""
    return Tensor(name, TensorHeader("BF16", tuple(shape)), lambda: torch.zeros(*shape, dtype=torch.bfloat16))


def write(path: Path, tensors: Sequence[Tensor], progress: Progress) -> None:
    """Write a safetensors file, one tensor in memory at a time."""
    ends, offset, header = 0, 0, dict[str, Any]({"__metadata__": {"format": "pt"}})
    for one in tensors:
        offset, ends = ends, ends + math.prod(one.header.shape) * ELEMENT_BYTES[one.header.dtype]
        header[one.name] = {"dtype": one.header.dtype, "shape": one.header.shape, "data_offsets": [offset, ends]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for i, one in enumerate(tensors):
            for part in _bytes(one):
                file.write(part)
            progress.report((i + 1) / len(tensors), f"Writing {path.name}")


def _bytes(one: Tensor) -> Iterator[bytes]:
    value = one.read().contiguous()
    expected = math.prod(one.header.shape) * ELEMENT_BYTES[one.header.dtype]
    assert tuple(value.shape) == one.header.shape and value.nbytes == expected, one.name
    raw = value.reshape(-1).view(torch.uint8).numpy()
    for begin in range(0, len(raw), _PART):
        yield raw[begin : begin + _PART].tobytes()


def renamed_adapter(adapter: Adapter, rename: Callable[[str], str]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The adapter's configuration and tensors with its modules under other names, for PEFT as before."""
    names = {name: _module(name) for name in adapter.tensors}
    modules = {module: rename(f"{module}.weight").removesuffix(".weight") for module in names.values()}
    escaped = {re.escape(old): re.escape(new) for old, new in modules.items()}
    config = dict(adapter.config)
    config["target_modules"] = "|".join(escaped[old] for old in str(config["target_modules"]).split("|"))
    for pattern in ("rank_pattern", "alpha_pattern"):
        config[pattern] = {escaped[old]: value for old, value in (config.get(pattern) or {}).items()}
    if config.get("modules_to_save"):
        config["modules_to_save"] = [modules[old] for old in config["modules_to_save"]]
    tensors = {}
    for name, module in names.items():
        rest = name.removeprefix(PREFIX + module)
        tensors[f"{PREFIX}{modules[module]}{rest}"] = adapter.tensor(name).contiguous()
    return config, tensors


def _module(name: str) -> str:
    """The module that a tensor of an adapter belongs to."""
    plain = name.removeprefix(PREFIX)
    return re.sub(r"\.(lora_[AB]\.)?(weight|bias)$", "", plain)
