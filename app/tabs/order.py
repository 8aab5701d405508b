"""Which of two answers is newer. What a step shows is asked for when the page opens, a step is opened or a job ends; a
visitor may press something meanwhile, and what that press has drawn would be drawn over by the older answer.

So each page's parts remember when a press was last answered there, and a drawing that began before leaves them as they
are. Costs a number a part of the page, of the pages that were last at work.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any

import gradio as gr

PAGES = 256
SKIPPED = gr.skip()


class Order:
    """When presses were last answered: page -> part of it -> monotonic seconds."""

    def __init__(self) -> None:
        self._answered: OrderedDict[str, dict[int, float]] = OrderedDict()
        self._lock = Lock()

    def note(self, page: str | None, parts: Sequence[Any], found: Any) -> None:
        """A press was answered: `found` is drawn in `parts`, but where it leaves them as they are."""
        if page is None:
            return
        now_s = time.monotonic()
        drawn = {
            id(part): now_s for part, value in zip(parts, _each(found, len(parts)), strict=True) if not _skips(value)
        }
        with self._lock:
            self._answered.setdefault(page, {}).update(drawn)
            self._answered.move_to_end(page)
            while len(self._answered) > PAGES:
                self._answered.popitem(last=False)

    def newest(self, page: str | None, parts: Sequence[Any], found: Any, began_s: float) -> Any:
        """`found`, without what is to be drawn over the answer to a press that came after `began_s`."""
        with self._lock:
            answered = dict(self._answered.get(page or "", {}))
        late = [answered.get(id(part), began_s) > began_s for part in parts]
        if not any(late):
            return found
        kept = [SKIPPED if old else value for old, value in zip(late, _each(found, len(parts)), strict=True)]
        return kept if len(parts) > 1 else kept[0]


def _each(found: Any, count: int) -> list[Any]:
    """What goes to each part."""
    if count == 1:
        return [found]
    return [found] * count if _skips(found) else list(found or ())


def _skips(value: Any) -> bool:
    return isinstance(value, dict) and value == SKIPPED
