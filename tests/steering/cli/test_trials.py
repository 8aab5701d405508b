"""Trials from a terminal: plan, one key each, undo, report, and files of others."""

import io
import json
import sys
from pathlib import Path

import pytest

from steering.cli import main as cli
from steering.trials.book import open_book


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object, code: int = 0) -> str:
    monkeypatch.setattr(sys, "argv", ["steering", "trial", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == code
    said = capsys.readouterr()
    return said.out if code == 0 else said.err


def test_a_plan_is_run_by_keys_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = tmp_path / "book"
    planned = run(
        capsys, monkeypatch, "plan", book, "--method", "lora=adapter-1", "--method", "zero_shot", "--blocks", 9
    )
    assert "At most 9 blocks, 18 trials" in planned and json.loads(planned.splitlines()[-1])["trials"] == 18
    assert open_book(book).plan.adapters == {"lora": "adapter-1"}
    assert "Now block 1 of 9, usual: A." in run(capsys, monkeypatch, "next", book)
    monkeypatch.setattr(sys, "stdin", io.StringIO("usxvfuq"))
    said = run(capsys, monkeypatch, "run", book)
    assert "No trial is recorded" in said and "Taken back: block 1, B, failure." in said and "lora" not in said
    for slot in open_book(book).slots[1:]:
        outcome = "success" if slot.method == "lora" else "failure"
        assert "lora" not in run(capsys, monkeypatch, "record", book, outcome, "--note", "ok")
    status = run(capsys, monkeypatch, "status", book)
    assert "stop, a difference is shown" in status and '"done": 18' in status and "lora" not in status
    report = run(capsys, monkeypatch, "report", book, "--csv", tmp_path / "all.csv", "--eval-info", tmp_path / "eval")
    assert "Zero-shot against LoRA, all heads: stop, a difference is shown" in report and "not blinded" not in report
    found = json.loads(report.splitlines()[-1])
    assert found["verdicts"][0]["kind"] == "difference" and all(Path(one).is_file() for one in found["files"])
    files = [f"{name}={tmp_path / 'eval' / name / 'eval_info.json'}" for name in ("lora", "zero_shot")]
    compared = json.loads(run(capsys, monkeypatch, "compare", *files).splitlines()[-1])
    assert compared["losses"] == found["verdicts"][0]["losses"]
    by_csv = [f"{name}={tmp_path / 'all.csv'}" for name in ("lora", "zero_shot")]
    assert json.loads(run(capsys, monkeypatch, "compare", *by_csv).splitlines()[-1]) == compared
    assert "give one of them" in run(capsys, monkeypatch, "compare", f"other={tmp_path / 'all.csv'}", files[0], code=1)


def test_names_that_are_asked_for_early_are_kept_in_the_book(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = tmp_path / "book"
    run(capsys, monkeypatch, "plan", book, "--method", "a", "--method", "b", "--blocks", 5)
    run(capsys, monkeypatch, "record", book, "success")
    assert "not blinded" in run(capsys, monkeypatch, "report", book)
    assert '"unblinded": true' in run(capsys, monkeypatch, "status", book)
