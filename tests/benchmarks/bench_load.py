"""Many browsers at once, with work in the queue: how long answers take, and what the server keeps; prints tables.

    python tests/benchmarks/bench_load.py [--browsers 50] [--seconds 60] [--arriving 10] [--scoring 10] [--training 3]
        [--other-k 0]

A browser here is the traffic of one, without its drawing: the page, every event of the first load in their order, each
when the one before is answered, and the pictures that these name; then, every 2 to 4 s, it opens an episode, fetches
its frames and asks why a head scores at a frame, which is what scrubbing asks of a server; a share of `--other-k` of
the times for the scores at another k, too, which needs all neighbours of a set in memory: with 0.2 the limit of memory
was not met (NOTES.md). Browsers have addresses of their own, as behind a proxy. The server is `app.py` where
strangers use it, with its real worker; meanwhile `--scoring` visitors asked for another measure and `--training` for a
finetune. Fails on an error, where 95 of 100 answers take more than a second, and where the server ever had more than
MOST_MB in RAM.

Browsers come evenly within `--arriving` seconds, each with an empty cache, as a class that follows one link. They run
on the server's cores in this process, whose processor time is told, as is the server's; what a machine does besides
shows in its load.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench_server import MOST_MB, ROOT, Visit, peak_mb, resident_mb, settings

SLOWEST_S = 1.0
LIVE = "knn.default.action.whole.last_prefix+first_action.{k}"
"""A question to kept neighbours, which the first scoring of a set leaves; until then the stored score answers."""
PICTURE = re.compile(r"(?:previews|media)/[\w./%-]+?\.(?:webp|gz|mp4)")


class Browser(Visit):
    """One browser that stays. took: kind of request -> seconds of each; wrong: what was no answer."""

    def __init__(
        self, port: int, number: int, took: dict[str, list[float]], wrong: list[str], other_k: float = 0.0
    ) -> None:
        super().__init__(port)
        self._other_k = other_k
        self._address, self._took, self._wrong, self._seen = f"10.1.{number // 250}.{number % 250}", took, wrong, ""
        self._random = random.Random(number)
        self._pictures: set[str] = set()
        self._asked_s = 0.0

    def stay(self, until_s: float) -> None:
        """The first screen, then scrubbing."""
        began_s = time.perf_counter()
        self.go()
        self._fetch_pictures()
        self._took["first screen, all of it"].append(time.perf_counter() - began_s)
        sets = self.question("sets")
        while time.monotonic() < until_s:
            time.sleep(self._random.uniform(2, 4))
            card = self._random.choice(sets)
            episode = self._random.randrange(len(card["frames"]))
            frame = self._random.randrange(card["frames"][episode])
            self._seen = ""
            self.event("page_open_set", card["id"], episode)
            self._fetch_pictures()
            self.question("nearest", card["id"], "vlm", 4, 2, episode, frame, refusable=True)
            if self._random.random() < self._other_k:
                self.question("scores", card["id"], LIVE.format(k=self._random.choice((10, 20, 30, 40))))

    def question(self, name: str, *values: object, refusable: bool = False) -> Any:
        """The answer to a public question. refusable: where one in words will do, as without head outputs."""
        body = json.dumps({"data": [*values, ""]})
        found = json.loads(self._timed(name, "POST", f"/gradio_api/run/{name}", body))
        if "data" not in found and not refusable:
            self._wrong.append(f"{name}: {found}")
        return found.get("data", [None])[0]

    def event(self, name: str, opened: str, episode: int) -> None:
        """An episode is opened, and what follows on the page."""
        for one in self._events:
            if one["api_name"] == name:
                data = [self._values.get(component) for component in one["inputs"]]
                data[1] = [opened, episode]
                sent = {"action": "episode", "value": str(episode), "form": {}}
                body = {"fn_index": one["id"], "data": data, "session_hash": self._hash, "event_data": sent}
                self._timed("open an episode", "POST", "/gradio_api/run/predict", json.dumps(body))
                after = [other for other in self._events if other.get("trigger_after") == one["id"]]
                for other in after:
                    data = [[opened, episode] if i == 1 else self._values.get(c) for i, c in enumerate(other["inputs"])]
                    body = {"fn_index": other["id"], "data": data, "session_hash": self._hash, "event_data": None}
                    self._timed("what it shows", "POST", "/gradio_api/run/predict", json.dumps(body))
                return

    @property
    def _events(self) -> list[dict[str, Any]]:
        return self._dependencies

    def _fetch_pictures(self) -> None:
        for address in sorted(set(PICTURE.findall(self._seen)) - self._pictures):
            self._pictures.add(address)  # a browser keeps them for a week
            self._timed("a picture", "GET", f"/{address}")

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        answer = self._timed("the page" if path == "/" else "an event of the first load", method, path, body)
        if path == "/":
            self._dependencies = settings(answer)["dependencies"]
        return answer

    def _timed(self, kind: str, method: str, path: str, body: str | None = None) -> bytes:
        headers = {"X-Forwarded-For": self._address, "Content-Type": "application/json"}
        headers |= {"Cookie": self._cookie} if self._cookie else {}
        if time.monotonic() - self._asked_s > 3.0:  # a server hangs up after five
            self._connection.close()
        began_s, self._asked_s = time.perf_counter(), time.monotonic()
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._wrong.append(f"{method} {path[:80]}: {type(error).__name__}")
            self._connection.close()
            return b"{}"
        self._took[kind].append(time.perf_counter() - began_s)
        self._cookie = (answer.getheader("set-cookie") or self._cookie).split(";")[0]
        waits = answer.status == 503 and kind == "a picture"  # it is being made; a browser asks again
        if answer.status >= 400 and not waits:
            self._wrong.append(f"{method} {path[:80]}: {answer.status} {content[:120]!r}")
        if b"previews/" in content or b"media/" in content:
            self._seen += content.decode(errors="replace")
        return content


def ask_for_work(browser: Browser, number: int, scoring: bool) -> None:
    """Queue a measure of its own, or a finetune."""
    sets = [one["id"] for one in browser.question("sets")]
    if scoring:
        target = ("action", "state")[number % 2]
        browser.question("measure", sets[number // 2 % len(sets)], "ridge" if number % 3 else "knn", target, "whole")
    else:
        chosen = browser.question("choose_heads", sets[0], 10, "top", None, "")
        browser.question("train", sets[0], chosen["digits"], ["steering"], "default", 40, 0, number)


def processor_s(pid: int) -> float:
    """Processor time of a process so far, without its children, on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve(port: int, folder: Path) -> subprocess.Popen[str]:
    """The server, once it serves."""
    environment = {**os.environ, "STEERING_STORE": str(folder / "store"), "PYTHONPATH": str(ROOT), "STEERING_LOG": "0"}
    environment |= {"STEERING_PUBLIC": "1", "STEERING_PROXIES": "1", "GRADIO_SERVER_PORT": str(port)}
    with (folder / "log").open("w") as log:
        command = [sys.executable, str(ROOT / "app.py")]
        server = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=log)
    assert server.stdout is not None
    if not any(line.startswith("The workbench is at") for line in server.stdout):
        raise SystemExit((folder / "log").read_text())
    return server


def main() -> int:
    """Let browsers come, and print what they met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browsers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each stays")
    parser.add_argument("--arriving", type=float, default=10.0, help="seconds within which they come")
    parser.add_argument("--scoring", type=int, default=10)
    parser.add_argument("--training", type=int, default=3)
    parser.add_argument("--other-k", type=float, default=0.0, help="share of the looks that ask at another k, too")
    parser.add_argument("--quick", action="store_true", help="3 browsers, 1 that scores, 5 s, and no limit")
    options = parser.parse_args()
    if options.quick:
        options.browsers, options.seconds, options.scoring, options.training = 3, 5.0, 1, 0
        options.arriving = 1.0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    took, wrong = defaultdict[str, list[float]](list), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        server = serve(port, Path(folder))
        try:
            began_s, before = time.monotonic(), os.getloadavg()[0]
            own_s, servers_s = time.process_time(), processor_s(server.pid)
            print(f"load of the machine before: {before:.1f}; idle: {resident_mb(server.pid):.0f} MB", flush=True)
            until_s = began_s + options.seconds
            browsers = [Browser(port, number, took, wrong, options.other_k) for number in range(options.browsers)]
            threads = [threading.Thread(target=one.stay, args=(until_s,)) for one in browsers]
            workers = [
                Browser(port, 1000 + number, took, wrong) for number in range(options.scoring + options.training)
            ]
            for number, one in enumerate(workers):
                ask_for_work(one, number, number < options.scoring)
            for thread in threads:
                thread.start()
                time.sleep(options.arriving / options.browsers)
            print("seconds  memory  load", flush=True)
            while any(thread.is_alive() for thread in threads):
                passed = time.monotonic() - began_s
                print(f"{passed:7.0f}  {resident_mb(server.pid):3.0f} MB  {os.getloadavg()[0]:4.1f}", flush=True)
                threads[0].join(options.seconds / 6)
                time.sleep(options.seconds / 12)
            for thread in threads:
                thread.join()
            own_s, servers_s = time.process_time() - own_s, processor_s(server.pid) - servers_s
            passed_s = time.monotonic() - began_s
            peak = peak_mb(server.pid)
            jobs = [job["state"] for one in workers for job in one.question("jobs") or ()]
        finally:
            server.terminate()
            server.wait()
    answers = [one for kind, seconds in took.items() if kind != "first screen, all of it" for one in seconds]
    print(f"\n{'':28}answers  median      95 %      most")
    for kind, seconds in [*sorted(took.items()), ("all answers", answers)]:
        middle, high = statistics.median(seconds), sorted(seconds)[int(0.95 * len(seconds))]
        print(f"{kind:28}{len(seconds):7d}  {middle:4.2f} s    {high:4.2f} s    {max(seconds):4.2f} s")
    states = ", ".join(f"{jobs.count(state)} {state}" for state in sorted(set(jobs)))
    print(f"jobs at the end: {states}; errors: {len(wrong)}; load after: {os.getloadavg()[0]:.1f}")
    print(f"processor time in {passed_s:.0f} s: {servers_s:.0f} s the server, {own_s:.0f} s the browsers")
    print(f"most memory of the server: {peak:.0f} MB ({MOST_MB} MB is the limit)")
    for one in wrong[:10]:
        print(f"  {one}")
    missed = sorted(answers)[int(0.95 * len(answers))] > SLOWEST_S or peak > MOST_MB
    return int(bool(wrong) or "failed" in jobs or (missed and not options.quick))


if __name__ == "__main__":
    sys.exit(main())
