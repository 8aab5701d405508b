"""What a server keeps in memory over many visits, without a browser; prints a table and fails on a miss.

    python tests/benchmarks/bench_server.py [--sessions 1000] [--capacity N] [--top] [--quick]

A visit is what a browser asks for until the page stands: the page, which holds its settings, and every event of its
first load in their order, the outputs of one being the inputs of the next; then it goes and does not come back. The
server runs over the repository's samples in a process of its own. `--capacity`: how many sessions Gradio keeps, those
of the page unless given; `--top`: which lines of code hold the memory at the end (tracemalloc, several times as slow)
and how many objects of which type there are. About 1 s a visit on two busy cores; `--quick` makes 6 visits.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MOST_MB = 600
SERVER = """
import gc, sys, threading, tracemalloc
from collections import Counter
from app import main
from app.questions.context import default_store, open_context
from steering.jobs.client import Jobs
port, capacity, top = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1"
if capacity:
    main.SESSIONS_KEPT = capacity
if top:
    tracemalloc.start(6)
context = open_context(default_store(), Jobs(default_store(), worker_command=(sys.executable, "-c", "")))
page = main.build(context)
main.launch(page, context, port)
print("ready", flush=True)
for line in sys.stdin:
    gc.collect()
    for name, count in Counter(type(one).__name__ for one in gc.get_objects()).most_common(12):
        print(f"{count:>9}  {name}")
    for one in tracemalloc.take_snapshot().statistics("traceback")[:8] if top else ():
        print(f"{one.size / 1e6:7.1f} MB in {one.count} blocks:")
        print("\\n".join("   " + text for text in one.traceback.format()[-6:]))
    print("done", flush=True)
"""


class Visit:
    """One browser's way to the page. Its values are the outputs of events by component."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._cookie, self._hash = "", secrets.token_hex(6)
        self._values: dict[int, Any] = {}

    def go(self) -> int:
        """Ask for everything; the number of events that were answered."""
        config = settings(self._ask("GET", "/"))
        for one in config["components"]:
            self._values[one["id"]] = one["props"].get("value", one["props"].get("default_value"))
        events = config["dependencies"]
        answered = 0
        for event in _in_order(events):
            body = {
                "fn_index": event["id"],
                "data": [self._values.get(one) for one in event["inputs"]],
                "session_hash": self._hash,
                "event_data": None,
            }
            found = json.loads(self._ask("POST", "/gradio_api/run/predict", json.dumps(body)))
            for component, value in zip(event["outputs"], found.get("data", ()), strict=False):
                if not (isinstance(value, dict) and value.get("__type__") == "update"):
                    self._values[component] = value
            answered += "data" in found
        self._connection.close()
        return answered

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        headers = {"Content-Type": "application/json"} | ({"Cookie": self._cookie} if self._cookie else {})
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        self._cookie = (answer.getheader("set-cookie") or self._cookie).split(";")[0]
        return answer.read()


def settings(page: bytes) -> dict[str, Any]:
    """Components and events as Gradio writes them into its page, where browsers read them."""
    written = page.split(b"window.gradio_config = ", 1)[1]
    found, _ = json.JSONDecoder().raw_decode(written.decode())
    return dict(found)


def _in_order(events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The events of the first load that reach the server, each after what it waits for."""
    waiting = [one for one in events if any(target[1] == "load" for target in one["targets"])]
    while waiting:
        event = waiting.pop(0)
        if event["backend_fn"]:
            yield event
        waiting += [one for one in events if one.get("trigger_after") == event["id"]]


def resident_mb(pid: int) -> float:
    """Memory of a process that is in RAM, on Linux."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_mb(pid: int) -> float:
    """The most memory that a process has had in RAM so far, on Linux."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def main() -> int:
    """Visit, and print what the server keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--capacity", type=int, default=0, help="sessions that Gradio keeps; 0: as the page has it")
    parser.add_argument("--top", action="store_true", help="say what holds the memory")
    parser.add_argument("--quick", action="store_true", help="6 visits, and no limit")
    options = parser.parse_args()
    sessions = 6 if options.quick else options.sessions
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "STEERING_STORE": folder, "STEERING_PUBLIC": "1", "PYTHONPATH": str(ROOT)}
        environment |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "STEERING_LOG": "0"}
        command = [sys.executable, "-c", SERVER, str(port), str(options.capacity), str(int(options.top))]
        server = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert server.stdin and server.stdout
        try:
            while server.stdout.readline() != "ready\n":
                assert server.poll() is None, "the server has not started"
            print(f"idle: {resident_mb(server.pid):.0f} MB\nvisits  memory  seconds a visit", flush=True)
            took: list[float] = []
            for number in range(1, sessions + 1):
                began_s = time.perf_counter()
                answered = Visit(port).go()
                took.append(time.perf_counter() - began_s)
                assert answered > 10, f"only {answered} events were answered"
                if number % max(sessions // 10, 1) == 0:
                    seconds = statistics.median(took[-100:])
                    print(f"{number:6d}  {resident_mb(server.pid):4.0f} MB  {seconds:.2f}", flush=True)
            if options.top or options.quick:
                server.stdin.write("top\n")
                server.stdin.flush()
                while (line := server.stdout.readline()) not in ("done\n", ""):
                    print(line, end="")
            peak = peak_mb(server.pid)
            print(f"most: {peak:.0f} MB ({MOST_MB} MB is the limit)")
            return int(peak > MOST_MB and not options.quick)
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    sys.exit(main())
