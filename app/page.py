"""The page: its shell, what every step shows, and what follows what."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app import components, endpoints, questions, session, untrusted, visitors
from app.questions.context import Context
from app.questions.head_sets import HeadSet
from app.tabs import compare, demonstrations, driving, finetune, heads, learn, measures, policies, trials, watching
from app.tabs.events import ACTION, QUICK, WATCH, Events, Show, action
from app.views.damage import damage
from app.views.header import header

TITLE = "Robotic Steering workbench"


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
        if visitors.offers_accounts():
            gr.LoginButton(visible=False)  # Gradio opens the addresses of signing in; the header leads there
        with gr.Tabs(selected="heads", elem_id="steps") as steps:
            with gr.Tab("Demonstrations", id="demonstrations") as demonstrations_step:
                sets_tab = demonstrations.layout()
            with gr.Tab("Heads", id="heads"):
                heads_tab = heads.layout()
                measures_tab = measures.layout(components.PLOTLY_ADDRESS)
            with gr.Tab("Finetune", id="finetune") as finetune_step:
                finetune_tab = finetune.layout(components.PLOTLY_ADDRESS)
            with gr.Tab("Compare", id="compare") as compare_step:
                compare_tab = compare.layout(components.PLOTLY_ADDRESS)
                trials_tab = trials.layout()
            with gr.Tab("Learn", id="learn"):
                learn.layout()

        def render_header(opened: Any, chosen: HeadSet, measure: Any, notes: tuple[str, ...] = ()) -> str:
            return header(questions.link.header_of(context, opened, chosen, untrusted.as_id(measure), notes))

        events = Events(context, states.policy, told)
        heads.wire(events, context, heads_tab, states, head, render_header, download)
        demonstrations.wire(events, context, sets_tab, states, watcher, heads_tab, download)
        finetune.wire(events, context, finetune_tab, states, watcher, download)
        compare.wire(events, context, compare_tab, states, watcher, download)
        show_trials = trials.wire(events, context, trials_tab, states)
        panels = {
            "demonstrations": [sets_tab.jobs, heads_tab.jobs],
            "heads": [measures_tab.jobs],
            "finetune": [finetune_tab.jobs],
            "compare": [compare_tab.jobs],
            "policy": [chooser.jobs],
        }
        show_menu, adopt = measures.wire(events, context, measures_tab, heads_tab, states, watcher)
        show_work = watching.wire(events, context, watcher, panels, finetune_tab.plot, running)

        endpoints.register(context)

        # What each step shows; on load, on opening a set and on new results.
        show_heads = Show(
            lambda opened, digits, kept, measure, beside: heads.show(
                context,
                untrusted.as_opened(opened)[0],
                digits,
                untrusted.as_id(measure),
                untrusted.as_id(beside),
                kept=kept,
            ),
            [states.opened, states.heads, states.kept, states.measure, states.beside],
            heads_tab.shown,
        )
        show_episode = Show(
            lambda opened: heads.show_episode(context, *untrusted.as_opened(opened)),
            [states.opened],
            [heads_tab.player],
        )
        show_sets = Show(lambda opened: demonstrations.show_sets(context, opened), [states.opened], [sets_tab.sets])
        show_episodes = Show(
            lambda opened: demonstrations.show_episodes(context, opened), [states.opened], [sets_tab.episodes]
        )
        show_upload = Show(
            lambda shown: demonstrations.show_upload(context, shown),
            [sets_tab.shown],
            [sets_tab.upload, sets_tab.shown],
        )
        show_recording = Show(lambda: demonstrations.show_form(context), (), [sets_tab.form])
        show_driving = Show(lambda: driving.show_driving(context), (), [sets_tab.driving])
        show_form = Show(finetune.show_form, [states.training], [finetune_tab.form])
        show_finetune = Show(
            lambda *open_now: finetune.show(context, *open_now),
            [states.opened, states.heads, states.origin, states.measure, states.training],
            [finetune_tab.costs, finetune_tab.results],
        )
        show_curves = Show(lambda: watching.curves(context), (), [finetune_tab.plot])
        show_compare = Show(
            lambda opened, wanted: compare.show(context, opened, wanted),
            [states.opened, compare_tab.wanted],
            compare_tab.shown,
        )
        show_evidence = Show(lambda: compare.show_evidence(context), (), [compare_tab.evidence])
        show_damage = Show(lambda: damage(questions.demonstrations.damage(context)), (), [damaged])
        show_policies = Show(lambda: policies.show(context), (), [chooser.list, chooser.check])
        show_header = Show(
            lambda opened, digits, base, measure: render_header(
                opened, questions.head_sets.head_set(digits, base), measure
            ),
            [states.opened, states.heads, states.origin, states.measure],
            [head],
        )
        prepare = Show(
            lambda opened: questions.ahead.prepare(context, untrusted.as_opened(opened)[0]), [states.opened], ()
        )

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
            wanted = untrusted.as_id(chosen.value) if chosen.name == "open" else ""
            found = questions.demonstrations.open_set(context, wanted)
            before = questions.head_sets.key_of(context.policies.key, demonstrations_id)
            kept = questions.head_sets.keep(kept, before, questions.head_sets.head_set(digits, base))
            own = questions.head_sets.opened(context, kept, found, untrusted.as_id(measure))
            step = gr.Tabs(selected="heads") if chosen.name == "open" else gr.skip()
            return [[found, 0], own.digits, own.kept, kept, step]

        chosen_now = [states.opened, states.heads, states.origin, states.kept, states.measure]
        restored = [*chosen_now, states.beside, states.policy, compare_tab.wanted, steps, head]
        loaded = events.on(page.load, restore, chosen_now, restored, **QUICK)
        drawn = events.after(loaded, show_heads)
        _say(drawn, "ready()", told)
        events.after(loaded, show_episode)
        events.on(loaded.then, show_work.handler, show_work.inputs, show_work.outputs, draws=True, **WATCH)
        events.after(loaded, show_curves)
        every_step = (show_sets, show_upload, show_recording, show_finetune, show_compare)
        # not on the first screen: waits for it
        filled = events.after(
            drawn,
            show_menu,
            show_policies,
            show_form,
            *every_step,
            show_evidence,
            show_trials,
            show_driving,
            show_damage,
            prepare,
        )
        _say(filled, "filled()", told)

        around = (show_heads, show_episode, show_header, show_menu)
        for panel in (sets_tab.sets, sets_tab.health, sets_tab.upload, sets_tab.episodes):
            opening = events.on(panel.action, open_set, chosen_now, [*chosen_now[:4], steps], **ACTION)
            events.after(opening, *around[:3], show_sets, show_menu, show_episodes, show_damage)
        opening, opened_policy = policies.wire(events, context, chooser, states, watcher)
        events.after(opening, *around, show_policies, *every_step, show_damage)
        ended = events.on(
            watcher.finished.change, opened_policy.handler, opened_policy.inputs, opened_policy.outputs, **QUICK
        )
        # in turn, for the policy may be another one now
        events.after(ended, adopt, *around, show_policies, *every_step, show_damage)
        for step, shown in (
            (demonstrations_step, (show_sets, show_upload, show_episodes)),
            (finetune_step, (show_finetune,)),
            (compare_step, (show_compare, show_trials)),
        ):
            for one in (*shown, show_damage):
                events.on(step.select, one.handler, one.inputs, one.outputs, draws=True, **QUICK)
    return page


def _say(event: Any, call: str, told: gr.HTML) -> None:
    """Call `call` of static/main.js in the browser, after an event."""
    event.then(None, None, None, js=f"() => {{ {components.main_script(call)} }}", show_progress_on=told)
