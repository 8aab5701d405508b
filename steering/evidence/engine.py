"""Cells one after another, spread over processes here, or over a Ray cluster; results kept as they come.

A result is one JSON file (`steering.evidence.cell_files`). A cell whose result stands is not made again, so a stopped
or killed grid goes on where it was, and a training inside goes on from its checkpoint. A cell that fails leaves the
others running.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from steering import policy_cache
from steering.assets import ASSETS
from steering.child import end_with_parent
from steering.cluster import Cluster, spread
from steering.errors import Cancelled, SteeringError, unknown_name
from steering.evidence.cell_files import Result, left_of, read_result, write_result
from steering.evidence.grid import Cell, GridSettings, make_cell
from steering.progress import Progress
from steering.store import Store

ENGINES = ("local", "processes", "ray")
RESULTS = ASSETS / "evidence" / "grid"


@dataclass(frozen=True)
class Done:
    """A cell that ended: its result, or why there is none."""

    cell: Cell
    result: Result | None
    error: str = ""


def run_grid(
    cells: Sequence[Cell],
    settings: GridSettings,
    *,
    store: Path,
    out: Path = RESULTS,
    engine: str = "local",
    workers: int = 2,
    address: str | None = None,
    progress: Progress = Progress(),
    say: Callable[[str], None] = print,
) -> list[Done]:
    """Make every cell of `cells` that `out` does not hold; what was made now, in the order in which it ended.

    store: folder of the artefacts. workers: processes here, or cells at a time under Ray. address: of a Ray cluster,
    None for a local one.
    """
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    weights = policy_cache.fingerprint(settings.policy)
    left = [cell for cell in cells if read_cell(out, cell, settings, weights) is None]
    say(f"{len(cells) - len(left)} of {len(cells)} cells are there already; {len(left)} to make.")
    ended = []
    run = {"local": _local, "processes": _processes, "ray": _ray}[engine]
    for done in run(left, settings, store, workers, address, progress):
        ended.append(done)
        if done.result is None:
            say(f"[{len(ended)}/{len(left)}] {done.cell.id} failed: {done.error}")
            continue
        write_result(result_file(out, done.cell), done.result)
        say(f"[{len(ended)}/{len(left)}] {done.cell.id}: {said(done.result)}")
    return ended


def left_to_make(cells: Sequence[Cell], settings: GridSettings, out: Path) -> dict[str, Any]:
    """What is there, what is left, and about how many seconds that takes one by one, from those that are there."""
    weights = policy_cache.fingerprint(settings.policy)
    return left_of({cell.id: read_cell(out, cell, settings, weights) for cell in cells})


def said(result: Result) -> str:
    """A result in a line."""
    rates = [
        f"{'+'.join([one['task'], *one['variations']])} {one['success'].count('1')} of {len(one['success'])}"
        for one in result["conditions"]
    ]
    return f"{', '.join(rates)}; {result['wall_s']:.0f} s"


def result_file(out: Path, cell: Cell) -> Path:
    """Where a cell's result lies."""
    return out / cell.task / cell.variant / f"{cell.seed}.json"


def read_cell(out: Path, cell: Cell, settings: GridSettings, weights: str) -> Result | None:
    """A cell made with these settings, and its own, of the policy with these weights; None where there is none."""
    own = replace(
        settings,
        heads=cell.heads or settings.heads,
        demonstrations=cell.demonstrations or settings.demonstrations,
    )
    return read_result(result_file(out, cell), own, weights)


def _local(
    cells: Sequence[Cell], settings: GridSettings, store: Path, workers: int, address: str | None, progress: Progress
) -> Iterator[Done]:
    for i, cell in enumerate(cells):
        part = progress.part(i / len(cells), (i + 1) / len(cells))
        yield _attempt(cell, settings, store, None, part)


def _processes(
    cells: Sequence[Cell], settings: GridSettings, store: Path, workers: int, address: str | None, progress: Progress
) -> Iterator[Done]:
    """A fresh process for every cell, so that peak memory is the cell's own."""
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // workers)), "OMP_WAIT_POLICY": "PASSIVE"}
    before = {name: os.environ.get(name) for name in threads}
    os.environ |= threads  # inherited, and read when the processes import torch
    try:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, initializer=end_with_parent, max_tasks_per_child=1) as pool:
            futures = {pool.submit(_attempt, cell, settings, store, 1): cell for cell in cells}
            try:
                for i, future in enumerate(as_completed(futures)):
                    yield future.result()
                    progress.report((i + 1) / len(cells), f"{i + 1} of {len(cells)} cells")
            except (Cancelled, KeyboardInterrupt):
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _ray(
    cells: Sequence[Cell], settings: GridSettings, store: Path, workers: int, address: str | None, progress: Progress
) -> Iterator[Done]:
    parts = [(cell, settings, store, 1) for cell in cells]
    ended = spread(_attempt, parts, Cluster(workers, address), fresh=True)
    for count, (number, done, error) in enumerate(ended, 1):
        yield done if error is None else Done(cells[number], None, str(error))
        progress.report(count / len(cells), f"{count} of {len(cells)} cells")


def _attempt(
    cell: Cell, settings: GridSettings, store: Path, processes: int | None, progress: Progress | None = None
) -> Done:
    try:
        result = make_cell(cell, settings, Store(store), processes=processes, progress=progress or Progress())
    except Cancelled:
        raise
    except (SteeringError, RuntimeError, OSError, MemoryError) as error:
        return Done(cell, None, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    return Done(cell, result)
