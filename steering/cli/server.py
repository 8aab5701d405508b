"""`jobs`, `gc`, `backup` and `restore`: what whoever runs a server does from a terminal, while it runs or not."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from steering import backup as backups
from steering import keeping
from steering.cli.frame import STORE, StoreOption, app, open_folder, print_json
from steering.errors import InputError
from steering.jobs import clock
from steering.jobs.queue import JobStatus, Queue
from steering.public import quota

JsonOption = Annotated[bool, typer.Option("--json", help="One line of JSON instead.")]
_jobs = typer.Typer(help="The jobs of a store: list, stop, clear.", no_args_is_help=True)
app.add_typer(_jobs, name="jobs")


@_jobs.command("list")
def list_jobs(store: StoreOption = STORE, json: JsonOption = False, limit: int = 50) -> None:
    """Jobs, newest first: what waits with its place, what runs and how far it is, and how the rest ended."""
    found = Queue(_existing(store)).list(limit=limit)
    if json:
        print_json([{**asdict(one), "metrics": len(one.metrics)} for one in found])
        return
    for one in found:
        print(f"{one.id[:12]}  {one.state:9}  {one.function:16}  {one.visitor:16}  {_how_far(one)}")


@_jobs.command("stop")
def stop_jobs(
    job: Annotated[str, typer.Argument(help="The beginning of a job's id, or 'all'.")], store: StoreOption = STORE
) -> None:
    """Stop a job that waits or runs, or all of them."""
    queue = Queue(_existing(store))
    found = [one for one in queue.list(active=True, limit=1000) if job == "all" or one.id.startswith(job)]
    if not found and job != "all":
        raise InputError(f"No job that waits or runs begins with {job!r}. `python -m steering jobs list` shows them.")
    if len(found) > 1 and job != "all":
        raise InputError(f"{len(found)} jobs begin with {job!r}. Give more of the id.")
    for one in found:
        queue.request_cancel(one.id)
    print_json({"stopped": [one.id for one in found]})


@_jobs.command("clear")
def clear_jobs(store: StoreOption = STORE) -> None:
    """Forget the jobs that have ended; their results stay."""
    print_json({"forgotten": Queue(_existing(store)).forget_old(0.0)})


@app.command()
def gc(
    store: StoreOption = STORE,
    days: Annotated[
        float | None, typer.Option(help="Visitors' things that were not worked with for so long; STEERING_KEEP_DAYS.")
    ] = None,
) -> None:
    """Delete what is kept no longer: visitors' things, old pictures, unfinished work. The operator's things stay."""
    opened, keep_s = open_folder(_existing(store)), quota().keep_s if days is None else days * keeping.DAY_S
    clock.follow(opened, Queue(opened.root))
    gone = 0 if math.isinf(keep_s) else keeping.expire(opened, keep_s)
    freed = keeping.clean(opened)
    opened.sweep()
    print_json({"artefacts": gone, "picture_bytes": freed})


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(help="The file to write, as store.tar.")], store: StoreOption = STORE
) -> None:
    """Write a store to one file, also while the server runs. The file holds the key of visitors' cookies: keep it."""
    print_json({"backup": str(target), "files": backups.write(store, target)})


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(help="A file that `backup` wrote.")], store: StoreOption = STORE
) -> None:
    """Lay out a backup as a store in a new or empty folder."""
    print_json({"store": str(store), "files": backups.read(source, store)})


def _existing(store: Path) -> Path:
    if not store.is_dir():
        raise InputError(f"There is no store at {store}. Name its folder with --store.")
    return store


def _how_far(one: JobStatus) -> str:
    if one.state == "queued":
        return f"place {one.position}, starts in about {(one.starts_in_s or 0) / 60:.0f} min"
    if one.state == "running":
        left = "" if one.left_s is None else f", {one.left_s / 60:.0f} min left"
        return f"{one.fraction:.0%}{left}: {one.message}"
    return one.error or one.result or time.strftime("%Y-%m-%d %H:%M", time.localtime(one.ended_s))
