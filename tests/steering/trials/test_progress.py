"""Partial progress: what counts, level and power at every look, told beside success, blind until the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steering.comparison.anytime import needed_evidence, sign_evidence
from steering.errors import InputError, NotFound
from steering.trials.book import Book, create
from steering.trials.progress import paired_progress, progress_verdicts, progress_words
from steering.trials.report import report, sentences
from steering.types import NO_STAGE, TrialPlan

PLAN = TrialPlan(("lora", "steering"), blocks=20, stages=("reached", "grasped", "lifted"), seed=3)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return create(tmp_path / "book", PLAN)


def run(book: Book, blocks: int, stages: dict[str, str | None]) -> None:
    for slot in book.slots[: 2 * blocks]:
        stage = stages[slot.method]
        book.record("success" if stage == "lifted" else "failure", progress=stage)


def test_a_failure_that_reached_nothing_counts_and_one_that_says_nothing_does_not(book: Book) -> None:
    for block, (lora, steering) in enumerate([(NO_STAGE, "grasped"), (None, "grasped"), ("reached", "lifted")]):
        for slot in book.slots[2 * block : 2 * block + 2]:
            stage = {"lora": lora, "steering": steering}[slot.method]
            book.record("success" if stage == "lifted" else "failure", progress=stage)
    assert paired_progress(PLAN, book.trials(), "steering", "lora") == pytest.approx([2 / 3, 2 / 3])
    assert [t.progress for t in book.trials() if t.slot.method == "lora"] == [0, None, 1]
    with pytest.raises(NotFound, match="'flew'"):
        book.record("failure", progress="flew")
    with pytest.raises(InputError, match="none called 'nothing'"):
        TrialPlan(("lora", "steering"), stages=("reached", NO_STAGE))


def test_it_tells_methods_apart_that_both_fail_and_is_told_beside_success(book: Book) -> None:
    run(book, 12, {"lora": "reached", "steering": "grasped"})
    trials = book.trials()
    (verdict,) = progress_verdicts(PLAN, trials)
    assert verdict.evidence >= verdict.needed and verdict.mean == pytest.approx(1 / 3)
    assert (verdict.further, verdict.less, verdict.pairs) == (12, 0, 12)
    assert verdict.low < verdict.mean < verdict.high
    success, progress = sentences(PLAN, trials, {"steering": "Robotic Steering"})
    assert "a difference is shown" not in success, "success alone is silent: both fail"
    assert progress.startswith("Progress of Robotic Steering against lora: a difference is shown")
    assert "came further in 12 and 0 of 12 blocks" in progress
    blind = progress_words(verdict)
    assert "steering" not in blind and "lora" not in blind and "further" not in blind and "%" not in blind
    assert progress in report(book, {"steering": "Robotic Steering"}) and "another 5 %" in report(book)


def test_a_plan_without_stages_says_nothing_of_progress(tmp_path: Path) -> None:
    plan = TrialPlan(("lora", "steering"), blocks=4)
    bare = create(tmp_path / "bare", plan)
    bare.record("failure")
    assert progress_verdicts(plan, bare.trials()) == () and "Progress is tested" not in report(bare)
    with pytest.raises(NotFound):
        bare.record("failure", progress=NO_STAGE)


def made_up(rng: np.random.Generator, share: float, size: tuple[int, int]) -> np.ndarray:
    """Share of three stages reached, each in so many of the trials that reached the one before."""
    return (rng.random((3, *size)) < share).cumprod(0).sum(0) / 3


def test_the_level_holds_at_every_look_and_progress_shows_more_than_success() -> None:
    rng, size = np.random.default_rng(5), (2000, 40)
    same = made_up(rng, 0.6, size) - made_up(rng, 0.6, size)
    needed = needed_evidence(40, 0.05)
    assert 0 < (sign_evidence(same) >= needed).any(-1).mean() <= 0.05
    worse, better = made_up(rng, 0.3, size), made_up(rng, 0.5, size)
    progress = (sign_evidence(better - worse) >= needed).any(-1).mean()
    solved = (better == 1).astype(int) - (worse == 1)
    assert progress > (sign_evidence(solved) >= needed).any(-1).mean() + 0.1
