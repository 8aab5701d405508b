"""How cost grows: time and memory against episodes, frames, heads, visitors and cells, with fitted slopes.

    python tests/benchmarks/bench_scale.py [--only score visitors] [--rounds 3] [--quick] [--out FILE]

    score, strict   the paper's score and the strict one (with its neighbours), of random walks of head outputs at 128
                    heads of 32 dims and 20 episodes of 60 frames, one of the three changed at a time
    capture         head outputs of the embedded policy against frames
    visitors        visits that come at once to the page's server: until all pages stand, and what its process takes
    cells           the page of the grid from its cells, those of the evidence under further seeds

Every run is a process of its own, warmed up: its memory is the peak over what it held before, its input included.
Slopes are of log cost over log size, by least squares over the larger half of the sizes: 1 is as the size, 2 as its
square. Time is processor time, which other work on the machine moves less; wall time stands beside it. Besides it
says at which size a cost gets to ten minutes of a processor or to 16 GB, growing as it did between the last two
sizes. Prints a table and one JSON line. Takes about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from bench_server import ROOT, SERVER, Visit, resident_mb

EPISODES, FRAMES, HEADS, DIM = 20, 60, 128, 32
MEMORY_MB, TIME_S = 16_000.0, 600.0
SIZES: dict[str, dict[str, tuple[int, ...]]] = {
    "score": {"episodes": (5, 10, 20, 40, 80), "frames": (15, 30, 60, 120, 240), "heads": (32, 64, 128, 256, 512)},
    "strict": {"episodes": (5, 10, 20, 40), "frames": (15, 30, 60, 120), "heads": (32, 64, 128, 256, 512)},
    "capture": {"frames": (64, 128, 256, 512)},
    "visitors": {"visitors": (1, 2, 4, 8, 16)},
    "cells": {"cells": (55, 110, 220, 440)},
}
QUICK = {"episodes": (3, 4), "frames": (12, 16), "heads": (4, 8), "visitors": (1, 2), "cells": (4, 8)}


@dataclass(frozen=True)
class Cost:
    """Of one run."""

    wall_s: float
    processor_s: float
    memory_mb: float


def walks(episodes: int, frames: int, heads: int) -> Any:
    """Activations whose neighbours are as near as in real frames: outputs and actions wander."""
    from steering.types import Activations

    rng, rows = np.random.default_rng(0), episodes * frames
    outputs = rng.standard_normal((episodes, frames, heads * DIM), np.float32).cumsum(1)
    state = rng.standard_normal((episodes, frames, 8), np.float32).cumsum(1).reshape(rows, 8)
    action = np.tanh(outputs[:, :, :7] / 5).reshape(rows, 7) + 0.1 * state[:, :7]
    shaped = outputs.reshape(rows, max(1, heads // 8), min(heads, 8), DIM)
    return Activations.from_arrays(shaped, action, np.repeat(np.arange(episodes), frames), state=state)


Make = Callable[[dict[str, int]], Callable[[], object]]
"""Sizes -> what is to be measured; memory counts from before this is asked."""


def score(preset: str) -> Make:
    """A score of every head, warmed up."""
    from steering.relevance.scoring import score as stage

    stage(walks(4, 12, 8), preset, ks=(1, 2, 4))

    def make(sizes: dict[str, int]) -> Callable[[], object]:
        given = {"episodes": EPISODES, "frames": FRAMES, "heads": HEADS} | sizes
        ks = (10, 20, 30, 40) if given["episodes"] * given["frames"] > 200 else (1, 2, 4)
        activations = walks(**given)
        return lambda: stage(activations, preset, ks=ks)

    return make


def capture() -> Make:
    """Head outputs of the embedded policy, loaded and warmed up."""
    from bench_capture import noise_episode

    from steering.activations.capture import capture as stage
    from steering.models.loading import load_policy

    policy = load_policy("embedded")
    statistics = policy.preprocessor.statistics
    dims = len(statistics.state_mean), len(statistics.actions_mean)
    stage(policy, noise_episode(32, *dims))

    def make(sizes: dict[str, int]) -> Callable[[], object]:
        demonstrations = noise_episode(sizes["frames"], *dims)
        return lambda: stage(policy, demonstrations)

    return make


def cells() -> Make:
    """The grid's page: the cells of the evidence, again and again under further seeds."""
    from steering.evidence.engine import RESULTS
    from steering.evidence.results import Results, read_results
    from steering.evidence.tables import document

    there = read_results(RESULTS).cells
    document(Results(there))

    def make(sizes: dict[str, int]) -> Callable[[], object]:
        more = []
        for number in range(sizes["cells"]):
            cell = there[number % len(there)]
            place, seed = cell["cell"].rsplit("/", 1)
            more.append({**cell, "cell": f"{place}/{int(seed) + 10 * (number // len(there))}"})
        return lambda: document(Results(more))

    return make


KINDS: dict[str, Callable[[], Make]] = {
    "score": partial(score, "paper"),
    "strict": partial(score, "default"),
    "capture": capture,
    "cells": cells,
}


def here(what: str, against: str, size: int) -> Cost:
    """The cost of one run, in this process, which does nothing else."""
    from steering.finetune.peak import PeakMemory

    make = KINDS[what]()
    before_mb = resident_mb(os.getpid())
    run, peak = make({against: size}), PeakMemory(_processor())
    began_s, processor_s = time.perf_counter(), time.process_time()
    run()
    wall_s, processor_s = time.perf_counter() - began_s, time.process_time() - processor_s
    return Cost(wall_s, processor_s, max(0.0, peak.mb() - before_mb))


def _processor() -> Any:
    import torch

    return torch.device("cpu")


def visitors(count: int) -> Cost:
    """So many visits at once to a server of their own; its processor time and what its process holds more than idle."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "STEERING_STORE": folder, "STEERING_PUBLIC": "1", "PYTHONPATH": str(ROOT)}
        environment |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "STEERING_LOG": "0"}
        command = [sys.executable, "-c", SERVER, str(port), "0", "0"]
        server = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert server.stdout
        try:
            while server.stdout.readline() != "ready\n":
                assert server.poll() is None, "the server has not started"
            Visit(port).go()  # what the first visit makes for all
            before_mb, before_s = resident_mb(server.pid), _used_s(server.pid)
            began_s = time.perf_counter()
            threads = [threading.Thread(target=Visit(port).go) for _ in range(count)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
            wall_s = time.perf_counter() - began_s
            return Cost(wall_s, _used_s(server.pid) - before_s, max(0.0, resident_mb(server.pid) - before_mb))
        finally:
            server.kill()
            server.wait()


def _used_s(pid: int) -> float:
    """Processor time of a process, on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(what: str, against: str, size: int, rounds: int, quick: bool) -> Cost:
    """The least of some rounds, each in a process of its own, but for a quick look."""
    found = []
    for _ in range(rounds):
        if what == "visitors":
            found.append(visitors(size))
        elif quick:
            found.append(here(what, against, size))
        else:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                found.append(pool.submit(here, what, against, size).result())
    return Cost(*(min(getattr(one, name) for one in found) for name in ("wall_s", "processor_s", "memory_mb")))


def slope(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Of log cost over log size, over the larger half of the sizes."""
    half = len(sizes) // 2 if len(sizes) > 2 else 0
    values = np.maximum(costs[half:], 1e-3)
    return float(np.polyfit(np.log(sizes[half:]), np.log(values), 1)[0])


def reaches(sizes: Sequence[int], costs: Sequence[float], limit: float) -> int | None:
    """The size at which a cost gets to its limit, growing as it last did, at least in proportion; None if it fell."""
    if costs[-1] <= costs[-2]:
        return None
    last = slope(sizes[-2:], costs[-2:])
    if last > 1:
        return round(sizes[-1] * (limit / costs[-1]) ** (1 / last))
    return round(sizes[-1] + (limit - costs[-1]) * (sizes[-1] - sizes[-2]) / (costs[-1] - costs[-2]))


def row(what: str, against: str, sizes: Sequence[int], costs: Sequence[Cost]) -> dict[str, Any]:
    """What is printed of one sweep."""
    times, memory = [one.processor_s for one in costs], [one.memory_mb for one in costs]
    return {
        "what": what,
        "against": against,
        "sizes": list(sizes),
        "time_slope": round(slope(sizes, times), 2),
        "memory_slope": round(slope(sizes, memory), 2),
        "at_16_gb": reaches(sizes, memory, MEMORY_MB),
        "at_10_min": reaches(sizes, times, TIME_S),
        "wall_s": [round(one.wall_s, 3) for one in costs],
        "processor_s": [round(one, 3) for one in times],
        "memory_mb": [round(one, 1) for one in memory],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="two small sizes of each, only to see that it runs")
    parser.add_argument("--out", type=Path, help="also write the JSON line to this file")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for what in options.only:
        for against, all_sizes in SIZES[what].items():
            sizes = QUICK[against] if options.quick else all_sizes
            costs = [measured(what, against, size, options.rounds, options.quick) for size in sizes]
            found = row(what, against, sizes, costs)
            rows.append(found)
            print(
                f"{what} against {against}: time ^{found['time_slope']}, memory ^{found['memory_slope']}; "
                f"10 min at {found['at_10_min']}, 16 GB at {found['at_16_gb']}"
            )
            for size, cost in zip(sizes, costs, strict=True):
                print(f"  {size:5d}  {cost.processor_s:8.2f} s  {cost.wall_s:8.2f} s wall  {cost.memory_mb:8.1f} MB")
            sys.stdout.flush()
    line = json.dumps({"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "rows": rows})
    print(line)
    if options.out:
        options.out.write_text(line + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
