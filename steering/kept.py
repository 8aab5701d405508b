"""Artefacts in memory for the next question: one copy a process, dropped when nobody has asked for a while.

The three that were asked for last always stay until they are idle; older ones while all fit into KEPT_BYTES.
Activations and neighbours are 0.1 GB on the embedded policy and 2 GB at π0's size, what they are conditioned on 0.1 GB.
Values grow while they are asked: frames are decoded, residuals found. So all are measured again once in MEASURED_S.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from steering.lossless_video import LazyArrays

KEPT_BYTES = 192 << 20
IDLE_S = 600.0
MEASURED_S = 1.0
_ALWAYS = 3


@dataclass
class _Entry:
    """mark: what the value was read from. bytes: of its arrays; used_s: monotonic."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    mark: Hashable = None
    value: Any = None
    bytes: int = 0
    used_s: float = 0.0


class Kept:
    """Values by name, for any number of threads."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._waiting = False
        self._measured_s = -math.inf

    def get(self, name: str, mark: Hashable, make: Callable[[], Any]) -> Any:
        """The value of `name`, made where there is none of this `mark`. Threads that ask at once share one value."""
        with self._lock:
            entry = self._entries.setdefault(name, _Entry())
            entry.used_s = time.monotonic()
            self._entries.move_to_end(name)
        with entry.lock:
            if entry.value is None or entry.mark != mark:
                entry.value = None  # makes room before the next one is read
                try:
                    entry.value, entry.mark = make(), mark
                except BaseException:
                    self._entries.pop(name, None)
                    raise
                self._measured_s = -math.inf
            value = entry.value
        with self._lock:
            entry.used_s = time.monotonic()
            self._measure(entry.used_s)
            self._make_room()
            self._watch()
        return value

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._entries.clear()

    def _measure(self, now_s: float) -> None:
        """Measure everything where that was long ago."""
        if now_s - self._measured_s >= MEASURED_S:
            self._measured_s = now_s
            for entry in self._entries.values():
                entry.bytes = size_of(entry.value)

    def _make_room(self) -> None:
        while len(self._entries) > _ALWAYS and sum(entry.bytes for entry in self._entries.values()) > KEPT_BYTES:
            self._entries.popitem(last=False)

    def _watch(self) -> None:
        """Look again when the first entry may be idle."""
        if self._entries and not self._waiting:
            timer = threading.Timer(IDLE_S, self._drop_idle)
            timer.daemon = True
            self._waiting = True
            timer.start()

    def _drop_idle(self) -> None:
        with self._lock:
            now_s = time.monotonic()
            for name in [name for name, entry in self._entries.items() if now_s - entry.used_s >= IDLE_S]:
                del self._entries[name]
            self._waiting = False
            self._watch()


def size_of(value: Any) -> int:
    """Bytes of the arrays in a dataclass, or of what says its own; of camera frames those that are decoded."""
    if isinstance(nbytes := getattr(value, "nbytes", None), int):
        return nbytes
    if isinstance(value, LazyArrays):
        return value.decoded_bytes
    if dataclasses.is_dataclass(value):
        return sum(size_of(getattr(value, one.name)) for one in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return sum(map(size_of, value.values()))
    return sum(map(size_of, value)) if isinstance(value, tuple | list) else 0
