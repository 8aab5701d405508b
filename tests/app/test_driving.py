"""Driving outside the browser: who may drive, what the route refuses, and that its processes end."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from app import driving, questions
from app.driving import Driving, wish_of
from app.questions.context import Context
from app.views import driving as view
from app.views.demonstrations import record_form
from steering.errors import InputError, NotFound
from steering.simulation.scene import CONTROL_HZ
from steering.simulation.tasks import TASKS
from steering.store import Store

OWNER, OTHER, THIRD = "a" * 16, "b" * 16, "c" * 16
FORWARD = {"do": "step", "action": [0.5, 0, 0, 0, 0, 0, 1]}


@pytest.fixture
def drives(tmp_path: Path) -> Iterator[Driving]:
    made = Driving(Store(tmp_path / "store"), idle_s=600.0)
    yield made
    pids = [one.client.pid for one in made._drives.values()]
    for owner in (OWNER, OTHER):
        made.stop(owner)
    assert not any(map(runs, pids))


class StandIn:
    """In place of a driving process, which takes a second to start, where the question is who may drive."""

    kept = ()

    def __init__(self, root: Path, task: str, *_: object) -> None:
        if task not in TASKS:
            raise InputError(f"Expected press_button or another task, got {task}.")
        self.alive, self.pid = True, 2**30  # of no process

    def ask(self, wish: object) -> tuple[dict[str, Any], list[bytes]]:
        return {}, []

    def close(self, discard: bool = True) -> None:
        self.alive = False

    def finish(self) -> None:
        self.alive = False


@pytest.fixture
def stood_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "DriveClient", StandIn)


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(true: Callable[[], bool], most_s: float = 300.0) -> None:
    end_s = time.monotonic() + most_s
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def key_of(drives: Driving, owner: str = OWNER) -> str:
    card = drives.shown(owner)
    assert card is not None
    return card.id


def post(drives: Driving, key: str, body: bytes | dict[str, Any], kind: str = "application/json") -> tuple[int, bytes]:
    """Status and body of a POST, through the application's own routing."""
    sent: list[dict[str, Any]] = []
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    parts = [content[at : at + 700] for at in range(0, len(content), 700)] or [b""]
    waiting = [{"type": "http.request", "body": one, "more_body": True} for one in parts]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", kind.encode())]
    scope = {"type": "http", "method": "POST", "path": f"/driving/{key}", "headers": headers, "query_string": b""}
    asyncio.run(Starlette(routes=drives.routes)(scope, receive, send))
    return sent[0]["status"], sent[1].get("body", b"")


def state_of(body: bytes) -> tuple[dict[str, Any], list[bytes]]:
    at = 4 + int.from_bytes(body[:4], "big")
    state = json.loads(body[4:at])
    pictures = []
    for size in state["sizes"]:
        pictures.append(body[at : at + size])
        at += size
    assert at == len(body)
    return state, pictures


def words(body: bytes) -> str:
    return str(json.loads(body)["words"])


def test_one_drives_saves_and_the_process_is_gone(drives: Driving, tmp_path: Path) -> None:
    drives.start(OWNER, "press_button", 0, ("lighting",))
    key = key_of(drives)
    assert len(key) == 32
    pid = drives._drives[key].client.pid
    for _ in range(11):
        status, body = post(drives, key, FORWARD)
        assert status == 200
    state, pictures = state_of(body)
    assert state["frames"] == 11 and [one[:2] for one in pictures] == [b"\xff\xd8"] * 2
    status, body = post(drives, key, {"do": "keep"})
    assert status == 400 and "not reached yet" in words(body)
    with pytest.raises(InputError, match="Keep an episode first"):
        drives.save(OWNER)
    assert post(drives, key, {"do": "keep", "failure": True})[0] == 200
    saved = drives.save(OWNER)
    assert not runs(pid) and drives.shown(OWNER) is None
    value = Store(tmp_path / "store").load(saved)
    assert len(value.episodes) == 1 and value.variations == ("lighting",)
    assert not list((tmp_path / "store" / "unfinished").glob("*"))
    assert post(drives, key, FORWARD)[0] == 404
    with pytest.raises(NotFound, match="Start a new one"):
        drives.save(OWNER)


@pytest.mark.usefixtures("stood_in")
def test_an_owner_drives_once_and_the_server_two(drives: Driving) -> None:
    drives.start(OWNER, "press_button", 0, ())
    with pytest.raises(InputError, match="You are driving already"):
        drives.start(OWNER, "pick_cube", 0, ())
    drives.start(OTHER, "press_button", 0, ())
    with pytest.raises(InputError, match="2 people are driving now.*in a few minutes"):
        drives.start(THIRD, "press_button", 0, ())
    client = drives._drives[key_of(drives)].client
    drives.stop(OWNER)
    drives.stop(OWNER)  # twice does nothing
    assert not client.alive and drives.shown(OWNER) is None and drives.shown(OTHER) is not None
    with pytest.raises(InputError, match="press_button"):
        drives.start(OWNER, "nothing", 0, ())
    assert drives.shown(OWNER) is None, "what cannot start takes no place"


def test_silence_ends_it_and_what_was_kept_is_saved(tmp_path: Path) -> None:
    drives = Driving(Store(tmp_path / "store"), idle_s=2.0)
    drives.start(OWNER, "press_button", 0, ())
    key = key_of(drives)
    client = drives._drives[key].client
    for _ in range(10):
        post(drives, key, FORWARD)
    assert post(drives, key, {"do": "keep", "failure": True})[0] == 200
    until(lambda: not client.alive)
    status, body = post(drives, key, FORWARD)
    assert status == 404 and "The 1 kept so far are saved" in words(body)
    assert drives.shown(OWNER) is None
    assert len(Store(tmp_path / "store").find("demonstrations")) == 1


def test_the_server_s_end_ends_it_after_saving(tmp_path: Path) -> None:
    drives = Driving(Store(tmp_path / "store"), idle_s=600.0)
    drives.start(OWNER, "press_button", 0, ())
    key = key_of(drives)
    client = drives._drives[key].client
    for _ in range(10):
        post(drives, key, FORWARD)
    post(drives, key, {"do": "keep", "failure": True})
    drives.close()
    until(lambda: not client.alive)
    assert len(Store(tmp_path / "store").find("demonstrations")) == 1


def test_a_crash_is_said_in_words(drives: Driving) -> None:
    drives.start(OWNER, "press_button", 0, ())
    key = key_of(drives)
    os.kill(drives._drives[key].client.pid, 9)
    status, body = post(drives, key, FORWARD)
    assert status == 404 and "ended unexpectedly (exit code -9)" in words(body)
    assert drives.shown(OWNER) is None


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b"x" * 2001, "application/json", 413, "at most 2000 bytes"),
        (b"[" * 1900, "application/json", 400, "a JSON object"),
        (b'{"do": "stop"}', "application/json", 400, "one of step"),
        (b'{"do": ["step"]}', "application/json", 400, "one of step"),
        (b'{"do": "step"}', "application/json", 400, "7 finite numbers"),
        (b'{"do": "step", "action": [0,0,0,0,0,0]}', "application/json", 400, "7 finite numbers"),
        (b'{"do": "step", "action": [NaN,0,0,0,0,0,0]}', "application/json", 400, "7 finite numbers"),
        (b'{"do": "step", "action": [Infinity,0,0,0,0,0,0]}', "application/json", 400, "7 finite numbers"),
        (b'{"do": "step", "action": [true,0,0,0,0,0,0]}', "application/json", 400, "7 finite numbers"),
        (b'{"do": "step", "action": ["1",0,0,0,0,0,0]}', "application/json", 400, "7 finite numbers"),
        (b'{"do": "look"}', "text/plain", 415, "Expected JSON"),
        (b"do=look", "application/x-www-form-urlencoded", 415, "Expected JSON"),
    ],
)
def test_hostile_bodies_are_refused(tmp_path: Path, body: bytes, kind: str, status: int, says: str) -> None:
    drives = Driving(Store(tmp_path / "store"))

    class Refuses:
        def ask(self, wish: object) -> None:
            raise AssertionError("reached the process")

    drives._drives["f" * 32] = driving._Drive(OWNER, Refuses(), "press_button", ())  # type: ignore[arg-type]
    found = post(drives, "f" * 32, body, kind)
    assert found[0] == status and says in words(found[1])


def test_unknown_ids_and_large_numbers(tmp_path: Path) -> None:
    drives = Driving(Store(tmp_path / "store"))
    for key in ("0" * 32, "..%2f..", "x"):
        assert post(drives, key, FORWARD)[0] == 404
    huge = b'{"do": "step", "action": [' + b"9" * 400 + b', -1e300, 0, 0, 0, 0, 1], "root": "/"}'
    assert wish_of(huge) == {"do": "step", "action": [1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0]}
    assert wish_of(b'{"do": "keep", "failure": "yes"}') == {"do": "keep", "failure": False}


def test_the_panel_and_the_form_are_markup_only() -> None:
    assert view.CONTROL_HZ == CONTROL_HZ
    assert view.driving(None) is None
    card = view.DriveCard("0" * 32, "<b>task", ("lighting",), 60.0)
    shown = view.driving(card)
    assert shown is not None and shown == json.loads(json.dumps(shown)), "plain JSON types"
    markup = shown["markup"]
    assert shown["idle_s"] == 60.0 and shown["rate"] == 20.0 and card.id not in markup
    assert "<b>task" not in markup and "lighting" in markup
    held = ("away", "near", "left", "right", "up", "down", "turn_left", "turn_right")
    for name in (*held, "tilt_away", "tilt_near", "tilt_left", "tilt_right"):
        assert markup.count(f'data-hold="{name}"') == 1
    for key in ("Space", "Enter", "Backspace"):
        assert f"<kbd>{key}</kbd>" in markup
    form = record_form(("pick_cube",), ("lighting",))
    assert 'name="by" value="keyboard"' in form and 'data-action="drive"' in form and 'data-action="record"' in form


def test_the_card_says_who_recorded(context: Context, tmp_path: Path) -> None:
    assert not any(card.by for card in questions.demonstrations.sets(context))
    context.driving.start(OWNER, "press_button", 0, ())
    key = key_of(context.driving)
    for _ in range(10):
        post(context.driving, key, FORWARD)
    post(context.driving, key, {"do": "keep", "failure": True})
    card = questions.demonstrations.card(context, context.driving.save(OWNER))
    assert card.by == "keyboard" and card.outcomes == (False,) and not card.sample


@pytest.mark.usefixtures("stood_in")
def test_new_visitors_of_one_address_drive_one_at_a_time(drives: Driving) -> None:
    drives.start(OWNER, "press_button", 0, (), party="@home")
    with pytest.raises(InputError, match="from your address"):
        drives.start(OTHER, "press_button", 0, (), party="@home")
    drives.start(OTHER, "press_button", 0, (), party="@elsewhere")


@pytest.mark.usefixtures("stood_in")
def test_a_drive_ends_after_the_minutes_of_a_visitor(drives: Driving, monkeypatch: pytest.MonkeyPatch) -> None:
    drives.start(OWNER, "press_button", 0, ())
    monkeypatch.setenv("STEERING_DRIVE_MINUTES", "0.00001")
    time.sleep(0.01)
    key, drive = next(iter(drives._drives.items()))
    assert drives._going_on(key) is None and "in the list" in driving._unknown()
    assert drives.shown(OWNER) is None
    until(lambda: not drive.client.alive)
