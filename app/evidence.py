"""The evidence of the grid (steering.evidence), read from assets/evidence/grid as far as it is made.

Its tests, tables and figures take a process of their own three seconds, once (`steering.evidence.shown`); whoever asks
meanwhile waits. Files are read again when one of them changed, so a grid that runs beside the page shows as it grows;
whether one has is asked every LOOK_EVERY_S.
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
from steering.evidence.grid import cells, parse_cell
from steering.evidence.shown import read_apart

LOOK_EVERY_S = 2.0
GRID = Path(__file__).resolve().parents[1] / "assets" / "evidence" / "grid"


class Grid:
    """Results in `folder`, by default STEERING_EVIDENCE or the repository's; nothing where there are none."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(os.environ.get("STEERING_EVIDENCE", GRID))
        self._lock = threading.Lock()
        self._seen: tuple[tuple[str, int], ...] = ()
        self._looked_s = -math.inf
        self._evidence: Evidence | None = None
        self._figures: dict[str, dict[str, Any]] = {}

    def shown(self) -> Evidence | None:
        """What the page says of the grid; None without a finished cell."""
        with self._lock:
            self._read()
            return self._evidence

    def figure(self, name: str) -> dict[str, Any] | None:
        """A figure as Plotly JSON, None where there is none of that name."""
        with self._lock:
            self._read()
            return self._figures.get(name)

    def _read(self) -> None:
        if time.monotonic() - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = time.monotonic()
        seen = tuple((str(file), file.stat().st_mtime_ns) for file in sorted(self._folder.glob("*/*/*.json")))
        if seen == self._seen:
            return
        self._seen = seen
        if not seen:
            self._figures, self._evidence = {}, None
        elif read := _read(self._folder, seen):  # else a file is being written, or is none of the grid's
            self._figures, self._evidence = read["figures"], _evidence(read)


@lru_cache(2)  # several servers of one process
def _read(folder: Path, seen: tuple[tuple[str, int], ...]) -> dict[str, Any] | None:
    """What the files of `folder` show, as they were `seen`."""
    return read_apart(folder)


def _evidence(read: dict[str, Any]) -> Evidence:
    known = set(cells())
    return Evidence(
        done=len({parse_cell(one) for one in read["made"]} & known),
        cells=len(known),
        sections=tuple(
            (title, tuple(titles), tuple(map(tuple, rows)), tuple(lines))
            for title, titles, rows, lines in read["sections"]
        ),
        figures=tuple(read["figures"]),
        beside=tuple(
            Beside(name, tuple(paper), None if twin is None else tuple(twin)) for name, paper, twin in read["beside"]
        ),
    )
