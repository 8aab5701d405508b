"""Lessons: predict, act on the real controls, reveal."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
Cell = Callable[[Page, str, int, int], Locator]


def start(page: Page, lesson: str, choice: str) -> Locator:
    page.locator(f"[data-lesson={lesson}]").click()
    card = page.get_by_test_id("lesson")
    card.locator(f"[data-choice={choice}]").click()
    expect(page.get_by_test_id("head-map")).to_be_visible()  # the lesson opens the step it needs
    return card


def test_what_a_head_is(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(f"{sample_address}?tab=learn")
    card = start(page, "head", "exterior")
    expect(page.get_by_test_id("reveal")).to_have_count(0)
    page.wait_for_function("() => wb.state.attention !== null")
    page.get_by_test_id("scrubber").focus()
    for _ in range(11):
        page.keyboard.press("ArrowRight")
    expect(card.locator("[data-state=done]")).to_have_count(1)
    page.reload()  # a lesson goes on where it stopped
    page.wait_for_selector("html[data-ready='1']")
    expect(card.locator("[data-state=done]")).to_have_count(1)
    cell(page, "vlm", 2, 2).click()
    expect(page.get_by_test_id("reveal")).to_contain_text("of its attention on average")
    card.get_by_role("button", name="Next").click()
    expect(card).to_contain_text("plain clock")
    page.keyboard.press("Escape")
    expect(card).to_have_count(0)
    page.get_by_role("tab", name="Learn").click()
    expect(page.get_by_test_id("lessons").locator("li").first).to_contain_text("done")


def test_baseline_and_inert_heads_are_read_from_the_data(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(f"{sample_address}?tab=learn")
    start(page, "baseline", "little")
    for head in range(3):
        cell(page, "expert", 1, head).click()
    reveal = page.get_by_test_id("reveal")
    expect(reveal).to_contain_text("You were right")  # 1 - 0.17 / 0.2
    expect(reveal).to_contain_text("clock alone explains 15 %")
    page.keyboard.press("5")
    start(page, "inert", "first")
    cell(page, "vlm", 7, 2).click()
    expect(reveal).to_contain_text("Not so: The last")
    expect(reveal).to_contain_text("8 heads are inert")


def test_choosing_heads(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(f"{sample_address}?tab=learn")
    card = start(page, "choose", "tenth")
    beside = page.locator('[data-testid="measure-beside"] option').nth(1)
    page.get_by_test_id("measure-line").click()
    page.get_by_test_id("measure-beside").select_option(beside.get_attribute("value"))
    expect(page.locator(".wb-split")).to_have_count(120)
    expect(card.locator("[data-state=done]")).to_have_count(0)  # the map was drawn anew, and nothing chosen
    page.get_by_test_id("auto-select").click()
    expect(card.locator("[data-state=done]")).to_have_count(1)
    cell(page, "expert", 1, 1).click(modifiers=["Control"])
    expect(card.locator("[data-state=done]")).to_have_count(2)
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function(
        """() => {
          const { parameters, lora } = document.querySelector("[data-testid=what-if]").dataset;
          const said = document.querySelector("[data-testid=reveal]").textContent;
          return [parameters, lora].every((count) => said.includes(wb.whole(Number(count))));
        }"""
    )  # of the set that is selected now, as the server counts it


def test_a_difference_needs_six_scenes(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(f"{sample_address}?tab=learn")
    page.locator("[data-lesson=evidence]").click()
    card = page.get_by_test_id("lesson")
    card.locator("[data-choice=six]").click()
    vote = page.get_by_test_id("vote").get_by_role("button", name="A", exact=True)
    vote.click()  # of a scene that was not watched
    page.wait_for_timeout(300)
    expect(card.locator("[data-state=done]")).to_have_count(0)
    page.get_by_test_id("scene").nth(1).click()  # plays
    expect(card.locator("[data-state=done]")).to_have_count(1)
    vote.click()
    expect(page.get_by_test_id("reveal")).to_contain_text("You were right")


@pytest.mark.slow
def test_training_and_its_control_are_told_from_the_runs(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(f"{sample_address}?tab=learn")
    page.locator("[data-lesson=train]").click()
    card, reveal = page.get_by_test_id("lesson"), page.get_by_test_id("reveal")
    card.locator("[data-choice=lora]").click()
    train(page)
    expect(card.locator("[data-state=done]")).to_have_count(1)
    expect(reveal).to_contain_text(re.compile(r"Robotic Steering \d+\.\d{3}, LoRA \d+\.\d{3}"), timeout=240_000)
    card.get_by_role("button", name="Next: Compare with a control").click()
    card.locator("[data-choice=same]").click()
    page.get_by_role("tab", name="Heads").click()
    page.locator("[name=rule]").select_option("random")
    page.get_by_test_id("auto-select").click()
    expect(card.locator("[data-state=done]")).to_have_count(1)
    page.get_by_role("tab", name="Finetune").click()
    train(page)
    expect(reveal).to_contain_text(re.compile(r"Random heads: \d+\.\d{3}"), timeout=240_000)


def train(page: Page) -> None:
    page.locator("[name=steps]").fill("10")
    page.locator("[name=batch_size]").select_option("8")
    page.get_by_test_id("finetune-start").click()
