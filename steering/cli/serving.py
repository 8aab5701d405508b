"""`serve`: a policy for robots, by openpi's websocket protocol."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from steering import pipeline
from steering.cli.frame import STORE, Line, PolicyOption, SeedOption, StoreOption, app, open_folder, print_json
from steering.errors import InputError, SteeringError
from steering.heap import keep_freed
from steering.progress import Progress
from steering.trials.book import open_book


@app.command()
def serve(
    policy: PolicyOption = "embedded",
    adapter: Annotated[
        list[str] | None,
        typer.Option(help="Id of an adapter, or zero_shot for the policy without one; repeatable, the first is at /."),
    ] = None,
    demonstrations: Annotated[
        str | None, typer.Option(help="Id of those whose robot and statistics the untouched policy takes.")
    ] = None,
    host: Annotated[str, typer.Option(help="Where it listens; another than this machine's own needs a key.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    key: Annotated[
        str | None, typer.Option(envvar="STEERING_SERVE_KEY", help="What clients send as their api_key.")
    ] = None,
    trial: Annotated[
        Path | None, typer.Option(help="A trial book, whose next trial says which policy answers; blinded.")
    ] = None,
    seed: SeedOption = 0,
    store: StoreOption = STORE,
) -> None:
    """Serve a policy to robots until it is stopped: openpi's clients connect to it (docs/ROBOT.md).

    The last line on stdout before it waits says where it listens.
    """
    try:
        from steering.serving.server import check_reach, listening
    except ModuleNotFoundError as error:
        raise SteeringError(
            f"Serving needs {error.name}. Install it: pip install 'robotic-steering-workbench[serve]'."
        ) from error
    check_reach(host, key)
    opened, book = open_folder(store), None if trial is None else open_book(trial)
    asked = list(adapter or ())
    if book is not None:
        asked = [book.plan.adapters.get(method, pipeline.ZERO_SHOT) for method in book.plan.methods]
        policy = book.plan.policy
        if len(set(asked)) < len(asked):
            raise InputError("Two methods of this book are the same policy. Plan it with method=adapter's id for each.")
    with Line() as line:
        served = pipeline.served_policies(
            opened, policy=policy, adapters=asked, demonstrations_id=demonstrations, progress=Progress(line)
        )
    if book is not None:
        served = dict(zip(book.plan.methods, served.values(), strict=True))

    async def run() -> None:
        choose = None if book is None else book.method_now
        async with listening(served, host=host, port=port, key=key, seed=seed, choose=choose) as server:
            where = server.sockets[0].getsockname()
            address = f"[{where[0]}]" if ":" in where[0] else where[0]
            shown = list(served) if book is None else []
            print_json({"url": f"ws://{address}:{where[1]}", "methods": shown})
            print("Clients connect to it, or to /METHOD where methods are named; Ctrl+C ends it.", file=sys.stderr)
            await server.serve_forever()

    keep_freed()
    asyncio.run(run())
