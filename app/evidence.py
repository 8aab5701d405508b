"""The evidence of the grid (steering.evidence), read from assets/evidence/grid as far as it is made.

Its tests, tables and figures cost half a second, once. Files are read again when one of them changed, so a grid that
runs beside the page shows as it grows; whether one has is asked every LOOK_EVERY_S.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.answers.comparison import Beside, Evidence
from steering.errors import SteeringError
from steering.evidence.conditions import BASELINE, OURS, paper_cells, where
from steering.evidence.drawing import figures
from steering.evidence.grid import cells, parse_cell
from steering.evidence.results import Results, read_results
from steering.evidence.tables import sections
from steering.figures import plain

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
        try:
            results = read_results(self._folder) if seen else None
        except (ValueError, KeyError, SteeringError):
            return  # a file is being written, or is none of the grid's
        self._seen = seen
        self._figures = {name: plain(one) for name, one in figures(results).items()} if results else {}
        self._evidence = _evidence(results, tuple(self._figures)) if results else None


def _evidence(results: Results, drawn: tuple[str, ...]) -> Evidence:
    known = set(cells())
    done = {parse_cell(one["cell"]) for one in results.cells} & known
    return Evidence(
        done=len(done),
        cells=len(known),
        sections=tuple(
            (one.title, one.table.titles if one.table else (), one.table.rows if one.table else (), one.lines)
            for one in sections(results)
        ),
        figures=drawn,
        beside=tuple(_beside(results)),
    )


def _beside(results: Results) -> Iterator[Beside]:
    """The paper's pair of numbers beside the twin's, a condition each."""
    for condition, numbers in paper_cells():
        lora, steering = (results.rate(method, condition) for method in (BASELINE, OURS))
        twin = (100 * lora.rate, 100 * steering.rate) if lora and steering else None
        yield Beside(where(condition), numbers, twin)
