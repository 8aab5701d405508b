"""What is compressed on its way to the browser, and what is not."""

from __future__ import annotations

from itertools import count

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient

from app.compression import COMPRESSION


async def _long(request: Request) -> Response:
    return PlainTextResponse("word " * 1000)


@pytest.mark.parametrize(
    ("path", "encoding"),
    [
        ("/", "gzip"),
        ("/config", "gzip"),
        ("/gradio_api/run/predict", "gzip"),
        ("/gradio_api/run/lessons", "gzip"),
        ("/media/a.mp4", None),
        ("/gradio_api/heartbeat/a", None),
    ],
)
def test_the_page_and_its_answers_are_compressed_and_media_are_not(path: str, encoding: str | None) -> None:
    served = Starlette(middleware=[COMPRESSION])
    served.add_route("/{rest:path}", _long)
    answer = TestClient(served).get(path, headers={"accept-encoding": "gzip"})
    assert answer.headers.get("content-encoding") == encoding and answer.text == "word " * 1000


def test_the_page_is_made_once_for_everybody_under_a_name_and_a_cookie_stays_with_its_visitor() -> None:
    made: list[str] = []

    async def page(request: Request) -> Response:
        made.append(str(request.url))
        answer = PlainTextResponse(f"{request.url} " * 100)
        if request.headers.get("host") == "signed":
            answer.set_cookie("session", "theirs")
        return answer

    given = count()

    async def visitors(request: Request, call_next: RequestResponseEndpoint) -> Response:
        answer = await call_next(request)
        answer.set_cookie("owner", str(next(given)))
        return answer

    served = Starlette(middleware=[Middleware(BaseHTTPMiddleware, dispatch=visitors), COMPRESSION])
    served.add_route("/", page)
    client = TestClient(served)
    first, second = client.get("/"), client.get("/")
    assert first.text == second.text and second.headers["content-encoding"] == "gzip" and len(made) == 1
    assert [one.headers.get_list("set-cookie")[0].split(";")[0] for one in (first, second)] == ["owner=0", "owner=1"]
    assert len(second.headers.get_list("set-cookie")) == 1
    assert client.get("/", headers={"host": "elsewhere"}).text != first.text
    assert client.get("/", headers={"accept-encoding": "identity"}).text == first.text
    assert client.get("/?frame=3").text != first.text and len(made) == 4
    for _ in range(2):
        client.get("/", headers={"host": "signed"})
    assert len(made) == 6, "an answer to one visitor was kept for others"
    for number in range(100):
        client.get("/", headers={"host": f"name{number}"})
    client.get("/")
    assert len(made) == 107, "pages are kept without bound"
