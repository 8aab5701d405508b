"""Trials on a robot by keys: planned, recorded with a note and a photograph, taken back, in the page of one's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .waiting import reload

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]


@pytest.mark.slow
def test_an_operator_records_trials_by_keys(open_page: OpenPage, sample_address: str, tmp_path: Path) -> None:
    page = open_page(f"{sample_address}?tab=compare")
    card = page.get_by_test_id("trials")
    card.locator("summary").click()
    card.get_by_label("Name").fill("cups")
    card.get_by_label("Stages of progress").fill("grasped, lifted")
    for method in ("Zero-shot", "Robotic Steering"):
        card.get_by_label(method).check()
    card.get_by_label("LoRA, all heads").uncheck()
    card.get_by_test_id("trials-plan").click()
    now = page.get_by_test_id("trials-now")
    expect(now).to_contain_text("Trial 1 of at most 80")
    assert re.fullmatch("[AB]", now.locator("b").inner_text())
    page.locator("h1, h2").first.scroll_into_view_if_needed()
    page.evaluate("scrollTo(0, 0)")
    page.keyboard.press("s")  # out of view, nobody means it
    page.get_by_test_id("trials-success").scroll_into_view_if_needed()
    expect(now).to_contain_text("Trial 1 of")

    photograph = tmp_path / "cup.png"
    photograph.write_bytes(b"\x89PNG")
    page.get_by_test_id("trials-file").set_input_files(photograph)
    expect(page.get_by_test_id("trials-media")).to_contain_text("With cup.png")
    page.keyboard.press("n")
    page.keyboard.type("fast")  # letters of a note are no keys
    page.keyboard.press("Enter")
    card.get_by_text("Nothing", exact=True).click()
    page.keyboard.press("f")
    expect(now).to_contain_text("Trial 2 of at most 80")
    expect(card.get_by_label("Note")).to_have_value("")
    expect(page.get_by_test_id("trials-file")).to_be_visible()
    page.keyboard.press("s")
    expect(now).to_contain_text("Trial 3 of")
    expect(page.get_by_test_id("trials-verdict").first).to_contain_text("go on")
    page.keyboard.press("u")
    expect(now).to_contain_text("Trial 2 of")
    page.keyboard.press("v")
    expect(card.get_by_label("Not said")).to_be_checked()
    expect(now).to_contain_text("Trial 2 of")

    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    page.get_by_test_id("trials-file").set_input_files(notes)
    expect(page.get_by_text("Expected a photograph or film").first).to_be_visible()
    reload(page)
    expect(now).to_contain_text("Trial 2 of")
    assert "Zero-shot" not in card.inner_text() and "Steering" not in card.inner_text()
    page.get_by_test_id("trials-unblind").click()
    expect(card).to_contain_text("Robotic Steering against Zero-shot")
    page.get_by_test_id("trials-leave").click()
    expect(card.get_by_test_id("trials-open")).to_be_visible()
