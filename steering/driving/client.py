"""The server's hand on a driving process (`steering.driving.process`): start it, ask it, end it.

Starting takes about a second, of which the caller waits for none until it asks. Loads neither torch nor MuJoCo.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steering.child import ONE_CORE, Child, Gone, Silent
from steering.errors import InputError, NotFound, SteeringError

IDLE_S = 120.0
"""A process that nobody asks anything for so long ends."""
START_S, ANSWER_S, SAVE_S = 180.0, 30.0, 600.0
"""Longest wait for the process to start, for an answer, and for the set to be stored."""
_END_S = 5.0


class DriveClient:
    """One driving process over the store at `root`, for `owner`. Threads may share it; they are answered in turn."""

    def __init__(
        self, root: Path, task: str, seed: int, variations: Sequence[str], idle_s: float = IDLE_S, owner: str = ""
    ) -> None:
        self._child = Child(("-m", "steering.driving.process"), ONE_CORE)
        self._idle_s = idle_s
        self._one_at_a_time = threading.Lock()
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
        return self._child.alive

    @property
    def pid(self) -> int:
        """The process."""
        return self._child.pid

    def ask(self, wish: Mapping[str, Any]) -> tuple[dict[str, Any], Sequence[bytes]]:
        """State and pictures after `wish`, see `driving.Drive.answer`. Raises the process's own words as InputError,
        NotFound where it has ended, SteeringError where it does not answer.
        """
        with self._one_at_a_time:
            if not self._greeted:
                self._receive(START_S)
                self._greeted = True
            self._send(wish)
            return self._receive(SAVE_S if wish.get("do") == "save" else ANSWER_S)

    def close(self, *, discard: bool = True) -> None:
        """End the process; it stores what was kept unless that is to be discarded. Waits only where it is, and then not
        for what somebody asked: that is answered first.
        """
        if not discard:
            self._child.no_more()
            return
        with contextlib.suppress(NotFound):
            self._send({"do": "stop"})
        self._child.wait(_END_S)
        self._child.end()

    def finish(self) -> None:
        """End the process after it has stored what was kept, and wait for that."""
        self.close(discard=False)
        self._child.wait(SAVE_S)
        self._child.end()

    def _send(self, wish: Mapping[str, Any]) -> None:
        try:
            self._child.send(wish)
        except Gone:
            raise self._ended() from None

    def _receive(self, most_s: float) -> tuple[dict[str, Any], Sequence[bytes]]:
        try:
            answer = self._child.receive(most_s)
        except Silent:
            self._child.end()
            raise SteeringError("The simulator does not answer any more and was ended. Start driving again.") from None
        except Gone:
            raise self._ended() from None
        state = dict(answer.fields)
        if "error" in state:
            raise InputError(state["error"])
        self.kept = tuple(state.get("kept", self.kept))
        return state, answer.blobs

    def _ended(self) -> NotFound:
        code = self._child.wait(_END_S)  # None: it is storing what was kept
        if code:
            return NotFound(f"The simulator ended unexpectedly (exit code {code}). Start driving again.")
        kept = f" The {len(self.kept)} kept so far are saved in the list." if self.kept else ""
        return NotFound(f"This drive ended after {self._idle_s / 60:g} minutes without a key.{kept} Start a new one.")
