"""Progress and cancellation: the one object that long work receives. Costs nothing when nobody watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from steering.errors import Cancelled


@dataclass(frozen=True)
class Report:
    """One progress report. fraction: 0..1 of the whole. left_s: estimated seconds left of the whole, None at the start.

    metrics: numbers worth plotting, e.g. `step`, `loss`, `heldout_error`.
    """

    fraction: float
    message: str
    left_s: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass
class _Told:
    """What a whole piece of work and its parts have said: where it is, and the seconds left at a time, None before."""

    reached: float
    left: tuple[float, float] | None = None


class Progress:
    """Receives reports and says whether to stop.

    `sink` is called with each Report; `should_cancel` is asked at each report. The default does neither.
    """

    def __init__(
        self,
        sink: Callable[[Report], None] | None = None,
        should_cancel: Callable[[], bool] | None = None,
        *,
        start: float = 0.0,
        end: float = 1.0,
        about: str = "",
    ) -> None:
        self._sink = sink
        self._should_cancel = should_cancel
        self._start, self._end, self._about = start, end, about
        self._told = _Told(start)  # its parts share it
        self._before: tuple[float, float] | None = None  # what was told when this part began
        self._began_s = time.monotonic()

    def report(self, fraction: float, message: str, **metrics: float) -> None:
        """Report `fraction` (0..1) of this part of the work. Raises Cancelled when the user has stopped it."""
        if self._should_cancel is not None and self._should_cancel():
            raise Cancelled("Stopped at your request; finished results are kept.")
        if self._sink is None:
            return
        left_s = self._left_s(fraction)
        whole = self._start + (self._end - self._start) * min(max(fraction, 0.0), 1.0)
        self._told.reached = whole
        self._told.left = None if left_s is None else (left_s, time.monotonic())
        self._sink(Report(whole, self._about + message, left_s, metrics))

    def say(self, message: str) -> None:
        """Report `message` where the work has got to, such as a download that it waits for. Raises as `report`."""
        if self._should_cancel is not None and self._should_cancel():
            raise Cancelled("Stopped at your request; finished results are kept.")
        if self._sink is not None:
            self._sink(Report(self._told.reached, self._about + message, None))

    def part(self, start: float, end: float, about: str = "") -> Progress:
        """A Progress for the part of the work between the fractions `start` and `end` of this one. about: what stands
        before its messages, as "press button at strength 0.5".
        """
        span, about = self._end - self._start, f"{self._about}{about}: " if about else self._about
        start, end = self._start + span * start, self._start + span * end
        part = Progress(self._sink, self._should_cancel, start=start, end=end, about=about)
        part._told, part._before = self._told, self._told.left
        return part

    def _left_s(self, fraction: float) -> float | None:
        """Seconds left of the whole. What follows this part is taken to go on at its pace. That, and what was told
        before it began, count by the work that each has seen; a pace counts less while it holds only a slow start.
        """
        now_s, before_s = time.monotonic(), None
        if self._before is not None:
            before_s = max(self._before[0] - (now_s - self._before[1]), 0.0)
        if fraction <= 0.02:
            return before_s
        share = min(fraction, 1.0)
        after = (1 - self._end) / (self._end - self._start) if self._end > self._start else 0.0
        own_s = (now_s - self._began_s) / fraction * (1 - share + after)
        if before_s is None:
            return own_s
        seen = (self._end - self._start) * share**2
        return (seen * own_s + self._start * before_s) / (seen + self._start)
