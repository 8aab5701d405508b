"""Live driving: who drives which process, and the route over which the browser sends commands and gets pictures.

`POST driving/<id>` carries {do, action} as JSON, at most MOST_BYTES, and is answered by four bytes that say how long
the state is (big-endian), the state as JSON, and the two pictures as JPEG. The id is random, and only who began a drive
may command it; JSON makes a browser ask before another site's page may send it. Nothing here loads MuJoCo.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.answers.driving import DriveCard
from app.visitors import may_act_on
from app.words import without_places
from steering.driving.client import IDLE_S, DriveClient
from steering.errors import InputError, NotFound, SteeringError
from steering.public import quota
from steering.store import Store
from steering.types import ACTION_NAMES

MOST_DRIVES = 2
MOST_BYTES = 2000
WISHES = ("step", "look", "keep", "again", "next")
"""What the route takes; saving and stopping change the page and come as its events."""
UNKNOWN = "This drive is over. Start a new one."
ALREADY = (
    "You are driving already. Save that set or stop it before you start another; where it is not on this page, in "
    "another tab perhaps, reload to see it here."
)
ALL_TAKEN = (
    f"{MOST_DRIVES} people are driving now, the most at a time on this server. Try again in a few minutes: a drive "
    "ends when its driver stops, or two minutes after their last key."
)


AT_ADDRESS = (
    "Somebody else who came today drives from your address. Try again when they have stopped: new visitors of one "
    "address drive one at a time."
)


@dataclass(frozen=True)
class _Drive:
    owner: str
    client: DriveClient
    task: str
    variations: tuple[str, ...]
    party: str = ""
    started_s: float = field(default_factory=time.monotonic)


class Driving:
    """The drives of a store. An owner has one at a time, the server MOST_DRIVES."""

    def __init__(self, store: Store, idle_s: float = IDLE_S) -> None:
        self._store, self._idle_s = store, idle_s
        self._drives: dict[str, _Drive] = {}
        self._changing = threading.Lock()
        self.routes = [Route("/driving/{drive}", self.answer, methods=["POST"])]

    def start(self, owner: str, task: str, seed: int, variations: Sequence[str], party: str = "") -> None:
        """Start a drive through the scenes of `seed`. party: whose drives it counts with, the owner's own unless given.
        Raises InputError where there may be none now.
        """
        party = party or owner
        with self._changing:
            self._forget_ended()
            if any(one.owner == owner for one in self._drives.values()):
                raise InputError(ALREADY)
            if party != owner and any(one.party == party for one in self._drives.values()):
                raise InputError(AT_ADDRESS)
            if len(self._drives) >= MOST_DRIVES:
                raise InputError(ALL_TAKEN)
            key = secrets.token_hex(16)
            client = DriveClient(self._store.root, task, seed, variations, self._idle_s, owner)
            self._drives[key] = _Drive(owner, client, task, tuple(variations), party)
        try:
            client.ask({"do": "look"})
        except SteeringError:
            self._drop(key)
            raise

    @property
    def count(self) -> int:
        """Drives that go on."""
        return sum(one.client.alive for one in list(self._drives.values()))

    def shown(self, owner: str) -> DriveCard | None:
        """The drive of an owner that goes on, or None."""
        with self._changing:
            self._forget_ended()
            found = ((key, one) for key, one in self._drives.items() if one.owner == owner)
            key, drive = next(found, ("", None))
        return None if drive is None else DriveCard(key, drive.task, drive.variations, self._idle_s)

    def save(self, owner: str) -> str:
        """Store what the owner has kept, and end the drive; the id. Raises InputError where nothing was kept."""
        key, drive = self._of(owner)
        state, _ = drive.client.ask({"do": "save"})
        self._drop(key)
        return str(state["saved"])

    def stop(self, owner: str) -> None:
        """End the owner's drive, where there is one; nothing is stored."""
        try:
            self._drop(self._of(owner)[0])
        except NotFound:
            return

    def close(self) -> None:
        """The server ends: so do all drives, after storing what was kept."""
        with self._changing:
            for one in self._drives.values():
                one.client.close(discard=False)
            self._drives.clear()

    async def answer(self, request: Request) -> Response:
        """Take one wish; answer state and pictures, or what is wrong in words."""
        if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
            return _refused(415, "Expected JSON. Reload the page.")
        drive = await run_in_threadpool(self._going_on, request.path_params["drive"])
        if drive is None:
            return _refused(404, _unknown())
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    return _refused(413, f"Expected at most {MOST_BYTES} bytes. Reload the page.")
            state, pictures = await run_in_threadpool(drive.client.ask, wish_of(bytes(body)))
        except ClientDisconnect:
            return _refused(400, "Stopped.")
        except NotFound as error:
            return _refused(404, without_places(str(error)))
        except SteeringError as error:
            return _refused(400, without_places(str(error)))
        head = json.dumps({**state, "sizes": [len(one) for one in pictures]}).encode()
        content = len(head).to_bytes(4, "big") + head + b"".join(pictures)
        return Response(content, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

    def _going_on(self, key: str) -> _Drive | None:
        with self._changing:
            self._end_overdue()
            drive = self._drives.get(key)
        return drive if drive is not None and may_act_on(drive.owner) else None

    def _of(self, owner: str) -> tuple[str, _Drive]:
        with self._changing:
            for key, one in self._drives.items():
                if one.owner == owner:
                    return key, one
        raise NotFound(UNKNOWN)

    def _drop(self, key: str) -> None:
        with self._changing:
            drive = self._drives.pop(key, None)
        if drive is not None:
            drive.client.close()

    def _forget_ended(self) -> None:
        for key, one in list(self._drives.items()):
            if not one.client.alive:
                one.client.close()
                del self._drives[key]
        self._end_overdue()

    def _end_overdue(self) -> None:
        """End the drives that last too long, after storing what was kept."""
        most_s = quota().drive_minutes * 60
        for key, one in list(self._drives.items()):
            if time.monotonic() - one.started_s > most_s:
                threading.Thread(target=one.client.finish, daemon=True).start()
                del self._drives[key]


def _unknown() -> str:
    most = quota().drive_minutes
    kept = f" A drive lasts {most:g} minutes at most here; what was kept by then is in the list."
    return UNKNOWN + ("" if math.isinf(most) else kept)


def wish_of(body: bytes) -> Mapping[str, Any]:
    """What a browser asks, in the form that `DriveClient.ask` takes. Raises InputError for anything else."""
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        sent = None
    if not isinstance(sent, dict) or sent.get("do") not in WISHES:
        raise InputError(f"Expected a JSON object with do, one of {', '.join(WISHES)}. Reload the page.")
    if sent["do"] == "keep":
        return {"do": "keep", "failure": sent.get("failure") is True}
    if sent["do"] != "step":
        return {"do": sent["do"]}
    action = sent.get("action")
    if not isinstance(action, list) or len(action) != len(ACTION_NAMES) or not all(map(_is_number, action)):
        raise InputError(f"Expected an action of {len(ACTION_NAMES)} finite numbers. Reload the page.")
    return {"do": "step", "action": [float(min(max(one, -1), 1)) for one in action]}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and abs(value) < math.inf  # NaN is not less


def _refused(status: int, words: str) -> Response:
    return JSONResponse({"words": words}, status_code=status)
