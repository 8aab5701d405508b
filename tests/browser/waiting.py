"""What tests of the page wait for: conditions of the page, never a time by which it should be done.

Whatever follows an answer of the server, a debounce, a scroll, a picture or a film is there when it is there. So a test
says what it waits for, with `expect` or with these, and a slow machine takes longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import parse_qs, urlparse

from playwright.sync_api import BrowserContext, FloatRect, Locator, Page, Request, expect

WITHIN_MS = 90_000
"""For whatever the page does itself."""
WORKS_MS = 600_000
"""For what the policy has to work out or train."""
Found = TypeVar("Found")
UNTOLD_S = 30.0
"""After a reload the end of a request is sometimes never told, though the page is filled; why is not known."""
_UNDER_WAY: dict[BrowserContext, dict[Request, float]] = {}
"""Context -> question under way -> monotonic seconds at which it was asked."""

FRAME = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
FILLED = "() => document.documentElement.dataset.filled === '1' && window.wb !== undefined"
DRAWN = """(canvases) => canvases.length > 0 && canvases.every((canvas) => canvas.width
  && canvas.getContext('2d').getImageData(canvas.width >> 1, canvas.height >> 1, 1, 1).data[3] === 255)"""


def follow(context: BrowserContext) -> None:
    """Note which questions to the server are under way in the pages of a context."""
    waiting = _UNDER_WAY.setdefault(context, {})
    asks = ("/gradio_api/run/", "/gradio_api/queue/")

    def began(one: Request) -> None:
        if any(part in one.url for part in asks):
            waiting[one] = time.monotonic()

    context.on("request", began)
    context.on("requestfinished", lambda one: waiting.pop(one, None))
    context.on("requestfailed", lambda one: waiting.pop(one, None))


def forget(context: BrowserContext) -> None:
    """Of a context without a page nothing is under way."""
    _UNDER_WAY[context].clear()


def stands(page: Page) -> None:
    """Until the page has opened: every step is filled, and nothing that was asked for is under way."""
    page.wait_for_function(FILLED, timeout=WITHIN_MS)
    settled(page)


def opened(page: Page, step: str) -> Locator:
    """What a step shows, once it is opened by its tab."""
    tab = page.get_by_role("tab", name=step, exact=True)
    tab.click()
    expect(tab).to_have_attribute("aria-selected", "true")
    panel = page.locator("#steps [role=tabpanel]").filter(visible=True)
    expect(panel).to_have_count(1)
    return panel


def reload(page: Page) -> None:
    page.reload(wait_until="commit")
    forget(page.context)  # what the page before asked for, nobody waits for any more, and its end may not be told
    stands(page)


def settled(page: Page) -> None:
    """Until the server has answered all that the page asked, and the answers are drawn. What takes longer than
    `UNTOLD_S` is left to what the test waits for next.
    """

    def asked() -> list[str]:
        page.evaluate(FRAME)
        since_s = time.monotonic() - UNTOLD_S
        return [one.url for one, began_s in _UNDER_WAY[page.context].items() if began_s > since_s]

    eventually(page, asked, lambda waiting: not waiting)


def eventually(page: Page, read: Callable[[], Found], right: Callable[[Found], bool]) -> Found:
    """What `read` gives, once it is right."""
    until_s = time.monotonic() + WITHIN_MS / 1000
    while not right(found := read()):
        assert time.monotonic() < until_s, found
        page.wait_for_timeout(50)
    return found


def said(page: Page, words: str) -> None:
    """Until a toast has said so. It may be gone again: toasts stay some seconds (exports.js keeps what they said)."""
    page.wait_for_function("(words) => [...window.toasts].some((one) => one.includes(words))", arg=words)


def addressed(page: Page, right: Callable[[dict[str, list[str]]], bool]) -> None:
    """Until the address says so; right: of its query."""
    page.wait_for_url(lambda url: right(parse_qs(urlparse(url).query)))


def resting(found: Locator) -> FloatRect:
    """Where an element stands, once it is in sight and has come to rest."""
    boxes: list[FloatRect | None] = []

    def moved() -> bool:
        boxes.append(found.bounding_box())
        return boxes[-1] is None or boxes[-2:] != boxes[-1:] * 2

    moved()
    eventually(found.page, moved, lambda moving: not moving)
    last = boxes[-1]
    assert last is not None
    return last


def pictured(page: Page) -> None:
    """Until the pictures of both cameras are drawn."""
    canvases = page.locator(".wb-cameras canvas")
    eventually(page, lambda: canvases.evaluate_all(DRAWN), bool)


def films(page: Page, within: str = "[data-testid=rollout-player]") -> None:
    """Until films can be played and leapt in."""
    films_of = "(at) => [...document.querySelectorAll(`${at} video`)]"
    page.wait_for_function(
        f"(at) => {{ const all = ({films_of})(at); return all.length && all.every((film) => film.readyState > 1); }}",
        arg=within,
    )


def no_job(page: Page) -> None:
    """Until no job of an earlier test is left: those of a server are seen by all its visitors."""
    expect(page.get_by_test_id("job")).to_have_count(0, timeout=WORKS_MS)
