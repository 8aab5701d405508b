"""What a page shows of the experiments: tables and lines in words, figures, the paper's numbers beside the twin's.

`read_apart` works it out in a process of its own: the tests over training seeds need SciPy's distributions, which take
a second to load, and 60 MB that a server would hold ever after. Costs 3 s of a core, half a second of which is ours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steering.child import ONE_CORE, Child, Gone, Parent, Silent
from steering.errors import SteeringError

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from steering.evidence.tables import Section

MOST_S = 120.0


def read_apart(folder: Path) -> dict[str, dict[str, Any]]:
    """`read` in another process; empty where that ends without an answer."""
    child = Child(("-m", __name__, str(folder)), more=ONE_CORE)
    try:
        return dict(child.receive(MOST_S).fields)
    except (Gone, Silent):
        return {}
    finally:
        child.end()


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Plain values of each of EXPERIMENTS that has cells in `folder`; one that cannot be read is left out.

    done: how many of its `cells` are made; sections: title, columns, rows and lines of each; figures: Plotly JSON by
    name; headline: what it says in a sentence; beside: condition, the paper's success of LoRA and of Robotic Steering
    in percent, and the twin's or None.
    """
    found = {}
    for name, of in EXPERIMENTS.items():
        with suppress(ValueError, KeyError, SteeringError):
            if any((folder / name).glob("*/*/*.json")):
                found[name] = of(folder / name)
    return found


def _trial(folder: Path) -> dict[str, Any]:
    from steering.evidence import trial, trial_page
    from steering.evidence.cell_files import read_results_in

    results = read_results_in(folder)
    planned = {cell.id for cell in trial.cells(("primary",))}
    return _plain(results, planned, trial_page.sections(results), trial_page.figures(results))


def _screen(folder: Path) -> dict[str, Any]:
    from steering.evidence import screen, screen_page
    from steering.evidence.cell_files import read_results_in

    cells = read_results_in(folder)
    planned = {one.id for one in screen.cells()}
    shown = _plain(cells, planned, screen_page.sections(cells), screen_page.figures(cells))
    return shown | {"headline": screen_page.headline(cells)}


def _grid(folder: Path) -> dict[str, Any]:
    from steering.evidence import grid
    from steering.evidence.conditions import BASELINE, OURS, paper_cells, where
    from steering.evidence.drawing import figures
    from steering.evidence.results import read_results
    from steering.evidence.tables import sections

    results = read_results(folder)
    beside = []
    for condition, numbers in paper_cells():
        lora, steering = (results.rate(method, condition) for method in (BASELINE, OURS))
        twin = (100 * lora.rate, 100 * steering.rate) if lora and steering else None
        beside.append((where(condition), numbers, twin))
    planned = {cell.id for cell in grid.cells()}
    return _plain(results.cells, planned, sections(results), figures(results)) | {"beside": beside}


EXPERIMENTS: Mapping[str, Callable[[Path], dict[str, Any]]] = {"trial": _trial, "screen": _screen, "grid": _grid}
"""Folder of its cells -> what reads them, in the order of the page: the one with the most power first."""


def _plain(
    made: Sequence[Mapping[str, Any]],
    planned: Collection[str],
    sections: Sequence[Section],
    figures: Mapping[str, go.Figure],
) -> dict[str, Any]:
    from steering.figures import plain

    return {
        "done": len({one["cell"] for one in made} & set(planned)),
        "cells": len(planned),
        "sections": [
            (one.title, one.table.titles if one.table else (), one.table.rows if one.table else (), one.lines)
            for one in sections
        ],
        "figures": {name: plain(one) for name, one in figures.items()},
        "headline": "",
        "beside": [],
    }


def main() -> None:
    """Say what the folder that the command line names shows."""
    Parent().send(read(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
