"""A visitor is known by a cookie that the server signs: nobody invents one, and no payload names one."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app import cookies, questions, visitors
from app.answers.screen import Opened
from app.cookies import COOKIE, KEY, KEY_FILE, Visitors, of_event, signing_key
from app.questions.context import Context
from app.views.header import header
from app.visitors import Visitor, asked_by, asking
from steering import logins
from steering.types import PolicyCheck

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


def signing_in(session: dict[str, object]) -> TestClient:
    """A client of a server whose sign-in keeps this session."""
    inner = Visitors(says_who, KEY_BYTES)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"] = session
        await inner(scope, receive, send)

    return TestClient(app, base_url="https://127.0.0.1")


def login(subject: str, token: str = "hf_token", left_s: float = 3600.0) -> dict[str, object]:
    """A session as Gradio's sign-in fills it."""
    user = {"sub": subject, "preferred_username": f"{subject}-name", "name": subject}
    return {"oauth_info": {"access_token": token, "expires_at": int(time.time() + left_s), "userinfo": user}}


@pytest.fixture
def in_space(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPACE_ID", *visitors.OAUTH):
        monkeypatch.setenv(name, "someone/space")
    monkeypatch.setenv("SYSTEM", "spaces")


def owner_of(client: TestClient, path: str = "/") -> str:
    return client.get(path).text.split()[0]


def test_an_account_is_the_owner_in_any_browser_and_a_cookie_again_after_it(in_space: None) -> None:
    session: dict[str, object] = {}
    client = signing_in(session)
    before = owner_of(client)
    session |= login("ada")
    ada = owner_of(client)
    assert ada != before and owner_of(signing_in(login("ada"))) == ada != owner_of(signing_in(login("ben")))
    found = logins.of(ada)
    assert found is not None and found.token == "hf_token"
    session.clear()
    assert owner_of(client) == before, "what was made before signing in stays with the browser"


def test_signing_out_forgets_the_token(in_space: None) -> None:
    client = signing_in(login("ada"))
    ada = owner_of(client)
    assert owner_of(client, "/logout") != ada and logins.of(ada) is None


@pytest.mark.parametrize(
    "session", [login("ada", left_s=-1), {"oauth_info": 3}, {"oauth_info": {"access_token": "x"}}, {}, {"other": []}]
)
def test_a_login_that_has_ended_or_is_none_counts_for_nothing(in_space: None, session: dict[str, object]) -> None:
    client = signing_in(session)
    assert owner_of(client) == owner_of(client) != owner_of(signing_in(login("ada")))


def test_off_a_space_no_session_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio forges logins there, and signs sessions with a key that everybody knows."""
    monkeypatch.delenv("SYSTEM", raising=False)
    assert not visitors.offers_accounts()
    client = signing_in(login("ada"))
    first = owner_of(client)
    monkeypatch.setenv("SYSTEM", "spaces")
    for name in ("SPACE_ID", *visitors.OAUTH):
        monkeypatch.setenv(name, "x")
    assert owner_of(client) != first


def test_an_event_is_asked_by_whom_its_request_is() -> None:
    ada = Visitor("a" * 16, 5.0, "here")
    scope: Scope = {"type": "http", "headers": [], "state": {"visitor": ada}}
    assert of_event(gr.Request(Request(scope))) == ada
    assert of_event(None) == visitors.SERVER


def test_a_hub_id_means_what_opens_to_whoever_asks(context: Context) -> None:
    names = {"ada": Visitor("a" * 16, name="ada"), "eve": Visitor("e" * 16, name="eve"), "cookie": Visitor("c" * 16)}
    sources = {}
    for name, visitor in names.items():
        with asked_by(visitor):
            sources[name] = context.policies.source_of("lab/secret")
    assert sources["cookie"] == "hub:lab/secret" and len(set(sources.values())) == 3
    with asked_by(names["ada"]):
        check = PolicyCheck(sources["ada"], "pi0", "lerobot", context.size.head_shape, 1, "", "own", 1.0, ())
        context.store.save("policy", check, params={"policy": sources["ada"]})
        with context.policies.using("lab/secret"):
            assert questions.training._source(context) == "lab/secret", "as a command on one's own machine says it"
        assert context.policies.usable("lab/secret") and context.policies.key_of(sources["ada"]) == "lab/secret"
    for other in ("eve", "cookie"):
        with asked_by(names[other]):
            assert not context.policies.usable("lab/secret") and context.policies.key_of(sources["ada"]) == ""


def test_the_header_offers_signing_in_where_that_is() -> None:
    def shown(account: str | None) -> str:
        return header(Opened("", "", 0, "", {}, account=account))

    assert "sign-in" not in shown(None) and "login/huggingface" in shown("")
    assert "You are &lt;b&gt;ada." in shown("<b>ada") and "logout" in shown("<b>ada")


# -- the page itself ---------------------------------------------------------------------------------------------------


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
