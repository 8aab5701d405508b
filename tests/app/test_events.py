"""Errors of events in words: queued ones as Gradio's toast, the others through a panel, so that they never fail."""

from __future__ import annotations

import asyncio
import errno
import json
import re
from collections.abc import Callable
from functools import partial
from html import unescape
from typing import Any

import gradio as gr
import pytest

from app.page import build
from app.questions.context import Context
from app.tabs.events import ACTION, QUICK, Events, in_words
from app.words import without_places
from steering.errors import InputError


def made(make: Callable[[], gr.Blocks]) -> gr.Blocks:
    """The page that `make` makes, in a running event loop: where none runs Gradio starts some and closes none."""

    async def run() -> gr.Blocks:
        return make()

    return asyncio.run(run())


def said(markup: str) -> str:
    """The words that static/shared/panel.js shows as a toast."""
    found = re.search(r'data-emit="notes" data-emitted="(.*?)"', markup)
    return json.loads(unescape(found[1]))[0] if found else ""


def handlers(context: Context, *functions: Any, how: dict[str, Any] = QUICK) -> list[Any]:
    """The functions as the events of a page, with as many outputs as they are given, each asked for by a browser."""

    def make() -> gr.Blocks:
        with gr.Blocks(analytics_enabled=False) as page:
            events = Events(context, gr.BrowserState(""), gr.HTML())
            button = gr.Button()
            for function, outputs in functions:
                events.on(button.click, function, None, [gr.HTML() for _ in range(outputs)], **how)
        return page

    return [(partial(event.fn, None, ""), event.outputs) for event in made(make).fns.values()]


def refuse() -> None:
    raise InputError("A <b>second</b> episode & more is needed. Record one.")


def test_a_quick_event_says_its_error_and_keeps_its_outputs(context: Context) -> None:
    [(nothing, first), (one, _), (two, last)] = handlers(context, (refuse, 0), (refuse, 1), (refuse, 2))
    assert len(first) == 1 and len(last) == 3
    assert said(nothing()) == "A <b>second</b> episode & more is needed. Record one."
    assert "<b>" not in nothing()
    assert [one()[0], *two()[:2]] == [gr.skip()] * 3 and said(one()[1]) == said(two()[2]) == said(nothing())
    assert nothing() != nothing()  # the same may be said again


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "Expected JSON in /srv/lab/policies/a/config.json; it is broken.",
            "Expected JSON in config.json; it is broken.",
        ),
        ("there is no folder '/data/x y/z'. Check", "there is no folder 'x y/z'. Check"),
        ("4 of 10, 3/4, 10 frames/s, lerobot/pi0_base and https://huggingface.co/a/b stay.", None),
        ("python -m steering import PATH, or assets/policy", None),
        ("Free some at /srv/me/.cache/hub/.", "Free some at a folder."),
    ],
)
def test_errors_name_files_and_not_where_they_lie(words: str, told: str | None) -> None:
    assert without_places(words) == (told or words)


def test_a_full_disk_is_said_and_not_a_matter_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    found = in_words(OSError(errno.ENOSPC, "No space left", "/srv/store/artefacts"))
    assert found.startswith("The disk is full (artefacts). Delete") and capsys.readouterr().err == ""


def test_a_quick_event_without_an_error_is_as_it_was(context: Context) -> None:
    [(nothing, _), (one, _), (two, _), (skips, _)] = handlers(
        context, (lambda: None, 0), (lambda: [1], 1), (lambda: (1, 2), 2), (gr.skip, 2)
    )
    assert [nothing(), one(), two()] == ["", [[1], ""], [1, 2, ""]]
    assert skips() == [gr.skip(), gr.skip(), ""]


def test_what_nobody_foresaw_is_said_and_logged(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    [(bare, _)] = handlers(context, (fail, 0))
    assert "did not foresee (RuntimeError)" in said(bare()) and "a bug" in capsys.readouterr().err
    with pytest.raises(gr.Error, match="did not foresee"):
        handlers(context, (fail, 0), how=ACTION)[0][0]()
    [(queued, outputs)] = handlers(context, (refuse, 1), how=ACTION)
    assert len(outputs) == 1
    with pytest.raises(gr.Error, match="&lt;b&gt;second"):
        queued()


def test_no_quick_event_of_the_page_fails(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    page = made(lambda: build(context))
    monkeypatch.setattr(context.policies, "using", refuse)
    private = [event for event in page.fns.values() if event.api_visibility == "private"]
    quick = [event for event in private if event.fn is not None and not event.queue]
    assert len(quick) > 30
    for event in quick:
        found = event.fn(None, *[None] * len(event.inputs))
        assert "did not foresee" in said(found if isinstance(found, str) else found[-1])


def test_a_drawing_that_began_before_a_press_was_answered_leaves_what_that_drew(context: Context) -> None:
    """As when the page opens, or a step: what it shows is on its way while something is pressed."""
    pressed: list[Callable[[gr.Request], Any]] = []

    def draw() -> list[str]:
        found = ["card as it was", "list as it was"]
        for press in pressed:
            press(gr.Request(session_hash="page"))
        return found

    def make() -> gr.Blocks:
        with gr.Blocks(analytics_enabled=False) as page:
            events, card, listed = Events(context, gr.BrowserState(""), gr.HTML()), gr.HTML(), gr.HTML()
            events.on(gr.Button().click, draw, None, [card, listed], draws=True, **QUICK)
            events.on(gr.Button().click, lambda: "trial 1", None, card, **ACTION)
            events.on(gr.Button().click, gr.skip, None, card, **ACTION)
            events.on(gr.Button().click, lambda: ["trial 2", gr.skip()], None, [card, listed], **ACTION)
        return page

    drawing, one, nothing, two = (event.fn for event in made(make).fns.values())
    here, elsewhere = gr.Request(session_hash="page"), gr.Request(session_hash="another page")
    assert drawing(here, "")[:2] == ["card as it was", "list as it was"]
    for press in (one, two):
        pressed[:] = [lambda sent_by, press=press: press(sent_by, "")]
        assert drawing(here, "")[:2] == [gr.skip(), "list as it was"]
        assert drawing(elsewhere, "")[:2] == ["card as it was", "list as it was"]
    pressed[:] = [lambda sent_by: nothing(sent_by, "")]
    assert drawing(here, "")[:2] == ["card as it was", "list as it was"], "a press that drew nothing"
    pressed.clear()
    assert drawing(here, "")[:2] == ["card as it was", "list as it was"], "what is asked for afterwards is newer"
