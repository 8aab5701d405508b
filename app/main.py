"""Assemble the page and launch it. Costs about 4 s, nearly all of it `import gradio`."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
import time

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
from steering.jobs.client import Jobs

TEND_EVERY_S = 600.0
MCP = "STEERING_MCP"
"""Environment variable: 1 answers agents by the Model Context Protocol, at /gradio_api/mcp/."""
SESSIONS_KEPT = 64
"""Of which Gradio keeps in memory what every component shows, .65 MB each, whether the browser is still there or not.
Of one that is dropped and comes back nothing is lost: what a page shows lies in its browser and in the store."""


def launch(page: gr.Blocks, context: Context, port: int | None = None) -> str:
    """Serve `page` from threads of its own; its address. port: None for the first free one from 7860."""
    scripts = {
        path.relative_to(components.STATIC).as_posix(): path.read_bytes() for path in components.STATIC.rglob("*.js")
    }

    def script(request: Request) -> Response:
        found = scripts.get(request.path_params["name"])
        if found is None:
            return PlainTextResponse("There is no such script. Reload the page.", 404)
        return Response(found, media_type="text/javascript", headers=KEPT)

    def plotly_js(_: Request) -> FileResponse:
        return FileResponse(PLOTLY, media_type="text/javascript", headers=KEPT)

    known = Middleware(cookies.Visitors, key=cookies.signing_key(context.store.root))
    routes = [*monitoring.routes(context), *context.uploads.routes, *context.driving.routes, *context.media.routes]
    _, address, _ = page.launch(
        theme=theme(),
        css=components.styles(),
        head=components.scripts(),
        server_port=port,
        max_file_size=0,  # and the route is closed, see app.admission
        footer_links=[],
        state_session_capacity=SESSIONS_KEPT,
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
    return str(address)


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
    while True:
        try:
            questions.holdings.tend(context)
        except (SteeringError, OSError) as error:
            print(f"The store could not be tidied: {error}", file=sys.stderr, flush=True)
        time.sleep(TEND_EVERY_S)


def serve() -> None:
    """Serve the page until it is ended."""
    check_writable(store_folder())
    store = default_store()
    source = os.environ.get("STEERING_POLICY", "embedded")
    jobs = Jobs(store, party=visitors.party)
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
