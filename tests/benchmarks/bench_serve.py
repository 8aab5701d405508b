"""What asking a policy through the server costs over calling it: milliseconds a request, on this machine's loopback.

    python tests/benchmarks/bench_serve.py [--requests 300] [--quick]

The server is a process of its own, as `steering serve` starts it. A policy that answers at once shows the cost of the
way there and back: packing, the socket, reading the observation; for two cameras of 224 px as openpi's clients send
them, and for three of 480 × 640. Then the embedded policy, asked and called in turns. Takes half a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection, connect

from steering.models.loading import load_policy
from steering.serving.observing import Wanted, observation
from steering.serving.packing import pack, unpack
from steering.serving.server import Served, listening
from steering.types import HeadShape, Observation

LIMIT_MS = 5.0
SIZES = {"2 cameras of 224 px": (2, 224, 224), "3 cameras of 480 × 640": (3, 480, 640)}
NAMES = ("image", "wrist_image", "other_image")


class AtOnce:
    """A policy that answers at once."""

    name, head_shape, chunk_size, action_dim, noise_dim = "at once", HeadShape.pair(1, 1, 1), 50, 7, 32

    def act(self, observation: Observation, noise: np.ndarray) -> np.ndarray:
        """Zeros."""
        return np.zeros((len(observation.state), self.chunk_size, self.action_dim), np.float32)


def listen(told: Connection) -> None:
    """The server's process."""

    async def run() -> None:
        served = [Served("at_once", AtOnce()), Served("embedded", load_policy("embedded"))]
        async with listening({one.name: one for one in served}, host="127.0.0.1", port=0) as server:
            told.send(server.sockets[0].getsockname()[1])
            await server.serve_forever()

    asyncio.run(run())


def message(cameras: int, height: int, width: int) -> dict[str, Any]:
    """An observation as a robot sends it."""
    rng = np.random.default_rng(0)
    shown = {f"observation/{name}": rng.integers(0, 256, (height, width, 3), np.uint8) for name in NAMES[:cameras]}
    return {**shown, "observation/state": np.zeros(8, np.float32), "prompt": "press the button"}


def asked_ms(client: ClientConnection, given: dict[str, Any]) -> float:
    """One request, packing and unpacking included."""
    began_s = time.perf_counter()
    client.send(pack(given))
    answer = unpack(client.recv())  # type: ignore[arg-type]
    assert np.isfinite(answer["actions"]).all()
    return 1000 * (time.perf_counter() - began_s)


def main() -> None:
    """Print medians and the 95th percentile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--quick", action="store_true", help="few requests, only to see that it runs")
    given = parser.parse_args()
    requests = 20 if given.quick else given.requests
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=listen, args=(there,), daemon=True)
    process.start()
    port = here.recv()
    medians = []
    for words, size in SIZES.items():
        with connect(f"ws://127.0.0.1:{port}/at_once", compression=None, max_size=None) as client:
            client.recv()
            took = sorted(asked_ms(client, message(*size)) for _ in range(requests + 5))[:-5]
        medians.append(statistics.median(took))
        print(f"{words:28} {medians[-1]:6.2f} ms over a bare call, 95 % below {took[int(0.95 * len(took))]:.2f}")
    policy, seen = load_policy("embedded"), observation(message(2, 224, 224), Wanted())
    noise = np.zeros((1, policy.chunk_size, policy.noise_dim), np.float32)
    there_ms, bare_ms = [], []
    with connect(f"ws://127.0.0.1:{port}/embedded", compression=None, max_size=None) as client:
        client.recv()
        for _ in range(max(requests // 5, 10)):
            there_ms.append(asked_ms(client, message(2, 224, 224)))
            began_s = time.perf_counter()
            policy.act(seen, noise)
            bare_ms.append(1000 * (time.perf_counter() - began_s))
    asked, bare = statistics.median(there_ms), statistics.median(bare_ms)
    print(f"{'embedded policy':28} {asked:6.2f} ms asked, {bare:.2f} called: {asked - bare:+.2f}")
    process.terminate()
    if not given.quick and medians[0] > LIMIT_MS:
        raise SystemExit(f"More than {LIMIT_MS} ms a request.")


if __name__ == "__main__":
    main()
