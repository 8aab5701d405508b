"""Commands that make the evidence kept under assets/evidence: `python -m steering evidence …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steering.cli.frame import AddressOption, Line, app, print_json
from steering.errors import SteeringError
from steering.progress import Progress

evidence = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(evidence, name="evidence")

EVIDENCE_STORE = Path(".workbench/evidence")


@evidence.command()
def grid(
    cell: Annotated[list[str] | None, typer.Option(help="Only this cell, task/method/seed; repeatable.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only cells of this task; repeatable.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Only cells of this method; repeatable.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Prove the plumbing; figures mean nothing.")] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what is left and about how long it takes; run nothing.")
    ] = False,
    engine: Annotated[
        str, typer.Option(help="local: one by one. processes: several at once. ray: on a cluster.")
    ] = "local",
    workers: Annotated[int, typer.Option(help="Cells at a time, for processes and a local Ray.")] = 2,
    address: AddressOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    store: Annotated[Path, typer.Option(help="Folder of the artefacts.")] = EVIDENCE_STORE,
) -> None:
    """Make the paper's cells in the twin, those that are not there yet; then tables and figures of all."""
    from steering.evidence.drawing import figures, write_page
    from steering.evidence.engine import RESULTS, left_to_make, run_grid
    from steering.evidence.grid import QUICK, GridSettings, cells, parse_cell
    from steering.evidence.results import read_results
    from steering.evidence.tables import document

    settings = QUICK if quick else GridSettings()
    out = out or (Path(store) / "quick" if quick else RESULTS)
    chosen = tuple(parse_cell(one) for one in cell) if cell else cells()
    chosen = tuple(c for c in chosen if c.task in (task or [c.task]) and c.method in (method or [c.method]))
    if plan:
        print_json(left_to_make(chosen, settings, out))
        return
    with Line() as line:
        made = run_grid(
            chosen,
            settings,
            store=store,
            out=out,
            engine=engine,
            workers=workers,
            address=address,
            progress=Progress(line),
        )
    results = read_results(out)
    drawn = figures(results)
    page = write_page(out, document(results), drawn)
    failed = [done.cell.id for done in made if done.result is None]
    print_json({"cells": len(results.cells), "page": str(page), "figures": len(drawn), "failed": failed})
    if failed:
        raise SteeringError(f"{len(failed)} of {len(chosen)} cells failed; the same command tries them again.")
