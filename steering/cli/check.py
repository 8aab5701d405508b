"""`check`: whether everything that a store holds is as it was written."""

from __future__ import annotations

from typing import Annotated

import typer

from steering.cli.frame import STORE, Line, StoreOption, app, open_folder, print_json
from steering.errors import NotFound
from steering.integrity import Damaged
from steering.progress import Progress


@app.command()
def check(
    set_aside: Annotated[
        bool, typer.Option("--set-aside", help="Move what is damaged to damaged/ in the store, kept for a month.")
    ] = False,
    store: StoreOption = STORE,
) -> None:
    """Read every artefact and name what is damaged and what remakes it; exits with 1 where something is."""
    opened = open_folder(store)
    ids, moved = opened.ids(), []
    with Line() as line:
        progress = Progress(line)
        for i, artefact_id in enumerate(ids):
            progress.report(i / len(ids), f"Reading {artefact_id}")
            try:
                opened.check(artefact_id)
            except (Damaged, NotFound):
                continue  # `damaged` knows it now, or it was deleted meanwhile
    damaged = opened.damaged()
    for one in damaged:
        print(one.words)
        if set_aside and (place := opened.set_aside(one.id)):
            moved.append(str(place))
    print_json({"artefacts": len(ids), "damaged": [one.id for one in damaged], "set_aside": moved})
    raise typer.Exit(1 if damaged else 0)
