"""`app`: the page."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from steering.assets import PAGE
from steering.cli.frame import app


@app.command("app")
def page(
    store: Annotated[Path | None, typer.Option(help="Folder that keeps every artefact; .workbench by default.")] = None,
    host: Annotated[str | None, typer.Option(help="Where it listens; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option(help="The first free one from 7860 by default.")] = None,
) -> None:
    """Serve the page until it is stopped; docs/SETTINGS.md says what else can be set."""
    given = {"STEERING_STORE": store, "GRADIO_SERVER_NAME": host, "GRADIO_SERVER_PORT": port}
    environment = os.environ | {name: str(value) for name, value in given.items() if value is not None}
    os.execve(sys.executable, [sys.executable, str(PAGE / "app.py")], environment)
