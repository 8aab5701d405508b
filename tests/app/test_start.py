"""What keeps the server from starting is one sentence that names what to do, and no traceback."""

from __future__ import annotations

import inspect
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from gradio import http_server

from app import main

ROOT = Path(__file__).resolve().parents[2]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 1
    return capsys.readouterr().err


def test_a_store_that_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STEERING_STORE", str(tmp_path / "file"))
    error = said(capsys)
    assert error.startswith("Error: Results cannot be kept:") and "STEERING_STORE" in error and error.count("\n") == 1


def test_a_port_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> str:
        raise OSError("Cannot find empty port in range: 7-7. You can specify a different port.")

    assert "Cannot find empty port in range" in inspect.getsource(http_server), "Gradio's words"
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # and other settings of the whole process
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    for name, stand_in in (("tend", None), ("return_freed", None), ("build", None), ("launch", refused)):
        monkeypatch.setattr(main, name, stand_in or (lambda *_: None))
    monkeypatch.setattr(main.questions.ahead, "warm", lambda *_: None)
    monkeypatch.setenv("STEERING_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7")
    assert said(capsys).startswith("Error: Port 7 is taken, perhaps by another workbench. End that one, or choose")


@pytest.mark.slow
def test_the_server_itself_ends_so_where_its_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = {"STEERING_STORE": str(tmp_path / "store"), "GRADIO_SERVER_PORT": str(port)}
        command = [sys.executable, str(ROOT / "app.py")]
        ended = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert f"Error: Port {port} is taken" in ended.stderr and "GRADIO_SERVER_PORT=" in ended.stderr


def test_a_busy_machine_is_no_reason_not_to_start() -> None:
    """Gradio asks itself for the page when it starts, and gives up after three seconds."""

    class Page:
        tries = closed = 0

        def launch(self, **how: object) -> tuple[None, str, None]:
            self.tries += 1
            if self.tries < 3:
                raise ValueError("When localhost is not accessible, a shareable link must be created.")
            return None, f"http://127.0.0.1:{how['server_port']}/", None

        def close(self) -> None:
            self.closed += 1

    page = Page()
    assert main._started(page, server_port=7) == "http://127.0.0.1:7/"  # type: ignore[arg-type]
    assert (page.tries, page.closed) == (3, 2)
    page.tries = -main.MOST_STARTS
    with pytest.raises(ValueError, match="localhost"):
        main._started(page, server_port=7)  # type: ignore[arg-type]
