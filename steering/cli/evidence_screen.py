"""The command that compares rules for the heads to train: `python -m steering evidence screen`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steering.cli.evidence import EVIDENCE_STORE, evidence
from steering.cli.frame import Line, print_json
from steering.progress import Progress


@evidence.command()
def screen(
    cell: Annotated[list[str] | None, typer.Option(help="Only this cell, task/rule/heads/seed; repeatable.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what is left and about how long it takes; run nothing.")
    ] = False,
    page: Annotated[bool, typer.Option("--page", help="Write the page from what is there; run nothing.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    store: Annotated[Path, typer.Option(help="Folder of the artefacts.")] = EVIDENCE_STORE,
) -> None:
    """Train the heads that each rule chooses, in cells that are not there yet, and write the page."""
    from steering.evidence.cell_files import read_results_in
    from steering.evidence.screen import SCREEN, ScreenSettings, cells, left_to_make, parse_cell, run_screen
    from steering.evidence.screen_page import write_screen

    settings, folder = ScreenSettings(), out or SCREEN
    chosen = tuple(parse_cell(one) for one in cell) if cell else cells()
    if plan:
        print_json(left_to_make(chosen, settings, folder))
        return
    made: list[str] = []
    if not page:
        with Line() as line:
            made = run_screen(chosen, settings, store=store, out=folder, progress=Progress(line))
    written = write_screen(read_results_in(folder), folder)
    print_json({"made": len(made), "page": str(written)})
