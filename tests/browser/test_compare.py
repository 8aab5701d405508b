"""Compare: votes before the labels show, pins, videos and the report to keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from .waiting import WITHIN_MS, eventually, films, opened, reload

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]


def test_labels_and_outcomes_show_after_the_vote(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(f"{sample_address}?tab=compare")
    player = page.get_by_test_id("rollout-player")
    expect(player).to_have_attribute("data-blind", "true")
    expect(player.locator("figcaption")).to_have_text(["Method A", "Method B", "Method C"])
    assert player.locator('[data-method="steering"], .wb-won').count() == 0
    page.get_by_test_id("vote").get_by_role("button", name="B", exact=True).click()
    expect(player).to_have_attribute("data-blind", "false")
    expect(player.locator("figcaption").first).to_contain_text("Zero-shot")
    expect(page.get_by_test_id("votes")).to_contain_text("You voted for")
    page.get_by_test_id("scene").nth(1).click()
    expect(player).to_have_attribute("data-blind", "true")
    reload(page)
    expect(page.get_by_test_id("votes")).to_contain_text("You voted for")
    page.get_by_test_id("scene").nth(1).click()
    page.get_by_test_id("show-labels").click()
    expect(player).to_have_attribute("data-blind", "false")
    expect(player.locator(".wb-dots .wb-won").first).to_be_visible()


def test_totals_wait_for_the_vote_and_a_square_plays_its_scene(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(f"{sample_address}?tab=compare")
    lead, squares = page.get_by_test_id("compare-lead"), page.get_by_test_id("squares")
    expect(page.get_by_test_id("veil")).to_be_visible()
    for hidden in (lead, page.get_by_test_id("success"), page.get_by_test_id("cells")):
        expect(hidden).to_be_hidden()
    expect(squares).to_have_count(0)
    page.get_by_test_id("vote").get_by_role("button", name="B", exact=True).click()
    expect(page.get_by_test_id("veil")).to_be_hidden()
    expect(lead).to_contain_text("of 10 scenes: no difference shown (p")
    expect(page.get_by_test_id("effects")).to_contain_text("points (")
    expect(squares.get_by_role("button")).to_have_count(30)
    expect(squares.locator(".wb-waits")).to_have_count(27)  # scenes that still have their own vote
    films(page)
    squares.get_by_role("button", name="LoRA, all heads, scene 4: vote first").click()
    page.wait_for_function("() => document.querySelector('[data-testid=rollout-player] video').currentTime > 0")
    expect(page.locator("[data-testid=scene][aria-pressed=true]")).to_contain_text("Scene 4")
    page.get_by_test_id("show-labels").click()
    expect(squares.locator(".wb-waits")).to_have_count(0)
    expect(squares.locator('[data-method="steering"] .wb-won')).to_have_count(8)


def test_scenes_that_differ_come_first_and_pinned_ones_before_them(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(f"{sample_address}?tab=compare")
    scenes = page.get_by_test_id("scene")
    expect(scenes.first).to_contain_text("they differ")
    expect(scenes.last).not_to_contain_text("they differ")
    last = scenes.last.inner_text().splitlines()[0]
    scenes.last.click()
    page.get_by_test_id("pin").click()
    expect(scenes.first).to_contain_text(f"★ {last}")
    reload(page)
    expect(scenes.first).to_contain_text(f"★ {last}")


def test_a_comparison_is_kept_as_one_page_that_opens_offline(
    open_page: OpenPage, browser: Browser, sample_address: str, tmp_path: Path
) -> None:
    page = open_page(f"{sample_address}?tab=compare")
    with page.expect_download() as waiting:
        page.get_by_test_id("report-comparison").click()
    report = tmp_path / "report.html"
    waiting.value.save_as(report)
    context = browser.new_context(offline=True)
    context.set_default_timeout(WITHIN_MS)
    offline = context.new_page()
    asked: list[str] = []
    offline.on("request", lambda request: asked.append(request.url) if request.url.startswith("http") else None)
    offline.goto(report.as_uri())
    expect(offline.locator("h1")).to_contain_text("place cube in bowl")
    expect(offline.get_by_test_id("verdict")).to_contain_text("no difference shown")
    expect(offline.locator("video")).to_have_count(24)
    offline.wait_for_function("() => [...document.querySelectorAll('video')].every(video => video.readyState > 0)")
    assert offline.locator("rect").count() == 128 and asked == []
    context.close()


def test_a_video_is_kept(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(f"{sample_address}?tab=compare")
    page.get_by_test_id("show-labels").click()
    with page.expect_download() as waiting:
        page.locator(".wb-keep").first.click()
    assert waiting.value.suggested_filename.endswith(".mp4")


def test_a_finetune_is_kept_as_one_page(open_page: OpenPage, sample_address: str, tmp_path: Path) -> None:
    page = open_page(f"{sample_address}?tab=finetune")
    with page.expect_download() as waiting:
        page.get_by_test_id("report").last.click()
    waiting.value.save_as(tmp_path / "run.html")
    text = (tmp_path / "run.html").read_text()
    assert "Held-out error" in text and "http" not in text.replace("http-equiv", "")


def test_a_leap_before_the_films_are_there_is_kept(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    held: list[Route] = []
    holding = [True]
    page.route("**/media/*.mp4", lambda route: held.append(route) if holding else route.continue_())
    opened(page, "Compare")
    bar = page.get_by_test_id("rollout-player").get_by_label("Time", exact=True)
    eventually(page, lambda: len(held), bool)
    bar.fill("500")
    holding.clear()
    for route in held:
        route.continue_()
    films(page)
    videos = page.get_by_test_id("rollout-player").locator("video")
    longest = "films => ['currentTime', 'duration'].map(name => Math.max(...films.map(film => film[name])))"
    eventually(page, lambda: videos.evaluate_all(longest), lambda read: abs(read[0] / read[1] - 0.5) < 0.01)
    expect(bar).to_have_value("500")
