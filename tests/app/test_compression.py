"""What is compressed on its way to the browser, and what is not."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
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
        ("/media/a.mp4", None),
        ("/gradio_api/heartbeat/a", None),
    ],
)
def test_the_page_and_its_answers_are_compressed_and_media_are_not(path: str, encoding: str | None) -> None:
    served = Starlette(middleware=[COMPRESSION])
    served.add_route("/{rest:path}", _long)
    answer = TestClient(served).get(path, headers={"accept-encoding": "gzip"})
    assert answer.headers.get("content-encoding") == encoding and answer.text == "word " * 1000
