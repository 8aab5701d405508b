"""Assemble the page and launch it. Costs about 4 s, nearly all of it `import gradio`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gradio as gr
import plotly
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from app import components, cookies, monitoring, questions, session, untrusted, visitors
from app.admission import ADMISSION
from app.asked import Asked
from app.compression import COMPRESSION
from app.media import KEPT
from app.policies import allowed_roots
from app.questions.context import Context, default_store, open_context, store_folder
from app.questions.head_sets import HeadSet
from app.tabs import compare, demonstrations, driving, finetune, heads, laboratory, learn, policies, watching
from app.tabs.events import ACTION, QUICK, WATCH, action, tell, worded
from app.theme import theme
from app.views.damage import damage
from app.views.header import header
from app.views.learn import lessons
from steering.disk import check_writable
from steering.errors import InputError, SteeringError
from steering.jobs.client import Jobs

PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
PLOTLY_ADDRESS = f"plotly-{plotly.__version__}.min.js"
TITLE = "Robotic Steering workbench"
TEND_EVERY_S = 600.0
SESSIONS_KEPT = 64
"""Of which Gradio keeps in memory what every component shows, .65 MB each, whether the browser is still there or not.
Of one that is dropped and comes back nothing is lost: what a page shows lies in its browser and in the store."""
QUEUE_LOOK_S = 0.01
"""Gradio's queue looks for new events every 1 ms, which takes time from a finetune while nothing happens."""


def build(context: Context) -> gr.Blocks:
    """The whole page over `context`."""
    with gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False, elem_id="page") as page:
        states = session.states(finetune.DEFAULTS.rank)
        watcher = watching.make()
        head = components.panel(elem_id="header")
        chooser = policies.layout()
        running = components.panel(elem_id="running")
        damaged = components.panel(elem_id="damage")
        download, told = components.download(), components.panel()
        components.learn(lessons())
        with gr.Tabs(selected="heads", elem_id="steps") as steps:
            with gr.Tab("Demonstrations", id="demonstrations") as demonstrations_step:
                sets_tab = demonstrations.layout()
            with gr.Tab("Heads", id="heads"):
                heads_tab = heads.layout()
                laboratory_tab = laboratory.layout(PLOTLY_ADDRESS)
            with gr.Tab("Finetune", id="finetune") as finetune_step:
                finetune_tab = finetune.layout(PLOTLY_ADDRESS)
            with gr.Tab("Compare", id="compare") as compare_step:
                compare_tab = compare.layout(PLOTLY_ADDRESS)
            with gr.Tab("Learn", id="learn"):
                learn.layout()

        def render_header(opened: Any, chosen: HeadSet, measure: Any) -> str:
            return header(questions.link.header_of(context, opened, chosen, untrusted.as_id(measure)))

        heads.wire(context, heads_tab, states, head, render_header, download)
        demonstrations.wire(context, sets_tab, states, watcher, heads_tab, download)
        finetune.wire(context, finetune_tab, states, watcher, download)
        compare.wire(context, compare_tab, states, watcher, download)
        panels = {
            "demonstrations": [sets_tab.jobs, heads_tab.jobs],
            "heads": [laboratory_tab.jobs],
            "finetune": [finetune_tab.jobs],
            "compare": [compare_tab.jobs],
            "policy": [chooser.jobs],
        }
        show_menu, adopt = laboratory.wire(context, laboratory_tab, heads_tab, states, watcher)
        watch, watched = watching.wire(context, watcher, panels, finetune_tab.plot, running)

        # What each step shows, as (function, inputs, outputs); run on load, on opening a set and on new results.
        show_heads = (
            worded(
                lambda opened, digits, kept, measure, beside: heads.show(
                    *(
                        context,
                        untrusted.as_opened(opened)[0],
                        digits,
                        untrusted.as_id(measure),
                        untrusted.as_id(beside),
                    ),
                    kept=kept,
                )
            ),
            [states.opened, states.heads, states.kept, states.measure, states.beside],
            heads_tab.shown,
        )
        show_episode = (
            worded(lambda opened: heads.show_episode(context, *untrusted.as_opened(opened))),
            [states.opened],
            [heads_tab.player],
        )
        show_sets = (worded(lambda opened: demonstrations.show_sets(context, opened)), [states.opened], [sets_tab.sets])
        show_episodes = (
            worded(lambda opened: demonstrations.show_episodes(context, opened)),
            [states.opened],
            [sets_tab.episodes],
        )
        show_upload = (
            worded(lambda shown: demonstrations.show_upload(context, shown)),
            [sets_tab.shown],
            [sets_tab.upload, sets_tab.shown],
        )
        show_driving = (worded(lambda: driving.show_driving(context)), None, [sets_tab.driving])
        show_finetune = (
            worded(lambda *open_now: finetune.show(context, *open_now)),
            [states.opened, states.heads, states.origin, states.measure, states.training],
            [finetune_tab.costs, finetune_tab.results],
        )
        show_compare = (
            worded(lambda opened, wanted: compare.show(context, opened, wanted)),
            [states.opened, compare_tab.wanted],
            compare_tab.shown,
        )
        show_damage = (worded(lambda: damage(questions.demonstrations.damage(context))), None, [damaged])
        show_policies = (worded(lambda: policies.show(context)), None, [chooser.list, chooser.check])
        show_header = (
            worded(
                lambda opened, digits, base, measure: render_header(
                    opened, questions.head_sets.head_set(digits, base), measure
                )
            ),
            [states.opened, states.heads, states.origin, states.measure],
            [head],
        )

        @worded
        def restore(opened: Any, digits: Any, base: Any, kept: Any, measure: Any, request: gr.Request) -> list[Any]:
            query = dict(request.query_params)
            memory = questions.link.Memory(opened, digits, base, kept, measure, context.policies.key)
            with context.policies.using(questions.link.policy_of(context, query)):
                screen = questions.link.restore(context, query, memory)
                notes = (*screen.notes, *filter(None, [context.jobs.notice]))
                shown = header(questions.link.header_of(context, screen.opened, screen.heads, screen.measure, notes))
                policy = context.policies.key
            steps = gr.Tabs(selected=screen.tab)
            beside = untrusted.as_id(query.get("beside"))
            found = [screen.opened, screen.heads.digits, screen.heads.kept, screen.kept]
            comparison = untrusted.as_id(query["comparison"]) if "comparison" in query else gr.skip()
            return [*found, screen.measure, beside, policy, comparison, steps, shown]

        @worded
        def open_set(opened: Any, digits: Any, base: Any, kept: Any, measure: Any, event: gr.EventData) -> list[Any]:
            """Opens demonstrations with their own heads; those of what was open are kept. Deletes one's own."""
            chosen = action(event)
            demonstrations_id, _ = untrusted.as_opened(opened)
            if chosen.name == "episode":
                return [[demonstrations_id, untrusted.whole(chosen.value, 0, 100_000, 0)], *[gr.skip()] * 4]
            if chosen.name == "remove":
                questions.holdings.delete(context, untrusted.as_id(chosen.value))
                if demonstrations_id in {card.id for card in questions.demonstrations.sets(context)}:
                    return [gr.skip()] * 5
            elif chosen.name != "open":
                return [gr.skip()] * 5
            found = questions.demonstrations.open_set(
                context, untrusted.as_id(chosen.value) if chosen.name == "open" else ""
            )
            before = questions.head_sets.key_of(context.policies.key, demonstrations_id)
            kept = questions.head_sets.keep(kept, before, questions.head_sets.head_set(digits, base))
            own = questions.head_sets.opened(context, kept, found, untrusted.as_id(measure))
            step = gr.Tabs(selected="heads") if chosen.name == "open" else gr.skip()
            return [[found, 0], own.digits, own.kept, kept, step]

        loaded = page.load(
            restore,
            [states.opened, states.heads, states.origin, states.kept, states.measure],
            [
                *(states.opened, states.heads, states.origin, states.kept, states.measure),
                *(states.beside, states.policy, compare_tab.wanted, steps, head),
            ],
            **QUICK,
        )
        drawn = loaded.then(show_heads[0], show_heads[1], show_heads[2], **QUICK)
        drawn.then(None, None, None, js="() => wb.ready()")
        loaded.then(show_episode[0], show_episode[1], show_episode[2], **QUICK)
        loaded.then(watch, [watcher.finished], watched, **WATCH)
        loaded.then(lambda: watching.curves(context), None, finetune_tab.plot, **QUICK)
        show_form = (worded(finetune.show_form), [states.training], [finetune_tab.form])
        steps_shown = (show_sets, show_upload, show_finetune, show_compare)
        rest = drawn
        later = (show_menu, show_policies, show_form, *steps_shown, show_driving, show_damage)
        for show in later:  # not on the first screen: waits for it
            rest = rest.then(show[0], show[1], show[2], **QUICK)
        prepare = worded(lambda opened: questions.ahead.prepare(context, untrusted.as_opened(opened)[0]))
        rest.then(prepare, states.opened, None, **QUICK)

        for panel in (sets_tab.sets, sets_tab.health, sets_tab.upload, sets_tab.episodes):
            opening = panel.action(
                open_set,
                [states.opened, states.heads, states.origin, states.kept, states.measure],
                [states.opened, states.heads, states.origin, states.kept, steps],
                **ACTION,
            )
            for show in (show_heads, show_episode, show_header, show_sets, show_menu, show_episodes, show_damage):
                opening = opening.then(show[0], show[1], show[2], **QUICK)
        opening, opened_policy = policies.wire(context, chooser, states, watcher)
        around = (show_heads, show_episode, show_header, show_menu, show_policies)
        for show in (*around, *steps_shown, show_damage):
            opening = opening.then(show[0], show[1], show[2], **QUICK)
        adopted = watcher.finished.change(opened_policy[0], opened_policy[1], opened_policy[2], **QUICK)
        adopted = adopted.then(adopt[0], adopt[1], adopt[2], **QUICK)
        for show in (*around, *steps_shown, show_damage):  # in turn, for the policy may be another one now
            adopted = adopted.then(show[0], show[1], show[2], **QUICK)
        for step, shows in (
            (demonstrations_step, (show_sets, show_upload, show_episodes)),
            (finetune_step, (show_finetune,)),
            (compare_step, (show_compare,)),
        ):
            for show in (*shows, show_damage):
                step.select(show[0], show[1], show[2], **QUICK)
        policies.bind(page, context, states.policy)
        cookies.bind(page)
        tell(page, told)
    return page


def launch(page: gr.Blocks, context: Context, port: int | None = None) -> str:
    """Serve `page` from threads of its own; its address. port: None for the first free one from 7860."""

    def plotly_js(_: Request) -> FileResponse:
        return FileResponse(PLOTLY, media_type="text/javascript", headers=KEPT)

    known = Middleware(cookies.Visitors, key=cookies.signing_key(context.store.root))
    routes = [*monitoring.routes(context), *context.uploads.routes, *context.driving.routes, *context.media.routes]
    page._queue.sleep_when_free = QUEUE_LOOK_S
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
        app_kwargs={
            "middleware": [Middleware(monitoring.Watched), ADMISSION, known, COMPRESSION, Middleware(Asked, page=page)],
            "routes": [Route(f"/{PLOTLY_ADDRESS}", plotly_js), *routes],
        },
    )
    return str(address)


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
