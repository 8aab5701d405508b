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


def test_a_part_says_what_it_is_about() -> None:
    told: list[Report] = []
    strength = Progress(told.append).part(0, 0.5, "Strength 0.5")
    strength.part(0, 1, "press button").report(0.5, "1 of 2 scenes, 1 succeeded")
    strength.part(0, 1).say("Loading")
    assert [one.message for one in told] == [
        "Strength 0.5: press button: 1 of 2 scenes, 1 succeeded",
        "Strength 0.5: Loading",
    ]


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


def test_what_a_part_does_before_its_first_step_is_not_taken_for_its_pace(clock: list[float]) -> None:
    """Each of three methods loads for ten seconds, and then takes ten seconds."""
    told: list[tuple[float, float | None]] = []
    whole = Progress(lambda report: told.append((clock[0], report.left_s)))
    for method in range(3):
        part = whole.part(method / 3, (method + 1) / 3)
        for step in range(11):
            clock[0] += 10 if step == 0 else 1
            part.report(step / 10, "at work")
    after_first = [(at, left) for at, left in told[11:]]
    assert all(left is not None for _, left in after_first)
    true = [160 - at for at, _ in after_first]
    assert [left for _, left in after_first] == pytest.approx(true, abs=6)
    leaps = [b[1] - a[1] + b[0] - a[0] for a, b in zip(after_first, after_first[1:], strict=False) if a[1] and b[1]]
    assert max(leaps) < 3, "seconds that the time left grew by beyond what went by"


def test_the_estimate_of_a_short_part_does_not_lead_a_long_one(clock: list[float]) -> None:
    """A second of loading counts as a fiftieth; the scenes after it take 200 seconds."""
    told: list[Report] = []
    whole = Progress(told.append)
    clock[0] += 0.1
    whole.part(0, 0.02).report(1.0, "loaded")
    scenes = whole.part(0.02, 1)
    for step in range(1, 5):
        clock[0] += 20
        scenes.report(step / 10, "at work")
    left = told[-1].left_s
    assert left is not None and left == pytest.approx(120, rel=0.15)


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
