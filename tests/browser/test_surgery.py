"""Head surgery on the page: what to do is chosen and asked, and what was found shows as a sentence with films."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from .waiting import eventually, no_job, said

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]


def operate(page: Page, factor: str, from_s: int, scenes: int) -> Locator:
    """Asks for a surgery of the selected heads; its job's line."""
    menu = page.get_by_test_id("surgery-menu")
    menu.locator("summary").click()
    menu.locator("[name=factor]").select_option(factor)
    for name, value in (("from", from_s), ("scenes", scenes)):
        knob = menu.locator(f"[name={name}]")
        knob.evaluate("(s, v) => { s.value = v; s.dispatchEvent(new Event('input', { bubbles: true })); }", value)
    page.get_by_test_id("operate").click()
    expect(menu.locator("[name=factor]")).to_be_hidden()  # the job's line stands below the menu
    return page.get_by_test_id("job").filter(has_text="Running scenes with heads changed")


def asked(page: Page, address: str) -> dict[str, Any]:
    """The newest job, as the public question tells it."""
    answer = page.request.post(f"{address}gradio_api/run/jobs", data=json.dumps({"data": [""]}), headers=JSON)
    return answer.json()["data"][0][0]


JSON = {"Content-Type": "application/json"}


def test_a_kind_is_chosen_asked_for_and_stopped(open_page: OpenPage, measures_address: str) -> None:
    page = open_page(measures_address)
    no_job(page)
    job = operate(page, "-1", 2, 6)
    expect(job).to_be_visible()
    found = asked(page, measures_address)
    assert found["function"] == "operate" and len(found["arguments"]["heads"]) == 20
    told = {name: found["arguments"][name] for name in ("factor", "from_s", "trials", "task")}
    assert told == {"factor": -1, "from_s": 2, "trials": 6, "task": "place_cube_in_bowl"}
    job.get_by_role("button", name="Stop").click()
    ended = page.locator(".wb-job", has_text="Running scenes with heads changed")
    expect(ended).to_contain_text(re.compile("stopping at the next step|stopped"))
    no_job(page)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#header")).to_contain_text("none selected")
    operate(page, "0", 1, 2)
    said(page, "Select heads on the map first")


def test_a_finished_surgery_is_a_sentence_with_films_side_by_side(open_page: OpenPage, measures_address: str) -> None:
    page = open_page(measures_address)
    card = page.get_by_test_id("surgery")
    card.scroll_into_view_if_needed()
    expect(card).to_contain_text("3 heads silenced from 1 s on: 2 of 10 scenes instead of 9")
    expect(card.locator("li")).to_have_count(3)
    expect(card.locator("figcaption")).to_have_text(["Zero-shot", "Heads changed", "Control: other heads, same norm"])
    page.get_by_test_id("play-films").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-testid=surgery] video')].every((film) => film.currentTime > 0.2)"
    )
    expect(card.locator("video")).to_have_count(3)
    page.set_viewport_size({"width": 390, "height": 844})
    expect(card).to_be_visible()
    widest = "(c) => Math.max(...[...c.querySelectorAll('*')].map((o) => o.getBoundingClientRect().right))"
    eventually(page, lambda: card.evaluate(widest), lambda right: right <= 390)


@pytest.mark.slow
def test_a_surgery_runs_and_its_card_takes_its_place(open_page: OpenPage, measures_address: str) -> None:
    page = open_page(measures_address)
    operate(page, "2", 1, 2)
    card = page.get_by_test_id("surgery")
    expect(card).to_contain_text(
        re.compile(r"20 heads doubled from 1 s on: \d of 2 scenes instead of"), timeout=300_000
    )
    expect(card.locator("video")).to_have_count(3)
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-testid=surgery] video')].every((film) => film.readyState > 0)"
    )
