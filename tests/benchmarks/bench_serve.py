"""What asking a policy through the server costs over calling it: milliseconds a request, on this machine's loopback.

    python tests/benchmarks/bench_serve.py [--requests 300] [--quick]

The client is openpi's own (`make test` installs it) in a process without torch, as a robot's is; the server is another
process, as `steering serve` starts it. A policy that answers at once shows the cost of the way there and back: packing,
the socket, reading the observation; for two cameras of 224 px, as openpi's clients send them, and three of 480 × 640.
In turns with it the same client asks the floor: a server of the same library that reads the message and answers at once
without looking into it. What that takes is the client's and the transport's, and no server of this protocol is faster.
Both are asked twice: by the client as it comes, which takes some 8 MB from the system for each large message and gives
them back, and by one whose C library keeps them (KEPT). Then the embedded policy, asked and called in turns. Takes a
minute. Fails where a request costs more than 5 ms over a bare call, or over the floor where that alone takes longer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
OPENPI = ROOT / ".venv" / "openpi"
LIMIT_MS = 5.0
SIZES = {"2 cameras of 224 px": (2, 224, 224), "3 cameras of 480 × 640": (3, 480, 640)}
NAMES = ("image", "wrist_image", "other_image")
KEPT = {"MALLOC_TRIM_THRESHOLD_": str(128 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
"""What lets glibc keep freed memory, in bytes; other C libraries do not read it."""


def listen(told: Connection) -> None:
    """The server's process; tells the ports of the policies and of the floor."""
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.exceptions import ConnectionClosed

    from steering.heap import keep_freed
    from steering.models.loading import load_policy
    from steering.serving.packing import pack
    from steering.serving.server import MAX_BYTES, Served, listening
    from steering.types import HeadShape, Observation

    class AtOnce:
        """A policy that answers at once."""

        name, head_shape, chunk_size, action_dim, noise_dim = "at once", HeadShape.pair(1, 1, 1), 50, 7, 32

        def act(self, observation: Observation, noise: np.ndarray) -> np.ndarray:
            """Zeros."""
            return np.zeros((len(observation.state), self.chunk_size, self.action_dim), np.float32)

    answer = pack({"actions": np.zeros((AtOnce.chunk_size, AtOnce.action_dim), np.float32)})

    async def floor(connection: ServerConnection) -> None:
        await connection.send(pack({}))
        with suppress(ConnectionClosed):  # openpi's client leaves without a word
            async for _ in connection:
                await connection.send(answer)

    async def run() -> None:
        keep_freed()
        served = [Served("at_once", AtOnce()), Served("embedded", load_policy("embedded"))]
        async with (
            listening({one.name: one for one in served}, host="127.0.0.1", port=0) as server,
            serve(floor, "127.0.0.1", 0, compression=None, max_size=MAX_BYTES, max_queue=1) as bare,
        ):
            told.send([one.sockets[0].getsockname()[1] for one in (server, bare)])
            await server.serve_forever()

    asyncio.run(run())


def message(cameras: int, height: int, width: int) -> dict[str, Any]:
    """An observation as a robot sends it."""
    rng = np.random.default_rng(0)
    shown = {f"observation/{name}": rng.integers(0, 256, (height, width, 3), np.uint8) for name in NAMES[:cameras]}
    return {**shown, "observation/state": np.zeros(8, np.float32), "prompt": "press the button"}


def client(url: str) -> Any:
    """openpi's client, connected."""
    sys.path.append(str(OPENPI))
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # theirs
    from openpi_client.websocket_client_policy import WebsocketClientPolicy

    return WebsocketClientPolicy(url)


def asked_ms(robot: Any, given: dict[str, Any]) -> float:
    """One request, packing and unpacking included."""
    began_s = time.perf_counter()
    actions = robot.infer(given)["actions"]
    took_s = time.perf_counter() - began_s
    assert np.isfinite(actions).all()
    return 1000 * took_s


def ask(requests: int, urls: list[str]) -> None:
    """The client's process: prints the milliseconds of each request as JSON, by size and url."""
    robots = [client(url) for url in urls]
    took = {}
    for words, size in SIZES.items():
        given = message(*size)
        rounds = [[asked_ms(robot, given) for robot in robots] for _ in range(requests + 5)][5:]
        took[words] = list(zip(*rounds, strict=True))
    print(json.dumps(took))


def over_a_bare_call(requests: int, port: int, floor_port: int) -> list[str]:
    """Prints what the way costs; the sizes that cost too much."""
    urls = [f"ws://127.0.0.1:{port}/at_once", f"ws://127.0.0.1:{floor_port}"]
    missed = []
    print(f"{'milliseconds over a bare call':45} median   95 %  floor   over it")
    for kind, kept in {"": {}, ", memory kept": KEPT}.items():
        command = [sys.executable, __file__, "--requests", str(requests), "--ask", *urls]
        ran = subprocess.run(command, env={**os.environ, **kept}, stdout=subprocess.PIPE, text=True, check=True)
        for words, (ours, floors) in json.loads(ran.stdout).items():
            middle, floor = statistics.median(ours), statistics.median(floors)
            high = sorted(ours)[int(0.95 * len(ours))]
            print(f"{words + kind:45} {middle:6.2f} {high:6.2f} {floor:6.2f} {middle - floor:+9.2f}", flush=True)
            if middle > LIMIT_MS + (floor if floor > LIMIT_MS else 0.0):
                missed.append(words + kind)
    return missed


def beside_a_policy(requests: int, port: int) -> None:
    """Prints what the embedded policy takes, asked and called in turns."""
    from steering.models.loading import load_policy
    from steering.serving.observing import Wanted, observation

    given = message(2, 224, 224)
    policy, robot = load_policy("embedded"), client(f"ws://127.0.0.1:{port}/embedded")
    seen = observation(given, Wanted())
    noise = np.zeros((1, policy.chunk_size, policy.noise_dim), np.float32)
    there_ms, bare_ms = [], []
    for _ in range(requests):
        there_ms.append(asked_ms(robot, given))
        began_s = time.perf_counter()
        policy.act(seen, noise)
        bare_ms.append(1000 * (time.perf_counter() - began_s))
    asked, bare = statistics.median(there_ms), statistics.median(bare_ms)
    print(f"embedded policy: {asked:.2f} ms asked, {bare:.2f} called: {asked - bare:+.2f}")


def main() -> None:
    """Print medians and the 95th percentile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--quick", action="store_true", help="few requests, only to see that it runs")
    parser.add_argument("--ask", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        ask(given.requests, given.ask)
        return
    if not OPENPI.is_dir():
        raise SystemExit("openpi's client is not installed. Run `make test`, or scripts/install.sh test.")
    requests = 20 if given.quick else given.requests
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=listen, args=(there,), daemon=True)
    process.start()
    try:
        port, floor_port = here.recv()
        missed = over_a_bare_call(requests, port, floor_port)
        beside_a_policy(max(requests // 5, 10), port)
    finally:
        process.terminate()
    if missed and not given.quick:
        raise SystemExit(f"More than {LIMIT_MS} ms a request: {', '.join(missed)}.")


if __name__ == "__main__":
    main()
