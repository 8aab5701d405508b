"""`doctor`: what this machine has and lacks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from steering.cli.frame import STORE, StoreOption, app, print_json
from steering.doctor import ERROR, OK, examine


@app.command()
def doctor(
    store: StoreOption = STORE, json: Annotated[bool, typer.Option("--json", help="One line of JSON instead.")] = False
) -> None:
    """Look at Python, memory, disk, jobs, renderer, GPU, assets and hub; exits with 1 where nothing would work."""
    found = examine(store)
    if json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            print(f"{'✓' if one.state == OK else '!' if one.state != ERROR else '✗'} {one.subject:9} {one.words}")
    raise typer.Exit(1 if any(one.state == ERROR for one in found) else 0)
