"""The book loses nothing: cut off lines, undo, two processes at once, damage; and tells the operator no names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from steering.errors import InputError, NotFound
from steering.trials.book import Book, create, open_book
from steering.trials.report import report
from steering.trials.verdict import paired, verdicts, words
from steering.types import TrialPlan

ROOT = Path(__file__).parents[3]
PLAN = TrialPlan(("lora", "steering"), ("usual", "dim"), blocks=6, stages=("grasped", "lifted"), seed=1)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return create(tmp_path / "book", PLAN)


def test_what_is_recorded_is_there_when_the_book_is_opened_again(book: Book, tmp_path: Path) -> None:
    picture = tmp_path / "a.PNG"
    picture.write_bytes(b"png")
    slot = book.next()
    assert slot == book.slots[0] and book.method_now() == slot.method
    book.record("failure", progress="grasped", note="slow ünïcode", media=picture)
    book.record("success")
    again = open_book(book.folder)
    first, second = again.trials()
    assert (first.slot, first.outcome, first.progress, first.note) == (slot, "failure", 1, "slow ünïcode")
    assert (again.folder / "media" / first.media).read_bytes() == b"png"
    assert (second.outcome, second.progress) == ("success", 2) and second.at.endswith("+00:00")
    assert again.plan == PLAN and again.next() == again.slots[2]


def test_void_trials_are_run_again_and_undone_ones_too(book: Book) -> None:
    first = book.next()
    book.record("void", note="the cup fell")
    assert book.next() == first
    book.record("success")
    assert book.next() == book.slots[1]
    assert book.undo().outcome == "success" and book.next() == first and book.method_now() == first.method
    assert book.undo().outcome == "void" and not book.trials()
    with pytest.raises(InputError, match="none to undo"):
        book.undo()
    lines = (book.folder / "trials.jsonl").read_text().splitlines()
    assert len(lines) == 4  # nothing is taken out of the file


def test_a_line_that_a_crash_cut_off_is_passed_over(book: Book) -> None:
    book.record("success")
    path = book.folder / "trials.jsonl"
    whole = path.read_bytes()
    for length in (1, 20, len(whole) - 1):
        path.write_bytes(whole + whole[:length].rstrip(b"\n"))
        assert len(open_book(book.folder).trials()) == 1
    open_book(book.folder).record("failure")
    assert [trial.outcome for trial in open_book(book.folder).trials()] == ["success", "failure"]


def test_each_line_is_on_the_disk_before_record_returns(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    book.record("success")
    assert synced == [(book.folder / "trials.jsonl").stat().st_size]


@pytest.mark.parametrize("line", ["{", "[]", '{"slot": 99, "outcome": "success"}', '{"slot": "x"}', "\xff"])
def test_a_damaged_line_is_named_and_nothing_is_written(book: Book, line: str) -> None:
    path = book.folder / "trials.jsonl"
    book.record("success")
    path.write_bytes(path.read_bytes() + line.encode("latin-1") + b"\n")
    before = path.read_bytes()
    for act in (book.trials, lambda: book.record("success"), book.undo):
        with pytest.raises(InputError, match="Line 2"):
            act()
    assert path.read_bytes() == before


RECORD_SIX = """
import sys
from pathlib import Path
from steering.trials.book import open_book
for _ in range(6):
    open_book(Path(sys.argv[1])).record("success")
"""


def test_two_processes_write_one_trial_each(book: Book) -> None:
    command = [sys.executable, "-c", RECORD_SIX, str(book.folder)]
    workers = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert [trial.slot.number for trial in book.trials()] == list(range(12))
    assert book.next() is None
    for act in (lambda: book.record("success"), book.method_now):
        with pytest.raises(InputError, match="Every trial of the plan"):
            act()


def test_what_cannot_be_recorded_is_said(book: Book, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.touch()
    for wrong, words_ in (
        ({"outcome": "won"}, "no outcome 'won'"),
        ({"outcome": "failure", "progress": "flew"}, "no stage of this plan 'flew'"),
        ({"outcome": "failure", "note": "x" * 2001}, "at most 2000"),
        ({"outcome": "failure", "media": text}, "picture or film"),
        ({"outcome": "failure", "media": tmp_path / "none.png"}, "picture or film"),
    ):
        with pytest.raises((InputError, NotFound), match=words_):
            book.record(**wrong)  # type: ignore[arg-type]
    assert not book.trials()
    with pytest.raises(InputError, match="in use"):
        create(book.folder, PLAN)
    with pytest.raises(NotFound, match="no trial book"):
        open_book(tmp_path)
    (book.folder / "plan.json").write_text(json.dumps({"methods": ["one"]}))
    with pytest.raises(InputError, match="plan of"):
        open_book(book.folder)


def test_a_block_counts_once_all_of_it_was_run_and_no_name_is_told(book: Book) -> None:
    for slot in book.slots[:7]:
        book.record("success" if slot.method == "steering" else "failure", progress=None)
    trials = book.trials()
    assert paired(trials, "steering", "lora").tolist() == [1, 1, 1]
    (verdict,) = verdicts(PLAN, trials)
    blind = words(verdict, PLAN)
    assert "steering" not in blind and "lora" not in blind and "points" not in blind
    told = report(book, {"steering": "Robotic Steering"})
    assert "Robotic Steering against lora: go on" in told
    assert "| lora | all | 0 of" in told and "| lora | dim | 0 of" in told and "not blinded" not in told
    book.unblind()
    assert "not blinded" in report(book)
