"""openpi's websocket protocol for policies: metadata first, then an answer to every observation.

    async with listening(served, host="127.0.0.1", port=8000, key=None) as server:
        await server.serve_forever()

A client connects to `/` (the first policy) or `/NAME`, gets a map that says what the policy is, and sends observations
(`steering.serving.observing`), each answered by `actions` float32 [step, dim] as the robot's demonstrations have them,
gripper turned back where it was turned over for training. `{"endpoint": "reset"}` begins the client's noise anew, from
`seed` where it gives one. The same seed and observations give the same actions. What is wrong with a message goes to
the client that sent it as a text, which openpi's client raises; its connection then ends, others go on.

Policies answer one request at a time; others wait. Cost over a bare call: `tests/benchmarks/bench_serve.py`.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from steering.errors import InputError, SteeringError
from steering.models.policy import Policy
from steering.serving.observing import Wanted, observation
from steering.serving.packing import pack, unpack
from steering.types import Robot

MAX_BYTES = 64 << 20
"""Of a message: three cameras of full HD take 18 MB."""
MOST_CLIENTS = 16
SHORTEST_KEY = 16
BLINDED = {"policy": "blinded", "method": "blinded", "methods": []}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """A policy as robots reach it. name: in the address. robot: whose actions it gives back. rate_hz: at which they
    were recorded, None where that is not known.
    """

    name: str
    policy: Policy
    wanted: Wanted = field(default_factory=Wanted)
    robot: Robot = field(default_factory=Robot)
    rate_hz: float | None = None

    def metadata(self, others: list[str]) -> dict[str, Any]:
        """What a client is told first. others: names of all that is served."""
        return {
            "policy": self.policy.name,
            "method": self.name,
            "methods": others,
            "chunk_size": self.policy.chunk_size,
            "action_dim": self.policy.action_dim,
            "action_names": list(self.robot.names("action", self.policy.action_dim)),
            "cameras": list(self.wanted.cameras),
            "rate_hz": self.rate_hz,
        }

    def act(self, message: Mapping[Any, Any], noise: np.random.Generator) -> np.ndarray:
        """Actions float32 [step, dim] for a robot's message, as it takes them. Raises InputError, in words."""
        seen = observation(message, self.wanted)
        drawn = noise.standard_normal((1, self.policy.chunk_size, self.policy.noise_dim)).astype(np.float32)
        actions = self.policy.act(seen, drawn)[0]
        if not np.isfinite(actions).all():
            raise InputError("The policy's actions for this observation are not finite, so none are sent.")
        return self.robot.as_recorded(actions)


def generator(seed: int) -> np.random.Generator:
    """The noise of a client, as that of a scene of rollouts (`steering.rollout.runner`)."""
    return np.random.default_rng([seed, 13])


def check_reach(host: str, key: str | None) -> None:
    """Raise InputError where others than this machine reach the server without a key, or by one that is guessed."""
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if key is not None and len(key) < SHORTEST_KEY:
        raise InputError(f"Expected a key of at least {SHORTEST_KEY} characters, got {len(key)}.")
    if not here and key is None:
        raise InputError(
            f"Expected a key where other machines reach the server ({host}): whoever connects moves the robot's "
            "policy. Give --key, which clients send as api_key, or listen on 127.0.0.1."
        )


@asynccontextmanager
async def listening(
    served: Mapping[str, Served],
    *,
    host: str,
    port: int,
    key: str | None = None,
    seed: int = 0,
    choose: Callable[[], str] | None = None,
) -> AsyncIterator[Server]:
    """A server of the policies by name, the first one also at `/`, while the context is open. Port 0 takes a free one.

    key: what clients must send (`Authorization: Api-Key …`). choose: says for each observation whose turn it is; then
    there is `/` alone, and no client is told a name. Raises InputError as `check_reach`, and where the address
    is taken.
    """
    check_reach(host, key)
    with ThreadPoolExecutor(1, "policy") as thread:
        room = _Room(dict(served), key, seed, thread, choose)
        try:
            server = await serve(
                room.talk,
                host,
                port,
                compression=None,
                max_size=MAX_BYTES,
                max_queue=1,
                process_request=room.admit,
                origins=[None],  # pages in a browser send one; robots do not
            )
        except OSError as error:
            raise InputError(f"Cannot listen on {host}:{port} ({error.strerror}). Choose another --port.") from None
        async with server:
            yield server


class _Room:
    """What all clients of a server share."""

    def __init__(
        self,
        served: dict[str, Served],
        key: str | None,
        seed: int,
        thread: ThreadPoolExecutor,
        choose: Callable[[], str] | None,
    ) -> None:
        self._served, self._key, self._seed, self._thread, self._choose = served, key, seed, thread, choose
        self._clients = 0

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """None lets a client in; `/healthz` answers anybody."""
        if request.path == "/healthz":
            return connection.respond(HTTPStatus.OK, "OK\n")
        given = request.headers.get("Authorization", "")
        if self._key is not None and not hmac.compare_digest(given.encode(), f"Api-Key {self._key}".encode()):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "Send the server's key: Authorization: Api-Key KEY\n")
        if self._of(request.path) is None:
            there = "" if self._choose else ", /".join(self._served)
            return connection.respond(HTTPStatus.NOT_FOUND, f"Served here: /{there}\n")
        if self._clients >= MOST_CLIENTS:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_CLIENTS} clients are connected.\n")
        return None

    def _of(self, path: str) -> Served | None:
        name = path.split("?")[0].strip("/")
        if not name:
            return next(iter(self._served.values()))
        return None if self._choose else self._served.get(name)

    async def talk(self, connection: ServerConnection) -> None:
        """One client, until it leaves or sends what cannot be answered."""
        assert connection.request is not None
        served = self._of(connection.request.path)
        assert served is not None
        self._clients += 1
        try:
            await self._answers(connection, served)
        except ConnectionClosed:
            pass
        except SteeringError as error:
            await _refuse(connection, str(error), CloseCode.INVALID_DATA)
        except Exception as error:  # of the policy: the client is told which kind, the log the rest
            log.exception("An observation could not be answered")
            words = f"The policy failed ({type(error).__name__}); the server's log says where."
            await _refuse(connection, words, CloseCode.INTERNAL_ERROR)
        finally:
            self._clients -= 1

    async def _answers(self, connection: ServerConnection, served: Served) -> None:
        noise, before_ms = generator(self._seed), None
        told = served.metadata(list(self._served))
        await connection.send(pack(told if self._choose is None else {**told, **BLINDED}))
        async for message in connection:
            came_s = time.monotonic()
            if isinstance(message, str):
                raise InputError("Expected an observation packed by msgpack, in a binary message; got a text.")
            given = unpack(message)
            if not isinstance(given, dict):
                raise InputError(f"Expected an observation as a map of names, got {type(given).__name__}.")
            if given.get("endpoint", "infer") == "reset":
                noise = generator(_seed_of(given, self._seed))
                await connection.send(pack({"reset": True}))
                continue
            if self._choose is not None:
                served = self._served[self._choose()]
            asked_s = time.monotonic()
            actions = await asyncio.get_running_loop().run_in_executor(self._thread, served.act, given, noise)
            took_ms = 1000 * (time.monotonic() - asked_s)
            timing = {"infer_ms": took_ms} | ({} if before_ms is None else {"prev_total_ms": before_ms})
            await connection.send(
                pack({"actions": actions, "policy_timing": {"infer_ms": took_ms}, "server_timing": timing})
            )
            before_ms = 1000 * (time.monotonic() - came_s)


def _seed_of(given: Mapping[Any, Any], otherwise: int) -> int:
    seed = given.get("seed", otherwise)
    if type(seed) is not int or not 0 <= seed < 1 << 63:
        raise InputError(f"Expected a seed as a whole number from 0, got {str(seed)[:40]!r}.")
    return seed


async def _refuse(connection: ServerConnection, words: str, code: CloseCode) -> None:
    try:
        await connection.send(words)
        await connection.close(code, words.encode()[:120].decode(errors="ignore"))
    except ConnectionClosed:
        pass
