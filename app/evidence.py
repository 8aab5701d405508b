"""The experiments of steering.evidence (grid, screen, trial), read from assets/evidence as far as they are made.

Their tests, tables and figures take a process of their own three seconds, once (`steering.evidence.shown`); whoever
asks meanwhile waits. Files are read again when one of them changed, so an experiment that runs beside the page shows as
it grows; whether one has is asked every LOOK_EVERY_S.
"""

from __future__ import annotations

import math
import os
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from app.answers.comparison import Beside, Evidence
from steering.evidence.shown import EXPERIMENTS, read_apart

LOOK_EVERY_S = 2.0
FOLDER = Path(__file__).resolve().parents[1] / "assets" / "evidence"


class Experiments:
    """Results in `folder`, by default STEERING_EVIDENCE or the repository's, a folder an experiment."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(os.environ.get("STEERING_EVIDENCE", FOLDER))
        self._lock = threading.Lock()
        self._seen: tuple[tuple[str, int], ...] = ()
        self._looked_s = -math.inf
        self._shown: tuple[Evidence, ...] = ()
        self._figures: dict[str, dict[str, Any]] = {}

    def shown(self) -> tuple[Evidence, ...]:
        """What the page says of each experiment that has a finished cell."""
        with self._lock:
            self._read()
            return self._shown

    def figure(self, name: str) -> dict[str, Any] | None:
        """A figure as Plotly JSON by experiment and name, e.g. `grid/success`; None where there is none."""
        with self._lock:
            self._read()
            return self._figures.get(name)

    def headline(self, name: str) -> str:
        """What an experiment says, as it was read last; empty before. Nobody waits for it."""
        return next((one.headline for one in self._shown if one.name == name), "")

    def _read(self) -> None:
        if time.monotonic() - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = time.monotonic()
        files = (file for name in EXPERIMENTS for file in sorted((self._folder / name).glob("*/*/*.json")))
        seen = tuple((str(file), file.stat().st_mtime_ns) for file in files)
        if seen == self._seen:
            return
        self._seen = seen
        read = _read(self._folder, seen) if seen else {}
        self._shown = tuple(_evidence(name, of) for name, of in read.items())
        self._figures = {f"{name}/{key}": one for name, of in read.items() for key, one in of["figures"].items()}


@lru_cache(2)  # several servers of one process
def _read(folder: Path, seen: tuple[tuple[str, int], ...]) -> dict[str, dict[str, Any]]:
    """What the files of `folder` show, as they were `seen`."""
    return read_apart(folder)


def _evidence(name: str, read: dict[str, Any]) -> Evidence:
    return Evidence(
        name=name,
        done=read["done"],
        cells=read["cells"],
        sections=tuple(
            (title, tuple(titles), tuple(map(tuple, rows)), tuple(lines))
            for title, titles, rows, lines in read["sections"]
        ),
        figures=tuple(read["figures"]),
        headline=read["headline"],
        beside=tuple(
            Beside(condition, tuple(paper), None if twin is None else tuple(twin))
            for condition, paper, twin in read["beside"]
        ),
    )
