"""Keys: the list of them, the steps, episodes and frames."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from .waiting import eventually, films, resting

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]


def test_question_mark_lists_the_keys(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.keyboard.press("?")
    shortcuts = page.get_by_test_id("shortcuts")
    expect(shortcuts).to_contain_text("Play or pause")
    page.keyboard.press("Escape")
    expect(shortcuts).to_be_hidden()
    page.get_by_role("button", name="Help: keys and words").click()
    expect(shortcuts).to_be_visible()
    shortcuts.get_by_role("button", name="Close").click()
    expect(shortcuts).to_be_hidden()


def test_a_word_opens_its_meaning_and_the_list_holds_all(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    meaning = page.get_by_test_id("meaning")
    inspector = page.get_by_test_id("head-inspector")
    inspector.get_by_role("button", name="Rank in its stack").click()
    expect(meaning).to_contain_text("1 is the most relevant")
    page.keyboard.press("Escape")
    expect(meaning).to_be_hidden()
    page.locator(".wb-legend").get_by_role("button", name="inert").click()
    expect(meaning).to_contain_text("cannot move an action")
    box = resting(meaning)
    assert box["x"] >= 0 and box["x"] + box["width"] <= 1440 and box["y"] + box["height"] <= 900
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    words = page.get_by_test_id("glossary").locator("div")
    known = page.evaluate("() => Object.keys(wb.glossary).length")
    assert known > 40
    expect(words).to_have_count(known)


def test_numbers_open_steps_and_brackets_open_episodes(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.keyboard.press("]")
    expect(page.get_by_test_id("frame-player").locator("select")).to_have_value("1")
    page.keyboard.press("[")
    expect(page.get_by_test_id("frame-player").locator("select")).to_have_value("0")
    page.keyboard.press("5")
    expect(page.get_by_test_id("lessons")).to_be_visible()
    page.keyboard.press("3")
    steps = page.locator("[name=steps]")
    steps.fill("")
    steps.press("2")  # typing a number into a field is not a step
    expect(steps).to_have_value("2")
    expect(page.get_by_test_id("finetune-start")).to_be_visible()


def test_keys_move_the_frames_after_a_click_on_a_button(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    player = page.get_by_test_id("frame-player")
    player.get_by_role("button", name="State").click()
    page.keyboard.press("ArrowRight")
    expect(player).to_contain_text("2 / 72")
    player.locator(".wb-switch").click()
    page.keyboard.press("Shift+ArrowRight")
    expect(player).to_contain_text("12 / 72")
    play = player.get_by_role("button", name="Play")
    play.focus()
    page.keyboard.press("Space")  # presses the button, and is not a second command
    page.wait_for_function("() => wb.state.frame > 14")


def test_space_and_arrows_move_the_rollouts(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(f"{sample_address}?tab=compare")
    first = page.get_by_test_id("rollout-player").locator("video").first
    films(page)
    page.keyboard.press("Shift+ArrowRight")
    times = eventually(page, lambda: first.evaluate("video => video.currentTime"), lambda at: at > 0)
    assert times == pytest.approx(1, abs=0.05)
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('[data-testid=rollout-player] video')?.currentTime > 1.2")
