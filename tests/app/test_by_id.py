"""No question, event or route acts on another's thing by its id: everything that can be asked is asked as a stranger.

The lists come from the code: every public question, every event of the page with every word that its handler knows, and
every route that takes something. Whatever a stranger gets to see by a link, nothing of the owner's may change.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, get_type_hints

import gradio as gr
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from app import driving, monitoring, questions
from app.page import build
from app.questions.context import Context, open_context
from app.questions.public import QUESTIONS
from app.visitors import Visitor, asked_by, owner
from steering.errors import SteeringError
from steering.jobs.client import Jobs
from steering.pipeline.uploads import upload_folder
from steering.public import SWITCH
from steering.store import Store

ADA, EVE = Visitor("a" * 16), Visitor("e" * 16)
DRIVE = "d" * 32


class Drives:
    """Stands in for a driver: ADA's, who drives on."""

    alive = True

    def ask(self, wish: object) -> tuple[dict[str, Any], list[bytes]]:
        raise AssertionError(f"ADA's drive was told {wish}")

    def close(self, discard: bool = True) -> None:
        assert owner() != EVE.owner, "ADA's drive was ended"


@dataclass(frozen=True)
class Adas:
    """What is ADA's. ids: kind -> one of it, of an artefact, a job, an upload or a drive."""

    context: Context
    ids: dict[str, str]

    def state(self) -> dict[str, object]:
        """All that a stranger must leave as it is."""
        root, jobs = self.context.store.root, self.context.jobs.recent(ADA.owner, limit=100)
        files = {
            path.relative_to(root).as_posix(): path.stat().st_size
            for place in ("artefacts", f"owners/{ADA.owner}/own", "uploads")
            for path in (root / place).rglob("*")
            if path.is_file() and f"artefacts/{place}" not in path.as_posix()
        }
        return {
            "files": {
                name: size for name, size in files.items() if self.ids["upload"] in name or "uploads" not in name
            },
            "jobs": [(one.id, one.state, one.cancel_requested) for one in jobs],
            "dismissed": self.ids["failed"] in self.context.dismissed,
            "drive": self.context.driving.shown(ADA.owner),
            "classes": [(one.code, one.title) for one in self.context.classes.taught(ADA.owner)],
        }


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory, sample_store: ModuleType) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("things")
    return root, sample_store.fill(root, episodes=2, count=12, size=40)


@pytest.fixture
def adas(
    tmp_path: Path,
    samples: tuple[Path, dict[str, str]],
    things: tuple[Path, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Adas]:
    """A server for strangers, whose queue no worker serves, and what ADA has there."""
    monkeypatch.setattr(Jobs, "_start", lambda self, worker: None)
    monkeypatch.setenv(SWITCH, "1")
    monkeypatch.setenv("STEERING_PLACES", "1000")
    monkeypatch.setattr("steering.jobs.places.MAX_QUEUED", 10_000)
    root, made = things
    store = Store(tmp_path / "store", readonly=[samples[0]])
    shutil.copytree(root / "artefacts", store.artefacts)
    for path in store.artefacts.iterdir():
        store.owned_by(ADA.owner).claim(path.name)
    jobs = Jobs(store)
    context = open_context(store, jobs)
    ids = {name: made[name] for name in ("place_cube_in_bowl", "relevance", "lora", "comparison")}
    with asked_by(ADA):
        ids["job"] = jobs.submit("record", owner=ADA.owner, task="pick_cube", count=2)
        ids["asked"] = jobs.submit("attention", owner=f"{ADA.owner}-heads", demonstrations_id="x", episode=0)
        ids["failed"] = jobs.submit("record", owner=ADA.owner, task="pick_cube", count=3)
        jobs.cancel(ids["failed"])
        ids["class"] = questions.classes.make_class(context, "week 3").code
        ids["upload"] = questions.uploads.begin(context, [{"name": "a.npz", "size": 3}])
    drive = driving._Drive(ADA.owner, Drives(), "press_button", ())  # type: ignore[arg-type]
    context.driving._drives[DRIVE] = drive
    ids["drive"] = DRIVE
    yield Adas(context, ids)
    jobs.close()


VALUES: dict[str, object] = {
    **{"task": "pick_cube", "count": 2, "seed": 0, "variations": [], "metric": "knn", "target": "action"},
    **{"phase": "whole", "measure": "", "rule": "top", "stacks": [], "heads": "1", "stack": "expert", "layer": 1},
    **{"head": 1, "episode": 0, "frame": 0, "preset": "default", "rank": 0, "methods": ["zero_shot", "lora"]},
    **{"steps": 0, "scenes": 1, "words": [], "kind": "relevance.csv", "key": "embedded"},
    **{"title": "", "secret": "0", "lesson": "train", "choice": "lora", "found": "", "revealed": True},
    **{"scene": 0, "method": "lora", "stop_early": False, "factor": 0.0, "from_s": 0.0, "shares": "halves"},
}
"""What a stranger says to parameters that name no thing; the others get each of ADA's ids."""


def test_no_public_question_acts_on_anothers_thing(adas: Adas) -> None:
    before = adas.state()
    for question in QUESTIONS:
        parameters = [name for name in inspect.signature(question).parameters if name != "context"]
        things = [name for name in parameters if name not in VALUES]
        assert all(get_type_hints(question)[name] is str for name in things), f"{question.__name__}: say it in VALUES"
        for one in adas.ids.values() if things else [""]:
            given = [one if name in things else VALUES[name] for name in parameters]
            with asked_by(EVE), adas.context.policies.using(""), suppress(SteeringError):
                question(adas.context, *given)
        assert adas.state() == before, f"{question.__name__} changed what is ADA's"
    with asked_by(EVE):
        assert not {one.id for one in questions.public.jobs(adas.context)} & set(adas.ids.values())


def actions_of(handler: Any) -> set[str]:
    """The words that the source of a handler compares something with: the actions that it knows, and few others."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(handler))))
    compared = (side for one in ast.walk(tree) if isinstance(one, ast.Compare) for side in (one.left, *one.comparators))
    return {one.value for one in compared if isinstance(one, ast.Constant) and isinstance(one.value, str)} or {""}


def given_to(event: Any, visitor: Visitor, action: str, value: str) -> list[Any]:
    """What a browser sends to an event, as Gradio passes it on: an action on a thing, and the thing as open."""
    scope = {"type": "http", "headers": [], "state": {"visitor": visitor}, "query_string": b"", "path": "/"}
    payload = SimpleNamespace(action=action, value=value, form={"id": value}, upload=value, id=value)
    given: list[Any] = [gr.Request(Request(scope)), "", *[[value, 0] for _ in event.inputs[1:]]]
    for place, one in enumerate(inspect.signature(event.fn).parameters.values()):
        if one.annotation in ("gr.EventData", gr.EventData):
            given.insert(place, payload)
        elif place and one.annotation in ("gr.Request", gr.Request):
            given.insert(place, given[0])
    return given


def test_no_event_of_the_page_acts_on_anothers_thing(adas: Adas) -> None:
    async def made() -> gr.Blocks:  # where no loop runs Gradio starts some and closes none
        return build(adas.context)

    # What only shows is named by its lambda or `show`.
    names = re.compile(r"page_(?!lambda|show|_)\w+")
    events = [one for one in asyncio.run(made()).fns.values() if one.fn and names.match(str(one.api_name))]
    before, unforeseen, known = adas.state(), monitoring.COUNTERS.errors, set()
    for event in events:
        actions = actions_of(event.fn) if "EventData" in str(inspect.signature(event.fn)) else {""}
        known |= actions
        for action in actions:
            for one in adas.ids.values() if actions != {""} else [adas.ids["place_cube_in_bowl"]]:
                with suppress(gr.Error):  # is said in words
                    event.fn(*given_to(event, EVE, action, one))
                assert monitoring.COUNTERS.errors == unforeseen, f"{event.api_name}: {action} {one} is not foreseen"
        assert adas.state() == before, f"{event.api_name} changed what is ADA's"
    assert {"stop", "again", "dismiss", "remove", "delete"} <= known


def test_no_route_takes_anything_to_anothers_thing(adas: Adas) -> None:
    context = adas.context
    routes = [*monitoring.routes(context), *context.uploads.routes, *context.driving.routes, *context.media.routes]
    taking = {(method, one.path) for one in routes for method in (one.methods or ()) if method not in ("GET", "HEAD")}
    assert taking == {("PUT", "/uploads/{upload}/{number:int}"), ("POST", "/driving/{drive}")}
    before = adas.state()
    for method, path, body in (
        ("PUT", f"/uploads/{adas.ids['upload']}/0", b"abc"),
        ("POST", f"/driving/{DRIVE}", b'{"do": "look"}'),
    ):
        assert status(routes, method, path, body, EVE) == 404
        assert adas.state() == before
    assert status(routes, "PUT", f"/uploads/{adas.ids['upload']}/0", b"abc", ADA) == 204
    assert (upload_folder(context.store, adas.ids["upload"]) / "files" / "a.npz").read_bytes() == b"abc"


def status(routes: list[Route], method: str, path: str, body: bytes, visitor: Visitor) -> int:
    """Status of the answer that a visitor gets."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b""}
    with asked_by(visitor):
        asyncio.run(Starlette(routes=routes)(scope, receive, send))
    return int(sent[0]["status"])


def test_on_a_server_of_ones_own_another_browser_may(adas: Adas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "0")
    assert status(adas.context.uploads.routes, "PUT", f"/uploads/{adas.ids['upload']}/0", b"abc", EVE) == 204
