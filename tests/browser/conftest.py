"""The page in Chromium: the server as its own process on a free port, over a temporary store.

`sample_address` is served over synthetic samples and a policy of random weights, `real_address` over the repository's
own `assets/`, where they are. What a test waits for: waiting.py. STEERING_TEST_THROTTLE=6 makes the processor of every
page six times slower, STEERING_TEST_DELAY_S=1.5 delays every question and answer by up to so many seconds: a test that
reads before the page has followed fails then, as it may on a busy machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
    Route,
    ViewportSize,
    expect,
    sync_playwright,
)

from .waiting import WITHIN_MS, follow, forget, stands

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_S = 300.0
QUIET_MS = 700
THROTTLE = float(os.environ.get("STEERING_TEST_THROTTLE", "1"))
DELAY_S = float(os.environ.get("STEERING_TEST_DELAY_S", "0"))

expect.set_options(timeout=WITHIN_MS)


_SERVERS: dict[str, subprocess.Popen[bytes]] = {}
"""Address -> the server that answers there."""


@pytest.fixture(autouse=True)
def awake(request: pytest.FixtureRequest) -> None:
    """Servers that a test does not ask sleep meanwhile: an idle one wakes a thousand times a second (NOTES.md)."""
    asked = {request.getfixturevalue(name) for name in request.fixturenames if name.endswith("address")}
    for address, server in _SERVERS.items():
        server.send_signal(signal.SIGCONT if address in asked else signal.SIGSTOP)


def _run(script: Path, target: Path, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, str(script), str(target), *arguments], check=True, capture_output=True, env=environment
    )


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[str]:
    """Serve the page with `settings` as environment variables; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, **settings, "STEERING_STORE": str(folder / "store"), "GRADIO_SERVER_PORT": str(port)}
    environment.pop("GRADIO_ANALYTICS_ENABLED", None)  # app.py itself must set it
    log = (folder / "server.log").open("wb")
    address = f"http://127.0.0.1:{port}/"
    server = subprocess.Popen([sys.executable, str(ROOT / "app.py")], cwd=ROOT, env=environment, stdout=log, stderr=log)
    _SERVERS[address] = server
    try:
        until_s = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None and time.monotonic() < until_s, (folder / "server.log").read_text()
                time.sleep(0.2)
        yield address
    finally:
        del _SERVERS[address]
        server.terminate()  # the server ends its worker
        server.send_signal(signal.SIGCONT)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


@pytest.fixture(scope="session")
def run_script() -> Callable[..., None]:
    """Runs a script of the repository, which fills a folder: (its path from the root, the folder)."""
    return lambda script, target: _run(ROOT / script, target)


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[str]]:
    """`serving`, for tests with a store of their own."""
    return serving


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("needs Chromium; `make test` says how to install it")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Runs a script of the repository into the folder of a name, for all workers of this run: (script, name)."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def make(script: str, name: str) -> Path:
        folder = root / "made" / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                _run(ROOT / script, folder.with_suffix(".part"))
                folder.with_suffix(".part").rename(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def samples(made_once: Callable[[str, str], Path]) -> Path:
    """Synthetic samples, which every server only reads."""
    return made_once("tests/app/sample_store.py", "samples")


@pytest.fixture(scope="session")
def policy(made_once: Callable[[str, str], Path]) -> Path:
    """A policy of random weights, which every server only reads; its folder's name is shown."""
    return made_once("tests/browser/random_policy.py", "policy")


@pytest.fixture(scope="session")
def sample_address(tmp_path_factory: pytest.TempPathFactory, samples: Path, policy: Path) -> Iterator[str]:
    """No test runs or trains anything here: the last run is the example."""
    with serving(
        tmp_path_factory.mktemp("page"), STEERING_SAMPLES=str(samples), STEERING_POLICY=str(policy)
    ) as address:
        yield address


@pytest.fixture(scope="session")
def working_address(tmp_path_factory: pytest.TempPathFactory, samples: Path, policy: Path) -> Iterator[str]:
    """The same samples, for tests that run or train something: what they make, all visitors of a server see."""
    with serving(
        tmp_path_factory.mktemp("work"), STEERING_SAMPLES=str(samples), STEERING_POLICY=str(policy)
    ) as address:
        yield address


@pytest.fixture(scope="session")
def measures_address(
    tmp_path_factory: pytest.TempPathFactory, made_once: Callable[[str, str], Path], policy: Path
) -> Iterator[str]:
    """Samples with head outputs, a second measure and a surgery."""
    found = made_once("tests/app/measures_store.py", "measures")
    with serving(
        tmp_path_factory.mktemp("measures"), STEERING_SAMPLES=str(found), STEERING_POLICY=str(policy)
    ) as address:
        yield address


@pytest.fixture(scope="session")
def big_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A policy with the 18 layers of π0; its weights are never loaded."""
    folder = tmp_path_factory.mktemp("big")
    _run(ROOT / "tests" / "app" / "sample_store.py", folder / "samples", "18")
    text = {"num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256}
    vlm, expert = ({**text, "hidden_size": w, "intermediate_size": m} for w, m in ((2048, 16384), (1024, 4096)))
    (folder / "policy").mkdir()
    config = {"vlm_config": {"text_config": vlm}, "dit_config": expert}
    (folder / "policy" / "config.json").write_text(json.dumps(config))
    with serving(folder, STEERING_SAMPLES=str(folder / "samples"), STEERING_POLICY=str(folder / "policy")) as address:
        yield address


@pytest.fixture(scope="session")
def real_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not (ROOT / "assets/policy/config.json").is_file() or not (ROOT / "assets/samples/artefacts").is_dir():
        pytest.skip("needs assets/policy and assets/samples; `python -m steering precompute` makes the samples")
    with serving(tmp_path_factory.mktemp("real")) as address:
        yield address


@pytest.fixture
def cell() -> Callable[[Page, str, int, int], Locator]:
    """Finds the cell of a head on the map."""

    def find(page: Page, stack: str, layer: int, head: int) -> Locator:
        place = f'[data-stack="{stack}"][data-layer="{layer}"][data-head="{head}"]'
        return page.locator(f'[data-testid="head-cell"]{place}')

    return find


def ask(page: Page, kind: str) -> Locator:
    """Asks about the head shown; where the answer is drawn."""
    page.get_by_test_id("measures").scroll_into_view_if_needed()
    page.locator(f'.wb-lab-tabs [data-kind="{kind}"]').click()
    return page.get_by_test_id("lab-body")


@pytest.fixture
def requests_of() -> Callable[[Page], list[str]]:
    """The addresses that a page asks for once all that it asked before is answered, and nothing followed from it."""

    def watched(page: Page) -> list[str]:
        asked: list[str] = []
        waiting: list[Request] = []

        def noted(request: Request) -> None:
            # A film is fetched in parts, and not to its end where it stands still; a heartbeat never ends.
            if request.resource_type != "media" and "/heartbeat/" not in request.url:
                asked.append(request.url)
                waiting.append(request)

        page.on("request", noted)
        for ended in ("requestfinished", "requestfailed"):
            page.on(ended, lambda request: waiting.remove(request) if request in waiting else None)
        until_s = time.monotonic() + START_S
        while True:
            asked.clear()
            page.wait_for_timeout(QUIET_MS)
            if not asked and not waiting:
                return asked
            assert time.monotonic() < until_s, f"never quiet: {asked}, {[one.url for one in waiting]}"

    return watched


@pytest.fixture(scope="session")
def contexts(browser: Browser) -> list[BrowserContext]:
    """Contexts that no test uses now. A new one fetches and compiles every script anew, a fifth of opening a page."""
    return []


@pytest.fixture
def open_page(browser: Browser, contexts: list[BrowserContext]) -> Iterator[Callable[..., Page]]:
    """Opens pages, each a visitor of its own, that may not raise or log an error or ask another host for anything."""
    errors: list[str] = []
    foreign: list[str] = []
    used: list[BrowserContext] = []

    def open_(address: str, width: int = 1440, height: int = 900, dark: bool = False, moving: bool = False) -> Page:
        context = contexts.pop() if contexts else _new_context(browser)
        used.append(context)
        page = context.new_page()
        page.set_viewport_size(ViewportSize(width=width, height=height))
        # What moves on its own moves under the pointer of a test, too.
        motion: Literal["no-preference", "reduce"] = "no-preference" if moving else "reduce"
        page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion=motion)
        if THROTTLE > 1:
            context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": THROTTLE})
        page.on("pageerror", lambda error: errors.append(str(error)) if not str(error).startswith(LEFT) else None)
        page.on("console", lambda said: errors.append(said.text) if _is_error(said) else None)
        page.on("request", lambda request: foreign.append(request.url) if not _local(request.url) else None)
        page.goto(address)
        stands(page)
        return page

    yield open_
    for context in used:
        _leave(context)
        contexts.append(context)
    assert not errors, "\n".join(errors)
    assert not foreign, "\n".join(foreign)


def _new_context(browser: Browser) -> BrowserContext:
    context = browser.new_context(viewport=ViewportSize(width=1440, height=900), reduced_motion="reduce")
    context.set_default_timeout(WITHIN_MS)
    context.add_init_script(path=Path(__file__).with_name("exports.js"))
    follow(context)
    if DELAY_S:
        _delay(context)
    return context


def _leave(context: BrowserContext) -> None:
    """Nothing of a visitor stays in a context."""
    for page in context.pages:
        page.unroute_all(behavior="ignoreErrors")
        page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
        page.close()
    context.clear_cookies()
    context.clear_permissions()
    forget(context)


def _delay(context: BrowserContext) -> None:
    """Let every question and answer take up to DELAY_S."""
    chance = random.Random(0)

    def wait(route: Route) -> None:  # mostly short, so that one overtakes another
        route.request.frame.page.wait_for_timeout(1000 * DELAY_S * chance.random() ** 5)

    def late(route: Route) -> None:
        with suppress(Error):  # the page was left meanwhile
            wait(route)
            if "/gradio_api/run/" not in route.request.url:
                route.continue_()
                return
            answer = route.fetch()
            wait(route)
            route.fulfill(response=answer)

    context.route("**/*", late)


LEFT = (
    "AbortError: BodyStreamBuffer was aborted",
    "AbortError: signal is aborted without reason",
    "Unexpected error Connection errored out.",
    "Failed to fetch",
    "TypeError: Failed to fetch",
)
"""What streams, events and fetches report when their page is left or loaded anew while they wait."""


def _is_error(said: ConsoleMessage) -> bool:
    """Whether it is one of the page's own, as of its content security policy; fetches that fail are said as such."""
    return said.type == "error" and not said.text.startswith(("Failed to load resource", *LEFT))


def _local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:"))
