"""How fast the page is, in Chromium over the repository's own samples and policy; prints a table and fails on a miss.

    python tests/benchmarks/bench_page.py [--no-finetune] [--quick]

Start: from launching `app.py` over a store that was used before, to a page that answers. Navigation: to the head map
drawn, with a fresh browser profile (cold) and again (warm). Transferred bytes: of the first screen, and of every step
before a Plotly figure, without the films of the compared rollouts (0.25 MB).
Click: from the pointer event to the next frame painted, of a head shown and of one selected (Ctrl-click); of that to
the server's answer and to the set's new cost. Scrub: frames a second and requests while the scrubber is dragged through
an episode. Brush: frames a second while a box grows over a head's outputs on every frame, the longest that counting,
painting and naming what is in it takes, and how often the box stood as it was dragged one frame later. Long task: the
longest while a finetune runs.
Takes about three minutes. Other work on the machine shows in every figure: the load is printed beside them. `--quick`
watches the finetune for a second and lets limits be missed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

ROOT = Path(__file__).parents[2]
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
WATCHED_S = 30  # of a running finetune
SETTLE_MS = 2500  # what the page fetches after the first screen; one stream of events stays open, so it is never idle
READY = "html[data-ready='1']"
FILLED = "() => document.documentElement.dataset.filled === '1'"  # every step, so that opening one sends it again
DRAWN = "() => document.querySelectorAll('[data-testid=head-cell]').length > 0"
CLICK = """(cell, ctrlKey) => new Promise(done => {
  const began = performance.now();
  cell.dispatchEvent(new MouseEvent('click', { bubbles: true, ctrlKey }));
  requestAnimationFrame(() => { const channel = new MessageChannel();
    channel.port1.onmessage = () => done(performance.now() - began); channel.port2.postMessage(0); });
})"""
TOLD = """cell => new Promise(done => {
  const began = performance.now();
  const line = document.querySelector('[data-testid=what-if]').parentElement;
  const watch = new MutationObserver(() => { watch.disconnect(); done(performance.now() - began); });
  watch.observe(line, { childList: true, subtree: true, characterData: true });
  cell.dispatchEvent(new MouseEvent('click', { bubbles: true, ctrlKey: true }));
})"""
SCRUB = """() => new Promise(done => {
  const scrubber = document.querySelector('[data-testid=scrubber]');
  const last = Number(scrubber.max);
  const began = performance.now();
  const work = [];
  let frames = 0;
  const step = () => {
    const now = performance.now();
    if (now - began > 3000) { done([1000 * frames / (now - began), Math.max(...work)]); return; }
    scrubber.value = frames % (last + 1);
    scrubber.dispatchEvent(new Event('input', { bubbles: true }));
    work.push(performance.now() - now);
    frames += 1;
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""
BRUSH = """() => new Promise(done => {
  const plane = document.querySelector('[data-testid=plane]'), drawn = plane.querySelector('.wb-brush');
  const { left, top, width, height } = plane.getBoundingClientRect();
  const point = (name, share) => plane.dispatchEvent(new PointerEvent(name, { bubbles: true, pointerId: 1, button: 0,
    clientX: left + share * width, clientY: top + share * height }));
  plane.setPointerCapture = () => {};
  const work = [];
  const began = performance.now();
  let frames = 0, answered = 0, right = 0, painted = 0;
  point('pointerdown', 0.02);
  const step = () => {
    const now = performance.now();
    if (frames) work.push(now - painted);
    answered += frames > 0 && Math.abs(parseFloat(drawn.style.width) - (right - 0.02) * width) < 1;
    if (now - began > 3000) {
      point('pointerup', 0.98);
      done([1000 * frames / (now - began), Math.max(...work), answered / frames]);
      return;
    }
    frames += 1;
    requestAnimationFrame(() => { painted = performance.now(); });
    right = 0.52 - 0.46 * Math.cos(frames / 20);
    point('pointermove', right);
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""
LONGEST = """() => { window.longest = 0; new PerformanceObserver(list => {
  for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
}).observe({ type: 'longtask' }); }"""


@dataclass(frozen=True)
class Row:
    """One figure. limit: it must be at most this, or at least where `least`."""

    name: str
    value: float
    unit: str
    limit: float
    least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.least else self.value <= self.limit


@contextmanager
def serving(store: Path) -> Iterator[tuple[str, float]]:
    """The address of a fresh server, and the seconds until it answered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "STEERING_STORE": str(store), "GRADIO_SERVER_PORT": str(port)}
    address = f"http://127.0.0.1:{port}/"
    with (store.parent / "server.log").open("ab") as log:
        began = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py")], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            while True:
                try:
                    urllib.request.urlopen(address, timeout=5).close()
                    break
                except (urllib.error.URLError, OSError):
                    if server.poll() is not None:
                        raise SystemExit((store.parent / "server.log").read_text()) from None
                    time.sleep(0.05)
            yield address, time.perf_counter() - began
        finally:
            server.terminate()
            server.wait(30)


def navigate(page: Page, address: str) -> float:
    """Seconds from navigation to the head map drawn."""
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_function(DRAWN, polling=10)
    return time.perf_counter() - began


def counted(session: CDPSession) -> list[float]:
    """A list that grows by the bytes of every finished request, films left out."""
    sizes: list[float] = []
    films: set[str] = set()

    def received(event: dict[str, Any]) -> None:
        if event["response"]["mimeType"].startswith("video/"):
            films.add(event["requestId"])

    def finished(event: dict[str, Any]) -> None:
        if event["requestId"] not in films:
            sizes.append(event["encodedDataLength"])

    session.send("Network.enable")
    session.on("Network.responseReceived", received)
    session.on("Network.loadingFinished", finished)
    return sizes


def first_screen(browser: Browser, address: str) -> Iterator[Row]:
    """Navigation, weight, click and scrub."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(path=ROOT / "tests" / "browser" / "exports.js")
    sizes = counted(context.new_cdp_session(page))
    yield Row("navigation to head map, cold", navigate(page, address), "s", 3.5)
    page.wait_for_selector(READY)
    page.wait_for_timeout(SETTLE_MS)
    yield Row("transferred, first screen", sum(sizes) / 1e6, "MB", 1.0)
    page.wait_for_function(FILLED)
    for step in ("Demonstrations", "Finetune", "Compare", "Learn", "Heads"):
        page.get_by_role("tab", name=step).click()
        page.wait_for_timeout(SETTLE_MS)
    yield Row("transferred, every step, no figure or film", sum(sizes) / 1e6, "MB", 1.0)
    yield Row("navigation to head map, warm", min(navigate(page, address) for _ in range(3)), "s", 2.0)
    page.wait_for_selector(READY)
    page.wait_for_timeout(SETTLE_MS)
    cells = page.locator('[data-testid="head-cell"][data-stack="expert"]')
    shown = [cells.nth(i).evaluate(CLICK, False) for i in range(12)]
    yield Row("click to repaint (a head shown), median", statistics.median(shown), "ms", 30)
    painted, answered = [], []
    for i in range(12):
        with page.expect_response(lambda response: "/run/" in response.url or "/call/" in response.url) as waiting:
            painted.append(cells.nth(i).evaluate(CLICK, True))
        waiting.value.finished()
        timing = waiting.value.request.timing
        answered.append(timing["responseEnd"] - timing["requestStart"])
    yield Row("Ctrl-click to repaint (and selected), median", statistics.median(painted), "ms", 30)
    yield Row("Ctrl-click to the server's answer, median", statistics.median(answered), "ms", 150)
    page.wait_for_function("() => wb.state.attention !== null")
    page.wait_for_timeout(SETTLE_MS)  # the cost of the last set is asked a moment after its click
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    rate, slowest = page.evaluate(SCRUB)
    yield Row("scrub", rate, "frames/s", 55, least=True)
    yield Row("scrub, longest work in a frame", slowest, "ms", 16.7)
    yield Row("requests while scrubbing", len(requests), "", 0)
    context.close()


def what_if(browser: Browser, address: str) -> Iterator[Row]:
    """A toggled head to the new cost and held-out error of the set, over the samples."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    page.wait_for_selector(READY)
    page.wait_for_function(
        "() => /Held-out error [0-9]/.test(document.querySelector('[data-testid=what-if]')?.textContent)"
    )
    page.wait_for_timeout(SETTLE_MS)
    cells = page.locator('[data-testid="head-cell"][data-stack="expert"]')
    told = [cells.nth(i).evaluate(TOLD) for i in range(12)]
    yield Row("toggle to the set's cost and error, median", statistics.median(told), "ms", 300)
    yield Row("toggle to the set's cost and error, longest", max(told), "ms", 300)
    page.close()


def first_why(browser: Browser, address: str) -> Iterator[Row]:
    """The first screen to "Why this head" of a page that somebody has opened before, once one scrolls to it."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    page.wait_for_selector(READY)
    begun_s = time.monotonic()
    page.get_by_test_id("lab-body").scroll_into_view_if_needed()
    page.locator(".wb-near").first.wait_for()
    yield Row("why this head, once scrolled to", time.monotonic() - begun_s, "s", 1)
    page.close()


def brush(browser: Browser, address: str) -> Iterator[Row]:
    """A box over all frames of a head."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    page.wait_for_selector(READY)
    page.get_by_test_id("measures").scroll_into_view_if_needed()
    page.locator('.wb-lab-tabs [data-kind="frames"]').click()
    page.get_by_test_id("plane").scroll_into_view_if_needed()
    page.wait_for_timeout(SETTLE_MS)
    rate, longest, answered = page.evaluate(BRUSH)
    yield Row("brush over all frames", rate, "frames/s", 55, least=True)
    yield Row("brush, longest work in a frame", longest, "ms", 16.7)
    yield Row("brush, answered by the next frame", 100 * answered, "%", 99, least=True)
    page.close()


def finetuning(browser: Browser, address: str, watched_s: float) -> Iterator[Row]:
    """The longest task of the page while a finetune runs; then it is stopped."""
    page = browser.new_page()
    page.goto(f"{address}?tab=finetune")
    page.wait_for_selector(READY)
    page.wait_for_timeout(SETTLE_MS)
    page.evaluate(LONGEST)
    page.get_by_test_id("finetune-start").click()
    page.get_by_test_id("job").first.wait_for()
    page.get_by_test_id("training-curves").wait_for(timeout=600_000)  # a loaded machine takes minutes to begin
    loading = page.evaluate("() => { const seen = window.longest; window.longest = 0; return seen; }")
    page.wait_for_timeout(1000 * watched_s)
    assert page.get_by_test_id("job").count() > 0, "the finetune ended before it was measured"
    yield Row("longest task while finetuning", page.evaluate("() => window.longest"), "ms", 200)
    yield Row("longest task before its first curve", loading, "ms", 200)
    for button in page.get_by_role("button", name="Stop").all():
        if button.is_visible():
            button.click()
    page.close()


def main() -> int:
    """Measure, print, and say by the exit status whether every limit is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-finetune", action="store_true", help="leave out the longest task while a finetune runs")
    parser.add_argument("--quick", action="store_true", help="only to see that it runs")
    given = parser.parse_args()
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    missed = 0
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        store = Path(folder) / "store"
        with serving(store):
            pass  # the first start makes the first screen's files
        with serving(store) as (address, start_s):
            start = Row("second start to an answering page", start_s, "s", 6.0)
            parts = [
                first_screen(browser, address),
                first_why(browser, address),
                what_if(browser, address),
                brush(browser, address),
            ]
            if not given.no_finetune:
                parts.append(finetuning(browser, address, 1 if given.quick else WATCHED_S))
            print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
            for row in itertools.chain([start], *parts):
                bound = f"{'at least' if row.least else 'at most'} {row.limit:g}"
                print(
                    f"{row.name:42} {row.value:9.2f} {row.unit:9} {bound:14} {'met' if row.met else 'MISSED'}",
                    flush=True,
                )
                missed += not row.met
        browser.close()
    return 1 if missed and not given.quick else 0


if __name__ == "__main__":
    sys.exit(main())
