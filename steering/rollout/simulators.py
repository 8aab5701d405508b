"""Scenes in this process or spread over processes of their own, behind one interface: ask, then collect replies.

A simulation process runs `serve`: it reads pickled requests on its standard input, writes pickled replies on its
standard output and ends with its parent. It loads no torch and starts in half a second. It needs
no guard in the calling script, unlike multiprocessing, and draws pixels on its own core only.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from steering.errors import SteeringError
from steering.rollout.episode import Episode, SceneOutcome, Seen, Start

_PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
_ONE_CORE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LP_NUM_THREADS")
"""Variables that keep a simulation process on one core; the last is Mesa's software renderer."""
_NICENESS = 5
"""Of the simulation processes, where the system has such a thing: the policy is what scenes wait for."""


@dataclass(frozen=True)
class Request:
    """Scenes to start, and chunks float32 [step, dim] to run by scene index, of which `steps` actions count."""

    start: Sequence[Start] = ()
    chunks: Mapping[int, np.ndarray] = field(default_factory=dict)
    steps: int = 1


@dataclass(frozen=True)
class Reply:
    """How one scene goes on: what it sees now, or how it ended. running: the fraction done of one that goes on."""

    index: int
    seen: Seen | None = None
    ended: SceneOutcome | None = None
    running: float = 0.0
    error: str = ""


class Simulator(Protocol):
    """Runs scenes. Every scene of an `ask` is answered by a reply of `collect`, in any order."""

    def ask(self, request: Request) -> None:
        """Start scenes or run chunks; a scene's chunk goes to where it was started."""
        ...

    def collect(self) -> Reply:
        """The next reply; waits for it."""
        ...

    def close(self) -> None:
        """Free every scene, also those that have not ended."""
        ...


class HereSimulator:
    """Scenes in this process, each run when its reply is collected."""

    def __init__(self) -> None:
        self._episodes: dict[int, Episode] = {}
        self._starts: deque[Start] = deque()
        self._chunks: deque[tuple[int, np.ndarray, int]] = deque()

    def ask(self, request: Request) -> None:
        """See Simulator."""
        self._starts.extend(request.start)
        self._chunks.extend((index, chunk, request.steps) for index, chunk in request.chunks.items())

    def collect(self) -> Reply:
        """See Simulator. Scenes under way come before new ones."""
        if self._chunks:
            index, chunk, steps = self._chunks.popleft()
            episode = self._episodes[index]
            episode.advance(chunk, steps)
        else:
            start = self._starts.popleft()
            index, episode = start.index, Episode(start)
            self._episodes[index] = episode
        if episode.ended:
            return Reply(index, ended=self._episodes.pop(index).finish())
        return Reply(index, seen=episode.see(), running=episode.step / episode.start.step_limit)

    def close(self) -> None:
        """See Simulator."""
        for episode in self._episodes.values():
            episode.close()
        self._episodes.clear()


class ProcessSimulator:
    """Scenes spread over processes; each new scene goes to the process with the fewest."""

    def __init__(self, processes: int) -> None:
        self._replies: queue.SimpleQueue[tuple[int, Reply | None]] = queue.SimpleQueue()
        self._home: dict[int, int] = {}  # scene index -> process
        self._processes = [_launch() for _ in range(processes)]
        for number, process in enumerate(self._processes):
            assert process.stdout is not None
            threading.Thread(target=self._read, args=(number, process.stdout), daemon=True).start()

    def ask(self, request: Request) -> None:
        """See Simulator. One request becomes one for each process that it concerns."""
        load = [list(self._home.values()).count(number) for number in range(len(self._processes))]
        starts: dict[int, list[Start]] = {}
        for start in request.start:
            number = int(np.argmin(load))
            load[number] += 1
            self._home[start.index] = number
            starts.setdefault(number, []).append(start)
        chunks: dict[int, dict[int, np.ndarray]] = {}
        for index, chunk in request.chunks.items():
            chunks.setdefault(self._home[index], {})[index] = chunk
        for number in sorted({*starts, *chunks}):
            self._write(number, Request(starts.get(number, ()), chunks.get(number, {}), request.steps))

    def collect(self) -> Reply:
        """See Simulator."""
        number, reply = self._replies.get()
        if reply is None:
            raise self._gone(number)
        if reply.error:
            raise SteeringError(reply.error)
        if reply.ended is not None:
            del self._home[reply.index]
        return reply

    def close(self) -> None:
        """See Simulator."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    _close(pipe)

    def _write(self, number: int, request: Request) -> None:
        pipe = self._processes[number].stdin
        assert pipe is not None
        try:
            pickle.dump(request, pipe, pickle.HIGHEST_PROTOCOL)
            pipe.flush()
        except BrokenPipeError:
            raise self._gone(number) from None

    def _read(self, number: int, pipe: IO[bytes]) -> None:
        try:
            while True:
                self._replies.put((number, pickle.load(pipe)))
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            pass  # the process ended, or its pipe was closed
        finally:
            self._replies.put((number, None))

    def _gone(self, number: int) -> SteeringError:
        code = self._processes[number].wait()
        return SteeringError(
            f"A simulation process ended before its scenes did (exit status {code}); most often memory ran out. "
            "Run fewer scenes at a time, or all in one process (processes=1)."
        )


def serve() -> None:
    """What a simulation process does until its standard input ends."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    requests = sys.stdin.buffer
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not get between the replies
    simulator = HereSimulator()
    while True:
        try:
            request = pickle.load(requests)
        except EOFError:
            break
        simulator.ask(request)
        for _ in range(len(request.start) + len(request.chunks)):
            try:
                reply = simulator.collect()
            except SteeringError as error:
                reply = Reply(-1, error=str(error))
            pickle.dump(reply, replies, pickle.HIGHEST_PROTOCOL)
            replies.flush()
    simulator.close()


def _launch() -> subprocess.Popen[bytes]:
    alone = {name: "0" if name.startswith("LP") else "1" for name in _ONE_CORE}
    path = os.pathsep.join(p for p in (str(_PACKAGE_FOLDER), os.environ.get("PYTHONPATH")) if p)
    return subprocess.Popen(
        [sys.executable, "-c", "from steering.rollout.simulators import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **alone, "PYTHONPATH": path},
    )


def _close(pipe: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):
        pipe.close()
