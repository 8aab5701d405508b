"""`open`: what a report of the page says, as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from steering.cli.frame import app, print_json
from steering.errors import InputError
from steering.selection import report_file


@app.command("open")
def open_report(
    report: Annotated[Path, typer.Argument(help="A report that the page made: one HTML file.")],
    out: Annotated[
        Path | None, typer.Option("--json", help="Write its first head set here, in the keys of the authors' release.")
    ] = None,
) -> None:
    """Show the results and head sets in a report, wherever it came from; needs neither its store nor its policy."""
    content = report_file.read(report)
    if out is not None:
        if not content.get("selections"):
            raise InputError("No run of this report trained a head set, so there is none to write.")
        out.write_text(json.dumps(content["selections"][0], indent=1) + "\n", encoding="utf-8")
    print_json({"results": report_file.results(content), **content})
