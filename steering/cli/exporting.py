"""`export-policy` and `push`: a trained policy in a folder that others load, and on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steering import pipeline
from steering.cli.frame import STORE, Line, PolicyOption, StoreOption, app, open_folder, print_json
from steering.cli.selection import HeadOption, head_named
from steering.progress import Progress


@app.command("export-policy")
def export_policy(
    adapter: Annotated[str, typer.Argument(help="Id of the adapter.")],
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    layout: Annotated[str, typer.Option(help=f"Whose folder: {', '.join(pipeline.LAYOUTS)}.")] = "lerobot",
    merged: Annotated[bool, typer.Option("--merged", help="Whole weights with the adapter in them.")] = False,
    store: StoreOption = STORE,
) -> None:
    """Write an adapter as lerobot, transformers or openpi load it, with statistics, cameras, card and head set."""
    with Line() as line:
        made = pipeline.export_policy(
            open_folder(store),
            adapter_id=adapter,
            folder=folder,
            layout=layout,
            merged=merged,
            progress=Progress(line),
        )
    print_json({"folder": str(made), "files": sorted(path.name for path in made.iterdir())})


@app.command("export-rrd")
def export_rrd(
    demonstrations: Annotated[str, typer.Argument(help="Id of the demonstrations.")],
    file: Annotated[Path, typer.Argument(help="A new file; rerun's viewer opens those that end in .rrd.")],
    episode: Annotated[int, typer.Option(help="Which episode, from 0.")] = 0,
    head: HeadOption = None,
    policy: PolicyOption = "embedded",
    store: StoreOption = STORE,
) -> None:
    """Write an episode with attention for rerun's viewer: of the heads named, else the mean of each stack."""
    with Line() as line:
        made = pipeline.export_rrd(
            open_folder(store),
            demonstrations_id=demonstrations,
            path=file,
            episode=episode,
            heads=[head_named(one) for one in head or ()],
            policy=policy,
            progress=Progress(line),
        )
    print_json({"file": str(made), "bytes": made.stat().st_size})


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="A folder that export-policy wrote.")],
    repository: Annotated[str, typer.Argument(help="Hub id, as me/my-policy; made where it does not exist.")],
    public: Annotated[bool, typer.Option("--public", help="For everybody to see; private without it.")] = False,
) -> None:
    """Upload an exported policy to the Hugging Face hub, with your own login (`hf auth login`, or HF_TOKEN)."""
    print_json({"url": pipeline.push_policy(folder, repository, public=public)})
