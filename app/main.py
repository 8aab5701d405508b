"""Assemble the page and launch it. Costs about 4 s, most of it `import gradio`."""

from __future__ import annotations

import importlib.util
import math
import os
import signal
import sys
import threading
import time
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from app import components, cookies, monitoring, questions, visitors
from app.admission import ADMISSION
from app.asked import Asked
from app.components import PLOTLY, PLOTLY_ADDRESS
from app.compression import COMPRESSION
from app.media import KEPT
from app.page import build
from app.policies import allowed_roots
from app.questions.context import Context, default_store, open_context, store_folder
from app.theme import theme
from steering.disk import check_writable
from steering.errors import InputError, SteeringError
from steering.heap import return_freed
from steering.jobs.client import Jobs
from steering.jobs.zero import Inside, serves_inside

TEND_EVERY_S, LOOK_EVERY_S = 600.0, 30.0
MOST_STARTS = 20
MCP = "STEERING_MCP"
"""Environment variable: 1 answers agents by the Model Context Protocol, at /gradio_api/mcp/."""
SWITCH_S = 0.0005
"""After which a thread that computes lets others go on, a tenth of Python's own. An answer looks at some hundred files;
after each look it waits so long where others compute, which doubled what fifty browsers waited.
"""
MOST_ANSWERS = 12
"""That are computed at a time; Gradio's 40 take turns at one interpreter, so that all of them are late."""
SESSIONS_KEPT = 64
"""Of which Gradio keeps in memory what every component shows, .65 MB each, whether the browser is still there or not.
Of one that is dropped and comes back nothing is lost: what a page shows lies in its browser and in the store."""


def launch(page: gr.Blocks, context: Context, port: int | None = None) -> str:
    """Serve `page` from threads of its own; its address. port: None for the first free one from 7860."""
    scripts = components.served()

    def script(request: Request) -> Response:
        name = request.path_params["name"]
        found = scripts.get(name)
        if found is None:
            return PlainTextResponse("There is no such script. Reload the page.", 404)
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        return Response(found, media_type=kind, headers=KEPT)

    def plotly_js(_: Request) -> FileResponse:
        return FileResponse(PLOTLY, media_type="text/javascript", headers=KEPT)

    known = Middleware(cookies.Visitors, key=cookies.signing_key(context.store.root))
    routes = [*monitoring.routes(context), *context.uploads.routes, *context.driving.routes, *context.media.routes]
    return _started(
        page,
        theme=theme(),
        css=components.styles(),
        head=components.scripts(),
        server_port=port,
        max_file_size=0,  # and the route is closed, see app.admission
        footer_links=[],
        state_session_capacity=SESSIONS_KEPT,
        max_threads=MOST_ANSWERS,
        ssr_mode=False,
        share=False,
        show_error=False,
        quiet=True,
        prevent_thread_lock=True,
        mcp_server=serves_agents(),
        app_kwargs={
            "middleware": [Middleware(monitoring.Watched), ADMISSION, known, COMPRESSION, Middleware(Asked, page=page)],
            "routes": [
                Route(f"/{PLOTLY_ADDRESS}", plotly_js),
                Route(f"/{components.scripts_address()}/{{name:path}}", script),
                *routes,
            ],
        },
    )


def _started(page: gr.Blocks, **how: Any) -> str:
    """Launch a page; its address. Gradio gives up where a first answer takes three seconds, as on a busy machine."""
    for _ in range(MOST_STARTS - 1):
        try:
            return str(page.launch(**how)[1])
        except ValueError as error:
            if "localhost is not accessible" not in str(error):
                raise
            page.close()
    return str(page.launch(**how)[1])


def serves_agents() -> bool:
    """Whether agents are answered by the Model Context Protocol. Raises InputError where its package is missing."""
    if os.environ.get(MCP) != "1":
        return False
    if importlib.util.find_spec("mcp") is None:
        raise InputError(f'{MCP}=1 needs the package mcp, which is not installed. Run: pip install ".[mcp]"')
    return True


def main() -> None:
    """Launch the page on GRADIO_SERVER_PORT, or the first free port from 7860; what is in the way is one sentence."""
    try:
        serve()
    except SteeringError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


def tend(context: Context) -> None:
    """Look after the store for as long as the server runs."""
    tended_s = -math.inf
    while True:
        try:
            if jump_s := context.jobs.follow_clock():
                context.classes.move_times(jump_s)
            if time.monotonic() - tended_s >= TEND_EVERY_S:
                tended_s = time.monotonic()
                questions.holdings.tend(context)
        except (SteeringError, OSError) as error:
            print(f"The store could not be tidied: {error}", file=sys.stderr, flush=True)
        time.sleep(LOOK_EVERY_S)


def serve() -> None:
    """Serve the page until it is ended."""
    sys.setswitchinterval(SWITCH_S)
    return_freed()
    check_writable(store_folder())
    store = default_store()
    source = os.environ.get("STEERING_POLICY", "embedded")
    jobs = Jobs(store, party=visitors.party, inside=Inside(store) if serves_inside() else None)
    context = open_context(store, jobs, source, allowed_roots())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # a stop ends the worker too, through `finally`
    threading.Thread(target=questions.ahead.warm, args=(context,), daemon=True).start()
    threading.Thread(target=tend, args=(context,), daemon=True).start()
    try:
        page = build(context)
        port = os.environ.get("GRADIO_SERVER_PORT", "")  # given as such: Gradio itself would take one of the next 100
        try:
            address = launch(page, context, int(port) if port.isdecimal() else None)
        except OSError as error:
            if "empty port" not in str(error):
                raise
            raise InputError(
                f"Port {port or '7860 to 7959'} is taken, perhaps by another workbench. End that one, or choose "
                "another port: GRADIO_SERVER_PORT=7960 make app."
            ) from None
        print(f"The workbench is at {address} (Ctrl+C ends it; results stay in {store.root}).", flush=True)
        page.block_thread()
    finally:
        context.driving.close()
        jobs.close()
