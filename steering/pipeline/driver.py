"""The server's hand on a driving process (`steering.pipeline.driving`): start it, ask it, end it.

Starting takes about a second, of which the caller waits for none until it asks. Loads neither torch nor MuJoCo.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steering.errors import InputError, NotFound, SteeringError

IDLE_S = 120.0
"""A process that nobody asks anything for so long ends."""
ANSWER_S, SAVE_S = 30.0, 600.0
"""Longest wait for an answer, and for the set to be stored."""
_PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
_ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_END_S = 5.0


class Driver:
    """One driving process over the store at `root`, for `owner`. Threads may share it; they are answered in turn."""

    def __init__(
        self, root: Path, task: str, seed: int, variations: Sequence[str], idle_s: float = IDLE_S, owner: str = ""
    ) -> None:
        path = os.pathsep.join(p for p in (str(_PACKAGE_FOLDER), os.environ.get("PYTHONPATH")) if p)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "steering.pipeline.driving"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **_ONE_CORE, "PYTHONPATH": path},
        )
        self._idle_s = idle_s
        self._one_at_a_time = threading.Lock()
        self._buffer = bytearray()
        self._greeted = False
        self.kept: tuple[bool, ...] = ()
        """Whether each kept episode succeeds, as last heard."""
        first = {
            "root": str(root),
            "owner": owner,
            "task": task,
            "seed": seed,
            "variations": list(variations),
            "idle_s": idle_s,
        }
        self._send(first)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, wish: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """State and pictures after `wish`, see `driving.Drive.answer`. Raises the process's own words as InputError,
        NotFound where it has ended, SteeringError where it does not answer.
        """
        with self._one_at_a_time:
            if not self._greeted:
                self._receive(ANSWER_S)
                self._greeted = True
            self._send(wish)
            return self._receive(SAVE_S if wish.get("do") == "save" else ANSWER_S)

    def close(self, *, discard: bool = True) -> None:
        """End the process; it stores what was kept unless that is to be discarded. Waits only where it is."""
        assert self._process.stdin is not None and self._process.stdout is not None
        if not discard:
            with self._one_at_a_time:
                self._process.stdin.close()
                self._process.stdout.close()
            return
        with contextlib.suppress(NotFound):
            self._send({"do": "stop"})
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._one_at_a_time:  # nobody reads any more
            self._process.stdin.close()
            self._process.stdout.close()

    def finish(self) -> None:
        """End the process after it has stored what was kept, and wait for that."""
        self.close(discard=False)
        try:
            self._process.wait(SAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, wish: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(wish).encode() + b"\n")
        except (OSError, ValueError):  # ValueError: closed by another thread
            raise self._ended() from None

    def _receive(self, most_s: float) -> tuple[dict[str, Any], list[bytes]]:
        until_s = time.monotonic() + most_s
        while (end := self._buffer.find(b"\n")) < 0:
            self._read(until_s)
        state = json.loads(self._buffer[:end])
        del self._buffer[: end + 1]
        pictures = []
        for size in state.pop("sizes"):
            while len(self._buffer) < size:
                self._read(until_s)
            pictures.append(bytes(self._buffer[:size]))
            del self._buffer[:size]
        if "error" in state:
            raise InputError(state["error"])
        self.kept = tuple(state.get("kept", self.kept))
        return state, pictures

    def _read(self, until_s: float) -> None:
        assert self._process.stdout is not None
        try:
            if not select.select([self._process.stdout], [], [], max(until_s - time.monotonic(), 0))[0]:
                self._process.kill()
                raise SteeringError("The simulator does not answer any more and was ended. Start driving again.")
            part = os.read(self._process.stdout.fileno(), 1 << 18)
        except ValueError:  # closed by another thread
            part = b""
        if not part:
            raise self._ended()
        self._buffer += part

    def _ended(self) -> NotFound:
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            code = 0  # it is storing what was kept
        if code:
            return NotFound(f"The simulator ended unexpectedly (exit code {code}). Start driving again.")
        kept = f" The {len(self.kept)} kept so far are saved in the list." if self.kept else ""
        return NotFound(f"This drive ended after {self._idle_s / 60:g} minutes without a key.{kept} Start a new one.")
