"""Opening another task does not keep the set of heads; where a set comes from is said, and travels in the link."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from steering.types import Origin

from .waiting import addressed, settled

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
Cell = Callable[[Page, str, int, int], Locator]
BEST = "Best heads by k-NN (paper) on place cube in bowl, "


def open_set(page: Page, name: str) -> None:
    page.get_by_role("tab", name="Demonstrations").click()
    page.locator(".wb-set", has_text=name).locator("[data-action=open]").click()


def test_another_task_does_not_keep_the_heads_and_one_s_own_come_back(
    open_page: OpenPage, sample_address: str, cell: Cell
) -> None:
    page = open_page(sample_address)
    said = page.get_by_test_id("origin")
    expect(said).to_contain_text(BEST)
    cell(page, "expert", 3, 3).click(modifiers=["Control"])
    expect(said).to_contain_text("; changed by hand since.")
    expect(page.locator("#header")).to_contain_text("21 selected")
    open_set(page, "Press button")
    expect(page.locator("#header")).to_contain_text("none selected")
    addressed(page, lambda query: query.get("heads") == ["none"] and "origin" not in query)
    page.get_by_role("tab", name="Finetune").click()
    expect(page.locator("[data-slot=cost-steering]")).to_contain_text("Select heads")
    open_set(page, "Place cube in bowl")
    expect(page.locator("#header")).to_contain_text("21 selected")
    expect(said).to_contain_text("; changed by hand since.")
    expect(cell(page, "expert", 3, 3)).to_have_attribute("aria-selected", "true")


def test_a_link_restores_where_the_set_comes_from(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(sample_address)
    cell(page, "expert", 3, 3).click(modifiers=["Control"])
    expect(page.get_by_test_id("origin")).to_contain_text("changed by hand since")
    addressed(page, lambda query: query["origin"][0].startswith("top_k"))
    settled(page)
    words = page.get_by_test_id("origin").inner_text()
    other = open_page(page.url)
    expect(other.get_by_test_id("origin")).to_have_text(words)
    expect(other.locator('[data-name="Heads"]')).to_have_attribute("title", words.removesuffix("."))


def test_heads_of_another_task_are_named_wherever_they_are_used(
    open_page: OpenPage, sample_address: str, tmp_path: Path
) -> None:
    page = open_page(sample_address)
    origin = Origin("top_k", "knn", "default", demonstrations="demonstrations-elsewhere", name="press_button")
    origin_fields = {**vars(origin), "date": "2026-11-02"}
    file = tmp_path / "heads.json"
    file.write_text(json.dumps({"trainable_head_indices": [[3, 1], [4, 2]], "origin": origin_fields}))
    page.locator("[data-testid=head-map]").locator("xpath=..").locator("input[type=file]").set_input_files(file)
    said = page.get_by_test_id("origin")
    expect(said).to_contain_text("Best heads by k-NN (strict) on press button, 2026-11-02.")
    expect(said).to_contain_text("Its heads were chosen on press button")
    expect(page.locator('[data-name="Heads"]')).to_contain_text("2 from press button")
    page.get_by_role("tab", name="Finetune").click()
    card = page.locator("[data-slot=cost-steering]")
    expect(card.get_by_test_id("origin-steering")).to_have_text(
        "Best heads by k-NN (strict) on press button, 2026-11-02"
    )
    expect(card).to_contain_text("the held-out episodes had no part in the choice")
    expect(page.get_by_test_id("finetune-results")).to_contain_text("Chosen by hand beside k-NN (paper) on place cube")
    page.get_by_role("tab", name="Compare").click()
    expect(page.get_by_test_id("origins")).to_contain_text("Robotic Steering: 20 heads. Chosen by hand beside k-NN")
    expect(page.get_by_test_id("form-origins")).to_contain_text("Robotic Steering: 20 heads.")

    file.write_text(json.dumps({"trainable_head_indices": [[3, 1]]}))
    page.get_by_role("tab", name="Heads").click()
    page.locator("[data-testid=head-map]").locator("xpath=..").locator("input[type=file]").set_input_files(file)
    expect(said).to_contain_text("origin unknown.")
    expect(said).to_contain_text("It is not known on what its heads were chosen")
