"""The link restores the screen, and a hostile one does no harm."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, quote, urlparse

import pytest
from playwright.sync_api import Locator, Page, expect

from .waiting import addressed, said

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
Cell = Callable[[Page, str, int, int], Locator]


def test_the_copied_link_restores_episode_frame_head_set_and_step(
    open_page: OpenPage, sample_address: str, cell: Cell
) -> None:
    page = open_page(sample_address)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_test_id("frame-player").locator("select").select_option("2")
    page.wait_for_url("**episode=2**")
    expect(page.get_by_test_id("frame-player")).to_contain_text("1 / 78")
    cell(page, "expert", 3, 3).click(modifiers=["Control"])
    expect(page.locator("#header")).to_contain_text("21 selected")
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowRight")
    page.get_by_test_id("copy-link").click()
    said(page, "Link copied")
    link = page.evaluate("() => navigator.clipboard.readText()")
    query = parse_qs(urlparse(link).query)
    assert query["frame"] == ["11"] and query["episode"] == ["2"] and query["head"] == [str(64 + 3 * 8 + 3)]
    assert query["policy"] and query["demonstrations"] and len(query["heads"][0]) == 32
    other = open_page(link)
    expect(other.get_by_test_id("frame-player")).to_contain_text("12 / 78")
    expect(other.get_by_test_id("frame-player").locator("select")).to_have_value("2")
    expect(other.get_by_test_id("head-inspector")).to_contain_text("Action expert 3.3")
    expect(other.get_by_test_id("selection-summary")).to_contain_text("21 heads selected")


def test_the_address_says_what_is_shown_without_a_click(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(f"{sample_address}?tab=admin&metric=gone")
    metric, head = page.evaluate("() => [wb.state.heads.measure, String(wb.state.heads.focus)]")
    told = {"tab": ["heads"], "metric": [metric], "head": [head]}
    addressed(page, lambda query: told.items() <= query.items())
    page.get_by_role("tab", name="Demonstrations").click()
    page.wait_for_url("**tab=demonstrations**")
    page.get_by_role("button", name="Show heads").click()
    page.wait_for_url("**tab=heads**")


def test_an_empty_head_set_stays_empty(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.get_by_role("button", name="Clear").click()
    page.wait_for_url("**heads=none**")
    other = open_page(page.url)
    expect(other.get_by_test_id("selection-summary")).to_contain_text("0 heads selected")


@pytest.mark.parametrize(
    "query",
    [
        "heads=zz&episode=-5&frame=1e9&head=999999&tab=admin&metric=../x",
        "demonstrations=../../etc/passwd&episode=99999999999&frame=-1",
        f"policy={quote('<img src=x onerror=alert(1)>')}&heads={'f' * 5000}",
    ],
)
def test_a_hostile_link_opens_a_sound_screen_and_says_so(open_page: OpenPage, sample_address: str, query: str) -> None:
    page = open_page(f"{sample_address}?{query}")
    expect(page.get_by_test_id("head-map")).to_be_visible()
    expect(page.get_by_test_id("frame-player")).to_contain_text("/")
    assert page.evaluate("() => wb.state.frame < wb.state.episode.frames && wb.state.pinned < 128")
    page.wait_for_function("() => window.toasts.size > 0")
    assert page.locator("img[src=x]").count() == 0


def test_back_and_forward_move_between_steps_and_keep_what_is_open(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(f"{sample_address}?frame=3")
    for step in ("Finetune", "Compare"):
        page.get_by_role("tab", name=step).click()
        page.wait_for_function("(tab) => location.search.includes(`tab=${tab}`)", arg=step.lower())
    page.go_back()
    expect(page.get_by_role("tab", name="Finetune")).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(page.get_by_role("tab", name="Heads")).to_have_attribute("aria-selected", "true")
    page.evaluate("() => wb.pin(7)")  # another head since: the address says that of now, also after Forward
    page.wait_for_function("() => location.search.includes('head=7')")
    page.go_forward()
    expect(page.get_by_role("tab", name="Finetune")).to_have_attribute("aria-selected", "true")
    page.wait_for_function("() => location.search.includes('head=7') && location.search.includes('tab=finetune')")
    assert page.evaluate("() => wb.state.pinned") == 7
