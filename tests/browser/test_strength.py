"""An adapter's strength in Chromium: the slider reads what was run, and more is run as a job that can be stopped."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .waiting import eventually, no_job, resting

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]


def test_the_slider_reads_the_trade(open_page: OpenPage, measures_address: str, tmp_path: Path) -> None:
    page = open_page(f"{measures_address}?tab=compare")
    card = page.get_by_test_id("strength")
    expect(page.get_by_test_id("strength-lead")).to_contain_text("place cube in bowl, its own task, 7 instead of 2")
    knob, now = page.get_by_test_id("strength-knob"), card.locator("tr[aria-current]")
    expect(now).to_contain_text("7 of 10")
    knob.focus()
    page.keyboard.press("ArrowLeft")
    expect(now).to_contain_text("6 of 10")
    expect(now).to_contain_text("31–83 %")
    expect(now).to_have_count(1)
    background = "(row) => getComputedStyle(row).backgroundColor"
    eventually(page, lambda: now.evaluate(background), lambda colour: colour != "rgba(0, 0, 0, 0)")
    expect(card.locator("[data-share]")).to_have_text("0.5")
    expect(knob).to_have_attribute("aria-valuetext", "0.5")
    here, dot = resting(card.locator("[data-here]")), resting(card.locator("g[data-known='1'] circle").nth(1))
    assert here["x"] == pytest.approx(dot["x"], abs=12)
    with page.expect_download() as waiting:
        card.get_by_role("button", name="CSV").click()
    waiting.value.save_as(tmp_path / "kept.csv")
    rows = list(csv.DictReader((tmp_path / "kept.csv").read_text().splitlines()))
    assert [row["Strength"] for row in rows] == ["0.0", "0.5", "1.0"]
    assert [row["push successes"] for row in rows] == ["8", "7", "3"]


def test_more_is_run_as_a_job_that_can_be_stopped(open_page: OpenPage, measures_address: str) -> None:
    page = open_page(f"{measures_address}?tab=compare")
    no_job(page)
    card = page.get_by_test_id("strength")
    card.locator("[name=adapter]").select_option(label="LoRA, all heads")
    card.locator("[name=shares]").select_option("quarters")
    page.get_by_test_id("strength-start").click()
    job = page.get_by_test_id("job").filter(has_text="Running an adapter at several strengths")
    expect(job.get_by_role("progressbar")).to_be_visible()
    job.get_by_role("button", name="Stop").click()
    ended = page.locator(".wb-job", has_text="Running an adapter at several strengths")
    expect(ended).to_contain_text(re.compile("stopping at the next step|stopped"))
    no_job(page)
