"""The command that counts and measures what a head's weights can do by depth: `python -m steering evidence depth`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steering.cli.evidence import EVIDENCE_STORE, evidence
from steering.cli.frame import Line, PolicyOption, print_json
from steering.progress import Progress


@evidence.command()
def depth(
    page: Annotated[
        bool, typer.Option("--page", help="Write the page from the kept numbers; measure nothing.")
    ] = False,
    demonstrations: Annotated[int, typer.Option(help="Of each of the five tasks.")] = 5,
    policy: PolicyOption = "embedded",
    out: Annotated[Path | None, typer.Option(help="File of the numbers; the page lies beside it.")] = None,
    store: Annotated[Path, typer.Option(help="Folder of the artefacts.")] = EVIDENCE_STORE,
) -> None:
    """Count the paths from a head to the action, measure the gradient by layer, and say where chosen sets lie."""
    import json

    from steering.evidence.cell_files import read_results_in
    from steering.evidence.depth import DEPTH, measure, sets_of_screen, write_depth
    from steering.evidence.grid import TASKS
    from steering.evidence.screen import SCREEN
    from steering.store import Store

    file = out or DEPTH
    if page:
        result = json.loads(file.read_text(encoding="utf-8"))
    else:
        with Line() as line:
            result = measure(Store(store), TASKS, demonstrations, policy, Progress(line))
    written = write_depth(result, sets_of_screen(read_results_in(SCREEN), result["layers"]), file)
    print_json({"page": str(written)})
