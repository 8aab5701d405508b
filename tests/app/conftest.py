"""A synthetic sample store, a workbench over it whose jobs only remember what was asked, and the page as served."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.questions.context import Context, open_context
from steering.store import Store

HERE = Path(__file__).parent


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class RecordingJobs:
    """Stands in for the queue: remembers submissions."""

    def __init__(self) -> None:
        self.submitted: list[tuple[str, dict[str, Any]]] = []

    def submit(self, function_name: str, *, owner: str = "local", **arguments: Any) -> str:
        self.submitted.append((function_name, arguments))
        return f"job{len(self.submitted)}"

    def warm(self) -> None:
        """There is no worker to start."""


@pytest.fixture(scope="session")
def sample_store() -> ModuleType:
    return load(HERE / "sample_store.py")


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory, sample_store: ModuleType) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("samples")
    return root, sample_store.fill(root, episodes=3, count=14, size=48)


CONFIG = """{"vlm_config": {"text_config": {"num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 1,
"head_dim": 32, "hidden_size": 128, "intermediate_size": 256}}, "dit_config": {"num_hidden_layers": 8,
"num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 32, "hidden_size": 128, "intermediate_size": 256}}"""


@pytest.fixture
def make_bench(tmp_path: Path, samples: tuple[Path, dict[str, str]]) -> Callable[[bool], Context]:
    def make(with_samples: bool = True) -> Context:
        (tmp_path / "policy").mkdir()
        (tmp_path / "policy" / "config.json").write_text(CONFIG)
        store = Store(tmp_path / "store", readonly=[samples[0]] if with_samples else [])
        return open_context(store, RecordingJobs(), str(tmp_path / "policy"))  # type: ignore[arg-type]

    return make


@pytest.fixture
def context(make_bench: Callable[[bool], Context]) -> Context:
    return make_bench(True)


@pytest.fixture(scope="session")
def dataset_files() -> ModuleType:
    """Builders of small datasets in every format."""
    path = HERE.parent / "steering" / "demonstrations" / "dataset_files.py"
    spec = importlib.util.spec_from_file_location("dataset_files", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["dataset_files"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class Served:
    """The page as it is served by a process of its own, over an empty store at `store`; its workers do nothing."""

    port: int
    store: Path
    log: Path
    pid: int

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: object = None) -> Answer:
        """Status, headers and body. Host is the server's own unless given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=200)
        try:
            connection.request(method, path, body, headers or {})  # type: ignore[arg-type]
            found = connection.getresponse()
            return found.status, {k.lower(): v for k, v in found.getheaders()}, found.read()
        finally:
            connection.close()


class Browser:
    """A visitor of the served page who keeps their cookie."""

    def __init__(self, page: Served) -> None:
        self._page = page
        self.cookie = ""
        status, headers, body = self.ask("GET", "/config")
        assert status == 200
        self.cookie = headers["set-cookie"].split(";")[0]
        self.events = [one for one in json.loads(body)["dependencies"] if one["backend_fn"]]

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        headers = {"Content-Type": "application/json", **({"Cookie": self.cookie} if self.cookie else {})}
        return self._page.ask(method, path, headers, body)

    def event(self, name: str, *values: object, **sent: object) -> Any:
        """Send the first event of a handler's name; its outputs, or the error in words."""
        event = next(one for one in self.events if one["api_name"] == f"page_{name}")
        given = [None, *values, *[None] * (len(event["inputs"]) - len(values) - 1)]  # the first is the policy
        body = {"fn_index": event["id"], "data": given, "event_data": sent, "session_hash": "some"}
        answer = json.loads(self.ask("POST", "/gradio_api/run/predict", json.dumps(body))[2])
        return answer.get("error") or json.dumps(answer["data"])


@pytest.fixture(scope="session")
def browse() -> Callable[[Served], Browser]:
    """Makes a visitor of a served page."""
    return Browser


@contextmanager
def _serving(folder: Path, samples: Path, command: Sequence[str] = (), **settings: str) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = command or [sys.executable, str(HERE / "served_page.py"), str(folder / "store"), str(samples), str(port)]
    settings |= {"STEERING_STORE": str(folder / "store"), "GRADIO_SERVER_PORT": str(port)}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **settings})
    try:
        found, until_s = (
            Served(port, folder / "store", folder / "log", server.pid),
            time.monotonic() + 300,
        )  # a busy machine is no failure
        while True:
            try:
                if found.ask("GET", "/gradio_api/startup-events")[0] == 200:
                    break
            except (OSError, http.client.HTTPException):  # Gradio tries the port before it serves there
                assert server.poll() is None and time.monotonic() < until_s, (folder / "log").read_text()
                time.sleep(0.1)
        yield found
    finally:
        server.kill()
        server.wait()


OPEN = ExitStack()
SERVED: dict[str, Served] = {}
"""The servers that the tests of this folder share."""


def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """A server that nobody asks takes a twentieth of a core, so none stays once this folder is left."""
    if nextitem is None or HERE not in nextitem.path.parents:
        SERVED.clear()
        OPEN.close()


def _shared(factory: pytest.TempPathFactory, samples: Path, name: str, **settings: str) -> Served:
    if name not in SERVED:
        SERVED[name] = OPEN.enter_context(_serving(factory.mktemp(name), samples, **settings))
    return SERVED[name]


@pytest.fixture
def public(tmp_path_factory: pytest.TempPathFactory, samples: tuple[Path, dict[str, str]]) -> Served:
    """The page as a server for strangers shows it, of whom each may have two jobs."""
    return _shared(tmp_path_factory, samples[0], "public", STEERING_PUBLIC="1", STEERING_PLACES="2")


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[Served]]:
    """Serves the page: (a folder, the samples, a command in place of `served_page.py`, environment variables)."""
    return _serving


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory, samples: tuple[Path, dict[str, str]]) -> Served:
    """The page of a server of one's own, for questions that leave nothing behind."""
    return _shared(tmp_path_factory, samples[0], "served")


@pytest.fixture
def port(served: Served) -> int:
    return served.port


@pytest.fixture
def ask(served: Served) -> Callable[..., Answer]:
    return served.ask
