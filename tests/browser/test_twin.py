"""The static twin in Chromium, given out by a plain web server, and the handout, which needs none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from app.questions.context import open_context
from app.twin.parts import opened
from app.twin.publish import HANDOUT, publish
from steering.store import Store

from .waiting import WITHIN_MS, reload, said, stands

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
FindCell = Callable[[Page, str, int, int], Locator]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Path:
    root = tmp_path_factory.mktemp("twin")
    context = open_context(Store(root / "store", readonly=[samples]), None)  # type: ignore[arg-type]
    return publish(context, root / "out", opened(context)).folder


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *given: object) -> None:
            super().__init__(*given, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, format: str, *given: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_it_is_the_page_without_a_server(open_page: OpenPage, address: str, cell: FindCell) -> None:
    page = open_page(address)
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
    reload(page)
    expect(page.get_by_test_id("origin")).to_contain_text("Best heads by")

    page.wait_for_function("() => wb.state.attention !== null")
    cell(page, "expert", 3, 2).click()
    expect(page.get_by_test_id("head-inspector")).to_contain_text("Action expert 3.2")
    expect(page.locator(".wb-mass .wb-bar-value").first).to_contain_text("%")
    page.get_by_test_id("scrubber").fill("7")
    expect(page.locator(".wb-time")).to_have_text("8 / 72")
    page.get_by_role("button", name="Play", exact=True).first.click()
    expect(page.locator(".wb-time")).to_have_text("72 / 72")
    assert "frame=71" in page.evaluate("() => { window.dispatchEvent(new Event('pagehide')); return location.search; }")
    cell(page, "vlm", 2, 2).click(modifiers=["Control"])
    expect(page.get_by_test_id("origin")).to_be_hidden()  # nobody here knows where another set comes from
    page.keyboard.press("Control+z")
    expect(page.get_by_test_id("origin")).to_contain_text("Best heads by")

    page.get_by_role("tab", name="Demonstrations").click()
    page.get_by_test_id("episodes").get_by_text("Episode 2").click()
    expect(page.locator(".wb-player-head select")).to_have_value("1")
    expect(page.get_by_role("tab", name="Heads")).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name="Compute attention").click()
    said(page, "python -m steering app")
    with page.expect_download() as kept:
        page.get_by_test_id("export").locator("summary").click()
        page.get_by_role("button", name="Scores (CSV)").click()
    assert kept.value.suggested_filename.endswith(".csv")

    page.get_by_role("tab", name="Compare").click()
    expect(page.get_by_test_id("success")).to_be_hidden()
    page.get_by_test_id("show-labels").click()
    expect(page.get_by_test_id("compare-lead")).to_be_visible()
    expect(page.get_by_test_id("effects")).to_be_visible()
    page.get_by_test_id("squares").locator("button:not([disabled])").first.click()
    page.wait_for_function("() => [...document.querySelectorAll('video')].some((one) => one.currentTime > 0)")
    page.get_by_role("tab", name="Finetune").click()
    expect(page.get_by_test_id("served").locator("visible=true")).to_contain_text("python -m steering app")

    back = f"{address}?tab=compare&episode=1"
    page.goto(back)
    stands(page)
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    page.wait_for_function("() => wb.state.episode?.episode === 1")
    assert failed == [] and [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def test_a_lesson_goes_from_prediction_to_reveal(open_page: OpenPage, address: str, cell: FindCell) -> None:
    page = open_page(f"{address}?tab=learn")
    expect(page.locator("[data-lesson]")).to_have_count(4)
    page.locator("[data-lesson=inert]").click()
    lesson = page.get_by_test_id("lesson")
    lesson.locator("[data-choice=last]").click()
    cell(page, "vlm", 7, 3).click()
    page.get_by_role("button", name="Show the answer").click()
    expect(page.get_by_test_id("reveal")).to_contain_text("You were right.")
    expect(page.get_by_test_id("reveal")).to_contain_text("8 heads are inert")


def test_the_handout_opens_from_a_file(browser: Browser, folder: Path) -> None:
    context = browser.new_context(reduced_motion="reduce", color_scheme="dark")
    context.set_default_timeout(WITHIN_MS)
    page = context.new_page()
    errors: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto((folder / HANDOUT).as_uri())
    page.wait_for_selector("html[data-ready='1']")
    expect(page.locator(".wb-caption")).to_contain_text("Lines: where")  # the attention is here
    page.wait_for_function(
        """() => { const { width, height } = document.querySelector('.wb-cameras canvas');
        const pen = document.querySelector('.wb-cameras canvas').getContext('2d');
        return pen.getImageData(0, 0, width, height).data.some((value, i) => i % 4 < 3 && value > 60); }"""
    )
    assert "dark" in str(page.locator("body").get_attribute("class"))
    assert errors == [] and [url for url in asked[1:] if not url.startswith(("data:", "blob:"))] == []
    page.goto((folder / "index.html").as_uri())
    expect(page.locator("#from-file")).to_contain_text("Open handout.html")
    context.close()
