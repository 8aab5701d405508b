"""What a checkpoint holds, read from its small files and its safetensors headers, before any weight is loaded.

A checkpoint is a folder or a hub id with `config.json` and `model.safetensors` (or shards with an index). Headers name
every tensor with its shape and precision in a few kilobytes, so sizes, layout and the memory needed are known first;
for a hub id that is not downloaded they come by range requests. Pickled weights (`.bin`, `.pt`) are not opened: they
can run code. Cost: milliseconds for a folder.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import get_safetensors_metadata
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, NotASafetensorsRepoError

from steering import hub
from steering.assets import ASSETS
from steering.errors import InputError, NotFound
from steering.models.openpi_layout import in_lerobots_words
from steering.models.other_folders import what_it_is
from steering.progress import Progress

EMBEDDED = "embedded"
EMBEDDED_FOLDER = ASSETS / "policy"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SMALL_FILES = ("*.json", "*.model", "*.txt", "policy_*.safetensors")
MAX_HEADER_BYTES = 100 << 20  # safetensors' own limit
ELEMENT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True)
class TensorHeader:
    """One tensor of a safetensors file. dtype: in safetensors' words, e.g. BF16."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes in the file."""
        return self.elements * ELEMENT_BYTES.get(self.dtype, 1)


@dataclass(frozen=True)
class Checkpoint:
    """A policy's files. source: as the user named it. folder: where they lie. config: of `config.json`.

    tensors: name in the file -> header. files: names of the weight files, downloaded or not.
    """

    source: str
    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, TensorHeader] = field(repr=False)
    files: tuple[str, ...]

    @property
    def family(self) -> str:
        """The family's name: `model_type` of transformers or `type` of lerobot."""
        return str(self.config.get("model_type") or self.config.get("type") or "")

    @property
    def name(self) -> str:
        """What people call it: `embedded`, or the last part of its path or id."""
        return EMBEDDED if self.source == EMBEDDED else Path(hub.shown(self.source)).name

    @property
    def elements(self) -> int:
        """Number of parameters."""
        return sum(tensor.elements for tensor in self.tensors.values())

    def read_json(self, name: str) -> dict[str, Any]:
        """A small JSON file's contents, empty where there is none. Raises InputError when it is broken."""
        path = self.folder / name
        if not path.is_file():
            return {}
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"Expected JSON in {path}; it is broken ({error}). Fetch the checkpoint again.") from error
        if not isinstance(value, dict):
            raise InputError(f"Expected a JSON object in {path}; got {type(value).__name__}. Fetch it again.")
        return value

    def download(self, progress: Progress) -> None:
        """Fetch the weight files of a hub id that are not here yet. Raises InputError when the disk is too small."""
        missing = [name for name in self.files if not (self.folder / name).is_file()]
        total = sum(tensor.bytes for tensor in self.tensors.values())
        free = shutil.disk_usage(self.folder).free
        if missing and total > free:
            raise InputError(
                f"Expected {total / 1e9:.1f} GB of free disk for the weights of {hub.shown(self.source)!r}; there are "
                f"{free / 1e9:.1f} GB at {self.folder}. Free some, or set HF_HOME to a larger disk."
            )
        for index, name in enumerate(missing):
            words = f"Downloading {name} of {hub.shown(self.source)}, {total / 1e9:.1f} GB in all"
            progress.report(index / len(missing), words)
            _snapshot(self.source, (name,))


def open_checkpoint(source: str | Path) -> Checkpoint:
    """The checkpoint of `embedded`, a folder or a hub id (from the local hub cache when offline); no weights yet.

    Raises NotFound for what does not exist, InputError for what is there but broken.
    """
    folder = _folder(source)
    draft = Checkpoint(str(source), folder, {}, {}, ())
    config = draft.read_json("config.json")
    if not config:
        raise NotFound(
            f"Expected a policy checkpoint at {hub.shown(source)!r}; it has no config.json. "
            f"{what_it_is(folder) or 'Check the path or id.'}"
        )
    files = [WEIGHTS] if (folder / WEIGHTS).is_file() else _shards(draft)
    if files and all((folder / name).is_file() for name in files):
        tensors = {key: header for name in files for key, header in read_header(folder / name).items()}
    elif hub.named(source) is None:
        missing = [name for name in files if not (folder / name).is_file()] or [WEIGHTS]
        known = what_it_is(folder) or "Copy the whole checkpoint, or convert pickled weights with safetensors first."
        raise NotFound(
            f"Expected the weights of {str(source)!r} in safetensors files; {', '.join(missing[:3])} missing. {known}"
        )
    else:
        files, tensors = _remote_headers(str(source))
    return Checkpoint(str(source), folder, in_lerobots_words(config, tensors), tensors, tuple(files))


def read_header(path: Path) -> dict[str, TensorHeader]:
    """Every tensor of a safetensors file by name. Raises InputError when the file is cut off, a pointer or none."""
    hub.refuse_pointer(path)
    size = path.stat().st_size
    broken = InputError(f"Expected a whole safetensors file; {path} is cut off or damaged. Fetch it again.")
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
            raise broken
        try:
            header = json.loads(file.read(length))
        except ValueError:
            raise broken from None
    if not isinstance(header, dict):
        raise broken
    header.pop("__metadata__", None)
    try:
        end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
        tensors = {name: TensorHeader(entry["dtype"], tuple(entry["shape"])) for name, entry in header.items()}
    except (KeyError, TypeError, IndexError, ValueError):
        raise broken from None
    if 8 + length + end != size:
        raise broken
    return tensors


def _folder(source: str | Path) -> Path:
    if str(source) == EMBEDDED:
        if not (EMBEDDED_FOLDER / "config.json").is_file():
            raise NotFound(
                f"The embedded policy is not in {EMBEDDED_FOLDER}. Fetch the repository's assets, or make it with "
                "`python -m steering.pretraining`."
            )
        return EMBEDDED_FOLDER
    if hub.named(source) is not None:
        return _snapshot(str(source), SMALL_FILES)
    if not Path(source).is_dir():
        raise NotFound(
            f"Expected '{EMBEDDED}', the folder of a checkpoint, or a hub id such as 'lerobot/pi0_base'; there is "
            f"no folder {str(source)!r}. Check the path."
        )
    return Path(source)


def _shards(draft: Checkpoint) -> list[str]:
    """The weight files that the index names. Raises InputError for names that lead out of the checkpoint."""
    named = draft.read_json(INDEX).get("weight_map", {})
    files = sorted(set(map(str, named.values()))) if isinstance(named, dict) else []
    for name in files:
        if Path(name).name != name or name in (".", ".."):
            raise InputError(
                f"Expected names of files beside {INDEX} of {hub.shown(draft.source)!r}; it names {name[:80]!r}, which "
                "is refused. Fetch the checkpoint from its makers."
            )
    return files


def _snapshot(source: str, patterns: tuple[str, ...]) -> Path:
    repository = hub.named(source)
    assert repository is not None, source
    try:
        return repository.snapshot("model", patterns)
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise NotFound(
            f"Expected a checkpoint on the hub or in its local cache; {repository.id!r} cannot be fetched "
            f"({str(error).splitlines()[0]}). Check the name; without network access only downloaded ones load."
            f"{repository.lapsed}"
        ) from error


def _remote_headers(source: str) -> tuple[list[str], dict[str, TensorHeader]]:
    repository = hub.named(source)
    assert repository is not None, source
    try:
        found = get_safetensors_metadata(repository.id, token=repository.access["token"])
    except (HfHubHTTPError, NotASafetensorsRepoError, OSError) as error:
        raise NotFound(
            f"Expected safetensors weights of {repository.id!r}; they are neither downloaded nor reachable "
            f"({str(error).splitlines()[0]}). Download the checkpoint while online."
        ) from error
    tensors = {
        name: TensorHeader(str(info.dtype), tuple(info.shape))
        for file in found.files_metadata.values()
        for name, info in file.tensors.items()
    }
    return sorted(found.files_metadata), tensors
