"""Forms of a panel: what a visitor set stays with its field when the server draws the form anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from app.views.templates import Macros

pytestmark = pytest.mark.browser
STATIC = Path(__file__).parents[2] / "app/static"
PIECES = Macros("pieces.html")
SHELL = """() => { document.body.innerHTML = "<div id=panel></div>"; }"""
MOUNT = """async () => {
  const { panel } = await import("/shared/panel.js");
  panel(document.getElementById("panel"), {}, () => {}, (name, drawn) => { window.drawn = drawn; });
}"""
# The page's drawing in small: nodes of the same place are kept, and only attributes that differ are written.
DRAW = """(markup) => {
  const put = (old, made) => {
    if (old.nodeName !== made.nodeName || old.nodeType !== 1) return old.replaceWith(made.cloneNode(true));
    for (const { name } of [...old.attributes]) if (!made.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of made.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const before = [...old.childNodes], after = [...made.childNodes];
    for (let i = 0; i < Math.max(before.length, after.length); i++) {
      if (!before[i]) old.append(after[i].cloneNode(true));
      else if (!after[i]) before[i].remove();
      else put(before[i], after[i]);
    }
  };
  const made = document.createElement("div");
  made.id = "panel";
  made.innerHTML = markup;
  put(document.getElementById("panel"), made);
  window.drawn?.();
}"""


def form(methods: dict[str, bool], scenes: int = 10, task: str = "lift", look: str = "map") -> str:
    return (
        PIECES.checks("methods", "Methods", [(name, name, on, True) for name, on in methods.items()])
        + PIECES.slider("trials", "Scenes", 2, 40, scenes)
        + PIECES.choice("task", "Task", [("lift", "Lift"), ("push", "Push"), ("press", "Press")], task)
        + PIECES.segments("look", "Look", [("map", "Map"), ("list", "List"), ("plot", "Plot")], look)
    )


def serve(route: Route) -> None:
    """The scripts as they lie in static/, below an empty page."""
    path = STATIC / route.request.url.removeprefix("http://page.test/")
    if path.is_file():
        route.fulfill(path=path, content_type="text/javascript")
    else:
        route.fulfill(body="<!doctype html>", content_type="text/html")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.route("http://page.test/**", serve)
    page.goto("http://page.test/")
    page.evaluate(SHELL)
    page.evaluate(DRAW, form({"lora": True, "steering": True}))
    page.evaluate(MOUNT)
    yield page
    context.close()


def set_everything(page: Page) -> None:
    page.get_by_label("lora").uncheck()
    page.locator("[name=trials]").fill("3")
    page.locator("[name=task]").select_option("push")
    page.get_by_label("List").check()


def test_what_was_set_stays_with_its_field(page: Page) -> None:
    set_everything(page)
    page.evaluate(DRAW, form({"random": True, "lora": True, "steering": True}))
    for name, on in (("random", True), ("lora", False), ("steering", True)):
        expect(page.get_by_label(name)).to_be_checked(checked=on)
    expect(page.locator("[name=trials]")).to_have_value("3")
    expect(page.locator("output")).to_have_text("3")
    expect(page.locator("[name=task]")).to_have_value("push")
    expect(page.get_by_label("List")).to_be_checked()


def test_a_new_choice_of_the_server_wins(page: Page) -> None:
    set_everything(page)
    page.evaluate(DRAW, form({"lora": False, "steering": True}, scenes=20, task="press", look="plot"))
    expect(page.locator("[name=trials]")).to_have_value("20")
    expect(page.locator("output")).to_have_text("20")
    expect(page.locator("[name=task]")).to_have_value("press")
    expect(page.get_by_label("Plot")).to_be_checked()


def test_a_form_that_was_gone_is_fresh(page: Page) -> None:
    set_everything(page)
    page.evaluate(DRAW, "<p>Nothing here</p>")
    page.evaluate(DRAW, form({"lora": True, "steering": True}))
    expect(page.get_by_label("lora")).to_be_checked()
    expect(page.locator("[name=trials]")).to_have_value("10")
    expect(page.locator("[name=task]")).to_have_value("lift")
    expect(page.get_by_label("Map")).to_be_checked()
