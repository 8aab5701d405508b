"""`python -m steering.simulation`: figures of the bench itself."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from steering.errors import SteeringError
from steering.simulation.expert_table import expert_cells, markdown

commands = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@commands.callback()
def _bench() -> None:
    """Figures of the bench itself."""


@commands.command()
def expert_table(
    seeds: Annotated[int, typer.Option(help="Scenes of a cell: seeds 0, 1, 2 and so on.")] = 100,
    disturbance: Annotated[float, typer.Option(help="Knocks on the arm; demonstrations are recorded with 0.5.")] = 0.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write every cell to this file.")] = None,
) -> None:
    """Success of the scripted experts, with Wilson intervals and mean length, as a Markdown table on stdout.

    Progress and the seeds that failed go to stderr. Deterministic.
    """
    cells = []
    for cell in expert_cells(range(seeds), disturbance):
        cells.append(cell)
        name = " + ".join((cell.scene, *cell.variations))
        failed = f", failed: {', '.join(map(str, cell.failed_seeds))}" if cell.failed_seeds else ""
        typer.echo(f"{name}: {cell.successes} of {cell.trials}{failed}", err=True)
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(cell) for cell in cells], indent=2) + "\n", encoding="utf-8")
    typer.echo(markdown(cells), nl=False)


if __name__ == "__main__":
    try:
        commands()
    except SteeringError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
