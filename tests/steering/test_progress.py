"""Progress: fractions of parts, seconds left of the whole, and cancelling."""

from __future__ import annotations

import time

import pytest

from steering.errors import Cancelled
from steering.progress import Progress, Report


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its only number is the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_is_of_the_whole_and_does_not_jump_between_parts(clock: list[float]) -> None:
    """Three parts of ten seconds each, as the methods of a comparison are."""
    told: list[Report] = []
    whole = Progress(told.append)
    for method in range(3):
        part = whole.part(method / 3, (method + 1) / 3)
        for step in range(1, 11):
            clock[0] += 1
            part.report(step / 10, "at work")
    left = [report.left_s for report in told]
    assert left == pytest.approx([29 - i for i in range(30)])
    assert [round(report.fraction, 3) for report in told[8:11]] == [0.3, 0.333, 0.367]


def test_a_part_of_a_part_knows_what_follows_both(clock: list[float]) -> None:
    told: list[Report] = []
    inner = Progress(told.append).part(0, 0.5).part(0.5, 1)  # a quarter of the whole, half of it still to come
    clock[0] += 5
    inner.report(0.5, "at work")
    assert told[0].fraction == pytest.approx(0.375) and told[0].left_s == pytest.approx(5 + 20)


def test_too_early_to_say_and_stopped() -> None:
    told: list[Report] = []
    Progress(told.append).report(0.01, "begins")
    assert told[0].left_s is None
    with pytest.raises(Cancelled):
        Progress(should_cancel=lambda: True).report(0.5, "at work")
