"""Lessons: predict, act on the real controls, reveal; in a column that covers nothing and outlives a reload."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect

from .waiting import WORKS_MS, addressed, eventually, films, reload, resting, settled, stands

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
Cell = Callable[[Page, str, int, int], Locator]
REQUESTED = "() => performance.getEntriesByType('resource').map(one => one.name)"


def start(page: Page, lesson: str, choice: str) -> Locator:
    """Start a lesson from the list and predict."""
    page.locator(f"[data-lesson={lesson}]").click()
    column = page.get_by_test_id("lesson")
    column.locator(f"[data-choice={choice}]").click()
    expect(page.get_by_test_id("head-map")).to_be_visible()  # the lesson opens the step it needs
    return column


def reveal(page: Page) -> Locator:
    page.get_by_role("button", name="Show the answer").click()
    return page.get_by_test_id("reveal")


def test_nothing_of_lessons_comes_before_they_are_asked_for(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    assert not [one for one in page.evaluate(REQUESTED) if "/learn/" in one or "lessons" in one]
    page.get_by_role("tab", name="Learn").click()
    expect(page.get_by_test_id("lessons").locator("li")).to_have_count(7)


def test_what_a_head_is(open_page: OpenPage, sample_address: str, cell: Cell, tmp_path: Path) -> None:
    page = open_page(f"{sample_address}?lesson=head")
    column = page.get_by_test_id("lesson")
    expect(column).to_contain_text("the best of the selected heads")
    sentence = page.locator(".wb-sentence")
    expect(sentence).to_be_hidden()  # it says where the head looks
    column.locator("[data-choice=state]").click()
    expect(sentence).to_be_visible()
    page.wait_for_function("() => wb.state.attention !== null")
    page.get_by_test_id("scrubber").focus()
    for _ in range(11):
        page.keyboard.press("ArrowRight")
    done = column.locator("[data-state=done]")
    expect(done).to_have_count(1)
    page.keyboard.press("Escape")
    expect(column).to_be_visible()
    reload(page)  # a lesson goes on where it stopped, also in a second tab
    expect(done).to_have_count(1)
    second = page.context.new_page()
    second.goto(sample_address)
    stands(second)
    expect(second.get_by_test_id("lesson").locator("[data-state=done]")).to_have_count(1)
    column.get_by_role("button", name="Change").click()
    column.locator("[data-choice=actions]").click()
    expect(second.get_by_test_id("lesson")).to_contain_text("You predict: At action tokens")
    second.close()
    cell(page, "vlm", 2, 2).click()
    shown = reveal(page)
    expect(shown).to_contain_text("of its attention to")
    expect(page.get_by_test_id("why-not")).to_contain_text("only heads of the action expert can see action tokens")
    expect(shown.get_by_role("img")).to_have_accessible_name(
        re.compile("Exterior camera .* Action tokens .*, your prediction")
    )
    expect(column.get_by_role("button", name="Change")).to_have_count(0)
    column.get_by_role("button", name="Next").click()
    expect(column).to_contain_text("below 0 is worse than that")  # before any number below 0 is shown
    column.get_by_role("button", name="Close the lesson").click()
    expect(column).to_have_count(0)
    addressed(page, lambda query: "lesson" not in query)
    page.get_by_role("tab", name="Learn").click()
    expect(page.get_by_test_id("lessons").locator("li").first).to_contain_text("done")
    known = page.get_by_test_id("summary")
    expect(known).to_contain_text("0 of 1 predictions were right")
    with page.expect_download() as kept:
        known.get_by_role("button", name="Keep").click()
    kept.value.save_as(tmp_path / "known.html")
    text = (tmp_path / "known.html").read_text("utf-8")
    assert "I predicted: At action tokens. Not so:" in text and text.count("<svg") == 1


def test_baseline_and_inert_heads_are_read_from_the_data(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(f"{sample_address}?tab=learn")
    start(page, "baseline", "little")
    for head in range(3):
        cell(page, "expert", 1, head).click()
    shown = reveal(page)
    expect(shown).to_contain_text("You were right")  # 1 - 0.17 / 0.2
    expect(shown).to_contain_text("the clock alone explains 15\u00a0%")
    page.keyboard.press("5")
    page.locator("[data-lesson=inert]").click()
    page.keyboard.press("2")
    expect(page.get_by_test_id("head-map")).to_be_hidden()  # its stripes are the answer
    page.locator("[data-choice=first]").click()
    cell(page, "vlm", 7, 2).click()
    reveal(page)
    expect(shown).to_contain_text("Not so: the last")
    expect(page.get_by_test_id("why-not")).to_contain_text("read by every layer above")
    expect(shown).to_contain_text("its 8 heads are inert")
    expect(shown.get_by_role("img")).to_have_accessible_name(re.compile("8 inert heads, in layer 7 of 8"))


def test_choosing_heads(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(f"{sample_address}?tab=learn")
    column = start(page, "choose", "half")
    beside = page.locator('[data-testid="measure-beside"] option').nth(1)
    page.get_by_test_id("measure-line").click()
    page.get_by_test_id("measure-beside").select_option(beside.get_attribute("value"))
    expect(page.locator(".wb-split")).to_have_count(120)
    expect(column.locator("[data-state=done]")).to_have_count(0)  # the map was drawn anew, and nothing chosen
    page.get_by_test_id("auto-select").click()
    expect(column.locator("[data-state=done]")).to_have_count(1)
    cell(page, "expert", 1, 1).click(modifiers=["Control"])
    expect(column.locator("[data-state=done]")).to_have_count(2)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_test_id("selection-summary")).to_contain_text("20 heads selected")
    settled(page)
    page.wait_for_function("() => wb.state.cost")  # of these 20, not of the set before
    shown = reveal(page)
    parameters, lora = (page.get_by_test_id("what-if").get_attribute(f"data-{name}") for name in ("parameters", "lora"))
    for count in (parameters, lora):
        expect(shown).to_contain_text(f"{int(count or 0):,}")
    expect(shown).not_to_contain_text("forget")


def test_a_difference_needs_six_scenes(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(f"{sample_address}?tab=learn")
    page.locator("[data-lesson=evidence]").click()
    column = page.get_by_test_id("lesson")
    column.locator("[data-choice=four]").click()
    done = column.locator("[data-state=done]")
    films(page)  # before, there is nowhere to leap to
    page.get_by_label("Time", exact=True).fill("990")  # leapt to the end: not watched
    page.wait_for_function(
        "() => [...document.querySelectorAll('.wb-videos video')].some(video => video.currentTime > 0)"
    )
    vote = page.get_by_test_id("vote").get_by_role("button", name="A", exact=True)
    vote.click()
    expect(done).to_have_count(0)
    page.get_by_test_id("scene").nth(1).click()  # plays
    expect(done).to_have_count(1)
    page.get_by_test_id("scene").nth(2).click()
    vote.click()  # of a scene that was not watched
    expect(page.get_by_test_id("lesson-hint")).to_contain_text("Vote on the scene that you played")
    page.get_by_test_id("vote-again").click()
    page.get_by_test_id("scene").nth(1).click()
    vote.click()
    shown = reveal(page)
    expect(page.get_by_test_id("why-not")).to_contain_text("an eighth of all tries")
    expect(shown).to_contain_text(re.compile(r"In scene \d+ you voted for .*differ in \d+ of \d+ scenes"))
    expect(page.get_by_test_id("lesson").get_by_test_id("summary")).to_contain_text("0 of 1 predictions")


@pytest.mark.parametrize(
    ("width", "height"), [(1280, 720), pytest.param(820, 1000, marks=pytest.mark.slow), (390, 844)]
)
def test_the_lesson_covers_nothing_that_it_speaks_of(
    open_page: OpenPage, sample_address: str, width: int, height: int
) -> None:
    page = open_page(f"{sample_address}?lesson=choose", width=width, height=height)
    page.locator("[data-choice=tenth]").click()
    column, target = page.get_by_test_id("lesson"), page.get_by_test_id("auto-select")

    def clear(boxes: tuple[FloatRect, FloatRect]) -> bool:
        around, pointed = boxes
        bottom, right = (height, around["x"]) if width >= 1100 else (around["y"], width)
        inside = pointed["y"] >= 0 and pointed["y"] + pointed["height"] <= bottom
        return inside and pointed["x"] + pointed["width"] <= right

    eventually(page, lambda: (resting(column), resting(target)), clear)  # once it has scrolled there
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
    bottom = "() => document.querySelector('#steps').getBoundingClientRect().bottom"
    eventually(page, lambda: page.evaluate(bottom), lambda last: width >= 1100 or last <= resting(column)["y"])


def test_the_lesson_is_reached_by_keys(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(f"{sample_address}?lesson=baseline", width=820, height=1000)
    column = page.get_by_test_id("lesson")
    expect(column).to_be_visible()
    page.keyboard.press("l")
    expect(column).to_be_focused()
    page.keyboard.press("Tab")
    expect(column.get_by_role("button", name="Fold the lesson's sheet")).to_be_focused()
    page.keyboard.press("Enter")
    expect(column.locator("[data-choice]").first).to_be_hidden()
    expect(column.get_by_role("button", name="Open the lesson's sheet")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(column).to_contain_text("You predict: Nothing")


@pytest.mark.slow
def test_training_and_its_control_are_told_from_ones_own_runs(open_page: OpenPage, working_address: str) -> None:
    page = open_page(f"{working_address}?tab=learn")
    page.locator("[data-lesson=train]").click()
    column = page.get_by_test_id("lesson")
    column.locator("[data-choice=tie]").click()
    train(page, 60)
    expect(page.get_by_test_id("lesson-hint")).to_contain_text("set Steps to 40 or fewer")
    expect(column.locator("[data-state=done]")).to_have_count(0)  # and the results of others do not count
    stop = page.get_by_test_id("job").get_by_role("button", name="Stop", exact=True)
    expect(stop).to_have_count(2)
    stop.evaluate_all("(buttons) => buttons.forEach((one) => one.click())")
    expect(stop).to_have_count(0)
    train(page, 10)
    expect(column.locator("[data-state=done]")).to_have_count(1)
    reload(page)  # in the middle of a run
    expect(column.locator("[data-state=done]")).to_have_count(2, timeout=WORKS_MS)
    shown = reveal(page)
    expect(shown).to_contain_text(
        re.compile(r"After 10 steps of yours Robotic Steering is at \d+\.\d{3}, LoRA at \d+\.\d{3}")
    )
    column.get_by_role("button", name="Next: Compare with a control").click()
    column.locator("[data-choice=same]").click()
    page.get_by_role("tab", name="Finetune").click()
    page.locator("[name=methods][value=random]").check()
    train(page, 10)
    expect(column.locator("[data-state=done]")).to_have_count(2, timeout=WORKS_MS)
    reveal(page)
    expect(shown).to_contain_text(re.compile(r"After 10 steps: chosen heads \d+\.\d{3}, random heads \d+\.\d{3}"))


def train(page: Page, steps: int) -> None:
    page.locator("[name=steps]").fill(str(steps))
    page.locator("[name=batch_size]").select_option("8")
    page.get_by_test_id("finetune-start").click()
