"""A visitor is known by a cookie that the server signs: nobody invents one, and no payload names one."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app import cookies, visitors
from app.cookies import COOKIE, KEY, KEY_FILE, Visitors, of_event, signing_key
from app.visitors import Visitor, asking

KEY_BYTES = b"k" * 32


async def says_who(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(f"{asking().owner} {asking().address}")(scope, receive, send)


@pytest.fixture
def client() -> TestClient:
    return TestClient(Visitors(says_who, KEY_BYTES), base_url="http://127.0.0.1")


def given(answer: Any) -> Morsel[str] | None:
    """The cookie that an answer gives."""
    return SimpleCookie(answer.headers.get("set-cookie", "")).get(COOKIE)


def test_a_visitor_gets_a_cookie_once_and_is_known_by_it(client: TestClient) -> None:
    first = client.get("/")
    cookie = given(first)
    assert cookie is not None and cookie["httponly"] and cookie["samesite"] == "Lax" and not cookie["secure"]
    again = client.get("/")
    assert again.text == first.text and given(again) is None


@pytest.mark.parametrize("forged", ["e" * 16, f"{'e' * 16}.1.{'0' * 32}", "", 'a"b', "é" * 4, "x" * 5000])
def test_an_invented_cookie_counts_as_none(client: TestClient, forged: str) -> None:
    answer = client.get("/", headers={"cookie": f"{COOKIE}={forged}".encode()})
    assert given(answer) is not None and not answer.text.startswith("e" * 16)


def test_another_server_does_not_know_the_cookie(client: TestClient) -> None:
    client.get("/")
    other = TestClient(Visitors(says_who, b"j" * 32), base_url="http://127.0.0.1", cookies=client.cookies)
    assert given(other.get("/")) is not None


def test_in_a_space_the_cookie_is_for_its_frame_alone(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/space")
    answer = client.get("/")
    assert answer.headers["set-cookie"].endswith("HttpOnly; SameSite=None; Secure; Partitioned")


def test_behind_https_the_cookie_is_secure(client: TestClient) -> None:
    cookie = given(client.get("/", headers={"x-forwarded-proto": "https"}))
    assert cookie is not None and cookie["secure"]


def test_another_sites_picture_does_not_replace_a_cookie(client: TestClient) -> None:
    sent = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert given(client.get("/", headers=sent)) is None


def test_the_address_is_what_ones_own_proxy_says(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def address(heard: str) -> str:
        return client.get("/", headers={"x-forwarded-for": heard}).text.split()[1]

    assert address("10.0.0.1") == address("10.0.0.2"), "nobody is believed where no proxy stands"
    monkeypatch.setenv(cookies.PROXIES, "1")
    assert address("1.1.1.1, 10.0.0.1") == address("2.2.2.2, 10.0.0.1"), "what a client writes itself is not believed"
    assert address("10.0.0.1") != address("10.0.0.2")


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = signing_key(tmp_path)
    assert len(made) == 64 and signing_key(tmp_path) == made
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    monkeypatch.setenv(KEY, "too short")
    assert signing_key(tmp_path) == made
    monkeypatch.setenv(KEY, "0123456789abcdef")
    assert signing_key(tmp_path) == b"0123456789abcdef"


def test_an_account_is_the_owner_where_there_is_one() -> None:
    scope: Scope = {"type": "http", "headers": [], "state": {"visitor": Visitor("a" * 16, 5.0, "here")}}
    by_cookie, ada, again, ben = (
        of_event(gr.Request(Request(scope), username=name)) for name in (None, "ada", "ada", "ben")
    )
    assert by_cookie == Visitor("a" * 16, 5.0, "here")
    assert ada == again and len({by_cookie.owner, ada.owner, ben.owner}) == 3
    assert of_event(None) == visitors.SERVER


# -- the page itself ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def public(
    tmp_path_factory: pytest.TempPathFactory, samples: tuple[Path, dict[str, str]], serve: Callable[..., Any]
) -> Iterator[Any]:
    """The page where strangers use it."""
    with serve(tmp_path_factory.mktemp("public"), samples[0], STEERING_PUBLIC="1") as found:
        yield found


def test_a_job_is_its_visitors_alone(public: Any, browse: Callable[[Any], Any]) -> None:
    ada, eve = browse(public), browse(public)
    ada.event("record", action="record", form={"task": "pick_cube", "count": "2"})
    assert "Recording demonstrations" in ada.event("watch")
    assert "Recording demonstrations" not in eve.event("watch")
    eve.cookie = f"{COOKIE}={ada.cookie.partition('=')[2].partition('.')[0]}.1.{'0' * 32}"
    assert "Recording demonstrations" not in eve.event("watch"), "an owner is not invented"
    assert "Recording demonstrations" in ada.event("watch")


def test_no_event_takes_an_owner(public: Any) -> None:
    kept = [one["props"].get("storage_key") for one in json.loads(public.ask("GET", "/config")[2])["components"]]
    assert "steering-owner" not in kept and "steering-heads" in kept
