"""Held-out episodes as the command line passes them on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from steering import pipeline
from steering.cli import main as cli


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the pipeline was asked to train; nothing is trained."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(pipeline, "finetune", lambda store, **arguments: calls.append(arguments) or "x")
    monkeypatch.setattr("steering.cli.finetuning.summary", lambda store, made: {"artefact": made})
    return calls


def finetune(monkeypatch: pytest.MonkeyPatch, store: Path, *words: str) -> object:
    monkeypatch.setattr(sys, "argv", ["steering", "finetune", "demonstrations", "--store", str(store), *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


@pytest.mark.parametrize(
    ("words", "held"),
    [([], None), (["--no-heldout"], []), (["--heldout", "2", "--heldout", "0"], [2, 0])],
)
def test_held_out_episodes_are_a_tenth_none_or_those_named(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], held: object
) -> None:
    assert finetune(monkeypatch, tmp_path, *words) == 0
    assert [one["heldout_episodes"] for one in asked] == [held]


def test_none_and_some_at_once_are_refused(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finetune(monkeypatch, tmp_path, "--no-heldout", "--heldout", "2") == 1
    assert "Give one of them" in capsys.readouterr().err and not asked
