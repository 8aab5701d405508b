"""The doctor says what is wrong and what to do, and a disk that refuses is one sentence."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import pytest

from steering import doctor
from steering.cli import main as cli
from steering.disk import check_writable, disk_words
from steering.errors import InputError


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The renderer has tests of its own and takes seconds to try."""
    monkeypatch.setattr(doctor, "renders", lambda: True)


def states(store: Path) -> dict[str, str]:
    return {one.subject: one.state for one in doctor.examine(store)}


def test_all_is_well_here(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["steering", "doctor", "--store", str(tmp_path / "new"), "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    found = {one["subject"]: one for one in json.loads(capsys.readouterr().out)}
    assert end.value.code == 0
    assert found.keys() == {"python", "memory", "disk", "jobs", "renderer", "gpu", "assets", "hub"}
    assert not [one for one in found.values() if one["state"] == "error"]


def test_what_is_wrong_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"\xff" * 8192)
    (tmp_path / "jobs.sqlite.damaged-1").write_bytes(b"")
    monkeypatch.setattr(doctor, "renders", lambda: False)
    monkeypatch.setattr(doctor, "free_bytes", lambda _: 1000)
    monkeypatch.setattr("steering.models.free_memory.system_bytes", lambda: 1000)
    found = states(tmp_path)
    assert found | {"memory": "warning", "disk": "warning", "jobs": "warning", "renderer": "warning"} == found


def test_a_place_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert states(tmp_path / "file" / "store")["disk"] == "error"
    with pytest.raises(InputError, match="STEERING_STORE"):
        check_writable(tmp_path / "file" / "store")


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "can only be read"), (errno.EACCES, "may not be written")],
)
def test_a_disk_that_refuses_says_what_to_do(
    number: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(InputError, match=f"Results cannot be kept: .*{words}.*STEERING_STORE"):
        check_writable(tmp_path)
    assert disk_words(OSError(errno.ENOENT, "none")) is None
