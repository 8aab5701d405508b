"""The README's pictures: the first screen of a page that is being served, still and moving, and the evidence's figures.

    make app                                       # in another shell
    PYTHONPATH=. python scripts/pictures.py [ADDRESS]

Needs Chromium, as the browser tests do.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from steering.evidence.drawing import figures
from steering.evidence.engine import RESULTS
from steering.evidence.results import read_results

ASSETS = Path(__file__).resolve().parents[1] / "assets"
FIRST_SCREEN = (1440, 900)
FIGURE_WIDTH = 960
MOVING_WIDTH = 960
SETTLE_MS = 2500  # the page keeps a stream open, so that it is never idle
SHOWN = ("success", "forest", "success_by_heads")


def opened(browser: Browser, address: str, theme: str) -> Page:
    """The Heads step, as it opens."""
    page = browser.new_page(viewport={"width": FIRST_SCREEN[0], "height": FIRST_SCREEN[1]})
    page.goto(f"{address}?__theme={theme}&frame=40")  # a frame of its own stands still
    page.wait_for_selector("html[data-ready='1']")
    page.wait_for_timeout(SETTLE_MS)
    return page


def first_screen(browser: Browser, address: str) -> None:
    """In light and in dark."""
    for theme, name in (("light", "screenshot"), ("dark", "screenshot_dark")):
        opened(browser, address, theme).screenshot(path=ASSETS / f"{name}.png")


def playing(browser: Browser, address: str) -> None:
    """The episode plays, and what the head shown looks at moves with it; every third frame."""
    page = opened(browser, address, "light")
    pictures = []
    scrubber = page.locator("input[type=range]").first
    for frame in range(0, int(scrubber.get_attribute("max") or 0) + 1, 3):
        scrubber.evaluate(
            "(one, at) => { one.value = at; one.dispatchEvent(new Event('input', { bubbles: true })); }",
            frame,
        )
        page.wait_for_timeout(60)
        picture = Image.open(io.BytesIO(page.screenshot()))
        pictures.append(picture.resize((MOVING_WIDTH, picture.height * MOVING_WIDTH // picture.width)))
    first, *others = pictures
    first.save(ASSETS / "playing.webp", save_all=True, append_images=others, duration=150, loop=0, quality=60, method=6)


def evidence(browser: Browser) -> None:
    """Figures of the grid."""
    folder = RESULTS.parent / f"{RESULTS.name}_figures"
    drawn = figures(read_results(RESULTS))
    for name in SHOWN:
        figure = drawn[name].update_layout(width=FIGURE_WIDTH, paper_bgcolor="white")
        page = browser.new_page(viewport={"width": FIGURE_WIDTH + 20, "height": 600}, device_scale_factor=2)
        page.set_content(figure.to_html(include_plotlyjs=True, config={"displayModeBar": False}))
        page.locator(".main-svg").first.wait_for()
        page.locator(".js-plotly-plot").screenshot(path=folder / f"{name}.png")


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        evidence(browser)
        first_screen(browser, address)
        playing(browser, address)
        browser.close()
