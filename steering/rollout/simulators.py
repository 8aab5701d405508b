"""Scenes in this process or spread over processes of their own, behind one interface: ask, then collect replies.

A simulation process runs `serve`: pickled requests and replies travel as blobs of `steering.child`. It loads no torch
and starts in half a second. It needs no guard in the calling script, unlike multiprocessing, and draws pixels on its
own core only.
"""

from __future__ import annotations

import os
import pickle
import queue
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from steering.child import ONE_CORE, Child, Gone, Message, Parent
from steering.errors import SteeringError
from steering.rollout.episode import Episode, SceneOutcome, Seen, Start

_SERVE = ("-c", "from steering.rollout.simulators import serve; serve()")
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
        self._inbox: queue.SimpleQueue[tuple[Child, Message | None]] = queue.SimpleQueue()
        self._home: dict[int, int] = {}  # scene index -> process
        self._processes = [Child(_SERVE, ONE_CORE, inbox=self._inbox) for _ in range(processes)]

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
        child, message = self._inbox.get()
        if message is None:
            raise _gone(child.wait())
        reply: Reply = pickle.loads(message.blobs[0])
        if reply.error:
            raise SteeringError(reply.error)
        if reply.ended is not None:
            del self._home[reply.index]
        return reply

    def close(self) -> None:
        """See Simulator."""
        for process in self._processes:
            process.end()

    def _write(self, number: int, request: Request) -> None:
        try:
            self._processes[number].send({}, [pickle.dumps(request, pickle.HIGHEST_PROTOCOL)])
        except Gone:
            raise _gone(self._processes[number].wait()) from None


def _gone(code: int | None) -> SteeringError:
    return SteeringError(
        f"A simulation process ended before its scenes did (exit status {code}); most often memory ran out. "
        "Run fewer scenes at a time, or all in one process (processes=1)."
    )


def serve() -> None:
    """What a simulation process does until its standard input ends."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    parent, simulator = Parent(), HereSimulator()
    while (asked := parent.receive()) is not None:
        request: Request = pickle.loads(asked.blobs[0])
        simulator.ask(request)
        for _ in range(len(request.start) + len(request.chunks)):
            try:
                reply = simulator.collect()
            except SteeringError as error:
                reply = Reply(-1, error=str(error))
            parent.send({}, [pickle.dumps(reply, pickle.HIGHEST_PROTOCOL)])
    simulator.close()
