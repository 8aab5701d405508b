"""Child processes that are asked and answer: started, framed, waited for and ended in one way.

The one room for them: reading other people's files (`demonstrations.guard`), simulations (`rollout.simulators`) and
driving (`driving.process`); workers of jobs and cells of the grid take their environment and their end from here. A
message is one line of JSON, followed by as many bytes as its `sizes` say: plain values and blobs, so that reading one
runs nothing. The child keeps its standard output for messages and sends what libraries print to standard error. Whoever
serves ends when its parent is gone: then there is no next message. Costs 0.1 s to start Python, and the copying.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import IO, Any

MOST_LINE_BYTES, MOST_BLOB_BYTES = 64 << 20, 4 << 30
"""Of a message; more is no message, and the other side counts as gone."""
PART_BYTES = 1 << 20
END_S = 5.0
"""A process that has closed its output, or says what is no message, ends within this time or is ended."""
PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
ONE_CORE = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS"), "1"),
    "LP_NUM_THREADS": "0",
}
"""Variables that keep a process on one core; the last is Mesa's software renderer."""


@dataclass(frozen=True)
class Message:
    """What one side says to the other. fields: plain JSON values; blobs: bytes that go with them."""

    fields: Mapping[str, Any]
    blobs: Sequence[bytes] = ()


class Gone(Exception):
    """The other side has ended, or talks nonsense. code: its exit status, negative for a signal, None where unknown."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"the process ended with {code}")
        self.code = code


class Silent(Exception):
    """The other side did not answer in time."""


class Deserted(SystemExit):
    """The parent is gone: unless something is still to be saved, the process ends without a word."""


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: that of this process, with this package on its path however it was found here."""
    path = os.pathsep.join(filter(None, (str(PACKAGE_FOLDER), os.environ.get("PYTHONPATH"))))
    return {**os.environ, **more, "PYTHONPATH": path}


@dataclass
class Child:
    """A process that runs Python with `arguments`, e.g. ("-m", "steering.driving.process"). Threads may share it.

    more: variables of its environment. quiet: nobody hears its standard error. inbox: where its messages arrive, as
    (child, Message), and (child, None) when it has ended; by default a queue of its own, which `receive` reads.
    """

    arguments: Sequence[str]
    more: Mapping[str, str] = field(default_factory=dict)
    quiet: bool = False
    inbox: queue.SimpleQueue[tuple[Child, Message | None]] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if self.quiet else None,
            bufsize=0,
            env=environment(**self.more),
        )
        self._writing = threading.Lock()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def send(self, fields: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Say something. Raises Gone where nobody listens any more."""
        assert self._process.stdin is not None
        with self._writing:
            try:
                _write(self._process.stdin, Message(fields, blobs))
            except (OSError, ValueError):  # ValueError: it was told that there is no more
                raise Gone(self._process.poll()) from None

    def receive(self, most_s: float | None = None) -> Message:
        """The next message. Raises Silent where none comes within `most_s`, Gone after the last."""
        try:
            _, message = self.inbox.get(timeout=most_s)
        except queue.Empty:
            raise Silent from None
        if message is None:
            self.inbox.put((self, None))  # for whoever asks next
            raise Gone(self.wait())
        return message

    def wait(self, most_s: float | None = None) -> int | None:
        """The exit status once the process has ended; None where it still runs after `most_s`."""
        try:
            return self._process.wait(most_s)
        except subprocess.TimeoutExpired:
            return None

    def no_more(self) -> None:
        """Say that nothing more will be asked; the process then ends by itself."""
        assert self._process.stdin is not None
        with self._writing, contextlib.suppress(OSError):
            self._process.stdin.close()

    def end(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        self.no_more()
        self._reader.join()

    def _listen(self) -> None:
        """Pass messages on until the process ends; runs in a thread of its own."""
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            messages = _Messages(pipe.fileno())
            while (message := messages.next()) is not None:
                self.inbox.put((self, message))
        if self.wait(END_S) is None:  # it talks nonsense, and goes on
            self._process.kill()
            self._process.wait()
        self.inbox.put((self, None))


def end_with_parent() -> None:
    """End this process, one of multiprocessing, as soon as its parent is gone: killed, that can tell nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Parent:
    """The other end: the process that started this one. Make it before anything prints."""

    def __init__(self) -> None:
        self._replies = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)  # what libraries print must not get between the messages
        self._messages = _Messages(0)

    def receive(self, most_s: float | None = None) -> Message | None:
        """The next message; None when there will be none, or none came within `most_s`."""
        try:
            return self._messages.next(most_s)
        except Silent:
            return None

    def send(self, fields: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Answer. Raises Deserted where the parent is gone."""
        try:
            _write(self._replies, Message(fields, blobs))
        except BrokenPipeError:
            raise Deserted from None


def _write(pipe: IO[bytes], message: Message) -> None:
    head = json.dumps({**message.fields, "sizes": [len(one) for one in message.blobs]}).encode()
    left = memoryview(head + b"\n" + b"".join(message.blobs))
    while left:  # an unbuffered pipe takes what it has room for
        left = left[pipe.write(left) :]
    pipe.flush()


class _Messages:
    """Messages as they come over a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._buffer = descriptor, bytearray()

    def next(self, most_s: float | None = None) -> Message | None:
        """The next message; None at the end, and where what comes is none. Raises Silent after `most_s` without one."""
        until_s = None if most_s is None else time.monotonic() + most_s
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > MOST_LINE_BYTES or not self._more(until_s):
                return None
        try:
            fields = json.loads(self._buffer[:end])
            sizes = fields.pop("sizes")
            if not all(type(one) is int and one >= 0 for one in sizes) or sum(sizes) > MOST_BLOB_BYTES:
                return None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        whole = end + 1 + sum(sizes)
        while len(self._buffer) < whole:
            if not self._more(until_s):
                return None
        blobs, begin = [], end + 1
        for size in sizes:
            blobs.append(bytes(self._buffer[begin : begin + size]))
            begin += size
        del self._buffer[:whole]
        return Message(fields, blobs)

    def _more(self, until_s: float | None) -> bool:
        """Read what there is; False at the end."""
        if until_s is not None:
            ready = select.select([self._descriptor], [], [], max(until_s - time.monotonic(), 0))[0]
            if not ready:
                raise Silent
        try:
            part = os.read(self._descriptor, PART_BYTES)
        except OSError:
            return False
        self._buffer += part
        return bool(part)
