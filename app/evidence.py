"""The evidence of the grid (steering.evidence), read from assets/evidence/grid as far as it is made. Milliseconds.

Files are read again when one of them changed, so a grid that runs beside the page shows as it grows.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from app.views.compare_evidence import Evidence
from steering.errors import SteeringError
from steering.evidence.drawing import figures
from steering.evidence.grid import cells, parse_cell
from steering.evidence.results import Results, read_results
from steering.evidence.tables import sections
from steering.figures import plain

GRID = Path(__file__).resolve().parents[1] / "assets" / "evidence" / "grid"


class Grid:
    """Results in `folder`, by default STEERING_EVIDENCE or the repository's; nothing where there are none."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(os.environ.get("STEERING_EVIDENCE", GRID))
        self._reading = threading.Lock()
        self._seen: tuple[tuple[str, int], ...] = ()
        self._results: Results | None = None

    def shown(self) -> Evidence | None:
        """What the page says of the grid; None without a finished cell."""
        results = self._read()
        if results is None:
            return None
        known = set(cells())
        done = {parse_cell(one["cell"]) for one in results.cells} & known
        return Evidence(
            done=len(done),
            cells=len(known),
            sections=tuple(
                (one.title, one.table.titles if one.table else (), one.table.rows if one.table else (), one.lines)
                for one in sections(results)
            ),
            figures=tuple(figures(results)),
        )

    def figure(self, name: str) -> dict[str, Any] | None:
        """A figure as Plotly JSON, None where there is none of that name."""
        results = self._read()
        found = figures(results).get(name) if results else None
        return plain(found) if found else None

    def _read(self) -> Results | None:
        with self._reading:
            seen = tuple((str(file), file.stat().st_mtime_ns) for file in sorted(self._folder.glob("*/*/*.json")))
            if seen != self._seen:
                try:
                    self._results = read_results(self._folder) if seen else None
                except (ValueError, KeyError, SteeringError):
                    return self._results  # a file is being written, or is none of the grid's
                self._seen = seen
            return self._results
