"""What training would touch on a policy, counted by `steering.finetune.plan` from its sizes: no weights, no torch.

Sizes come from `config.json`, or from the headers of the weights where that names none (lerobot's folders, SmolVLA).
Counting a method takes a few milliseconds at π0's size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path

from steering import hub
from steering.errors import InputError, NotFound, SteeringError
from steering.finetune.plan import Plan, Sizes, plan, sizes_of_checkpoint, sizes_of_config
from steering.models.checkpoint import EMBEDDED, EMBEDDED_FOLDER, open_checkpoint
from steering.types import FinetuneSettings, Head, HeadShape, Selection


@dataclass(frozen=True)
class PolicySize:
    """Sizes of a policy. parameters: of the whole model, None where the weights are not there to say."""

    name: str
    sizes: Sizes
    parameters: int | None

    @property
    def head_shape(self) -> HeadShape:
        """The policy's heads, stack by stack."""
        return self.sizes.head_shape

    def plan(self, method: str, settings: FinetuneSettings, heads: Sequence[Head] = ()) -> Plan:
        """What a method trains. Raises InputError where it cannot train anything."""
        return self._planned(method, settings, tuple(heads))

    @cached_property
    def _planned(self) -> Callable[[str, FinetuneSettings, tuple[Head, ...]], Plan]:
        """Keeps the newest plans: the page asks for every method's at each look."""
        return lru_cache(maxsize=512)(partial(_plan, self.sizes))

    def groups(self, method: str, settings: FinetuneSettings, heads: Sequence[Head] = ()) -> dict[str, int]:
        """Group -> trainable parameters."""
        if method == "full":
            return {"all": self.parameters} if self.parameters else {}
        return self.plan(method, settings, heads).parameters()

    def steering(self, heads: Sequence[Head], rank: int) -> int:
        """Trainable parameters of Robotic Steering on `heads` at default settings; 0 where they move nothing."""
        try:
            return sum(self.groups("steering", replace(FinetuneSettings(), rank=rank), heads).values())
        except InputError:
            return 0

    def lora(self, rank: int) -> int:
        """Trainable parameters of LoRA on all heads and feed-forward layers."""
        return sum(self.groups("lora", replace(FinetuneSettings(), rank=rank)).values())


def policy_size(source: str, name: str) -> PolicySize:
    """The sizes of the policy of a `source` that `steering.models.loading` knows; read again when its files change."""
    if hub.named(source) is not None:
        return _read(source, name, 0)
    folder = EMBEDDED_FOLDER if source == EMBEDDED else Path(source)
    config = folder / "config.json"
    if not config.is_file():
        raise NotFound(f"There is no policy in {folder.name}: config.json is missing. Fetch the repository's assets.")
    return _read(source, name, config.stat().st_mtime_ns)


def _plan(sizes: Sizes, method: str, settings: FinetuneSettings, heads: tuple[Head, ...]) -> Plan:
    return plan(method, settings, Selection(heads, "counted"), sizes)


@lru_cache(maxsize=16)
def _read(source: str, name: str, changed_ns: int) -> PolicySize:
    try:
        checkpoint = open_checkpoint(source)
    except SteeringError:
        config = Path(source) / "config.json"  # a configuration without its weights still says its sizes
        if not config.is_file():
            raise
        return PolicySize(name, sizes_of_config(json.loads(config.read_text("utf-8"))), None)
    return PolicySize(name, sizes_of_checkpoint(checkpoint), checkpoint.elements)
