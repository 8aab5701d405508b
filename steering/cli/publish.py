"""`publish`: the page's screens that need no server, as plain files."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from steering.assets import PAGE
from steering.cli.frame import STORE, PolicyOption, StoreOption, app


@app.command()
def publish(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    demonstrations: Annotated[str, typer.Option(help="Id of the demonstrations; the sample by default.")] = "",
    comparison: Annotated[
        list[str] | None,
        typer.Option(help="Id of a comparison; may be given several times. The ready example by default."),
    ] = None,
    policy: PolicyOption = "embedded",
    store: StoreOption = STORE,
) -> None:
    """Write head map, episodes, comparison and lessons as plain files, for a static Space or any web server.

    handout.html in it opens without one.
    """
    asked = {"store": str(store), "folder": str(folder), "demonstrations": demonstrations, "policy": policy}
    options = json.dumps({**asked, "comparisons": comparison or []})
    path = os.pathsep.join([str(PAGE), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.execve(sys.executable, [sys.executable, "-m", "app.twin", options], os.environ | {"PYTHONPATH": path})
