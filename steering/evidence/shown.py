"""What a page shows of a folder of cells: tables and lines in words, figures, the paper's numbers beside the twin's.

`read_apart` works it out in a process of its own: the tests over training seeds need SciPy's distributions, which take
a second to load, and 60 MB that a server would hold ever after. Costs 3 s of a core, half a second of which is ours.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from steering.child import ONE_CORE, Child, Gone, Parent, Silent
from steering.errors import SteeringError

MOST_S = 120.0


def read_apart(folder: Path) -> dict[str, Any] | None:
    """`read` in another process; None where a file of the folder is being written, or is none of the grid's."""
    child = Child(("-m", __name__, str(folder)), more=ONE_CORE)
    try:
        return dict(child.receive(MOST_S).fields)
    except (Gone, Silent):
        return None
    finally:
        child.end()


def read(folder: Path) -> dict[str, Any]:
    """Plain values. made: ids of the cells; sections: title, columns, rows and lines of each; figures: Plotly JSON by
    name; beside: condition, the paper's success of LoRA and of Robotic Steering in percent, and the twin's or None.
    """
    from steering.evidence.conditions import BASELINE, OURS, paper_cells, where
    from steering.evidence.drawing import figures
    from steering.evidence.results import read_results
    from steering.evidence.tables import sections
    from steering.figures import plain

    results = read_results(folder)
    tables = [(one.title, one.table, one.lines) for one in sections(results)]
    beside = []
    for condition, numbers in paper_cells():
        lora, steering = (results.rate(method, condition) for method in (BASELINE, OURS))
        twin = (100 * lora.rate, 100 * steering.rate) if lora and steering else None
        beside.append((where(condition), numbers, twin))
    return {
        "made": [one["cell"] for one in results.cells],
        "sections": [
            (title, table.titles if table else (), table.rows if table else (), lines) for title, table, lines in tables
        ],
        "figures": {name: plain(one) for name, one in figures(results).items()},
        "beside": beside,
    }


def main() -> None:
    """Say what the folder that the command line names shows; nothing where it cannot be read."""
    parent = Parent()
    with suppress(ValueError, KeyError, SteeringError):
        parent.send(read(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
