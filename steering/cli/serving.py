"""`serve`: a policy for robots, by openpi's websocket protocol."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from steering import pipeline
from steering.cli.frame import STORE, Line, PolicyOption, SeedOption, StoreOption, app, open_folder, print_json
from steering.errors import SteeringError
from steering.progress import Progress


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
    opened = open_folder(store)
    with Line() as line:
        served = pipeline.served_policies(
            opened,
            policy=policy,
            adapters=adapter or (),
            demonstrations_id=demonstrations,
            progress=Progress(line),
        )

    async def run() -> None:
        async with listening(served, host=host, port=port, key=key, seed=seed) as server:
            where = server.sockets[0].getsockname()
            address = f"[{where[0]}]" if ":" in where[0] else where[0]
            print_json({"url": f"ws://{address}:{where[1]}", "methods": list(served)})
            print("Clients connect to it or to /METHOD there; Ctrl+C ends it.", file=sys.stderr)
            await server.serve_forever()

    asyncio.run(run())
