"""The page as a person uses it: first screen, head map by click and keyboard, player, finetune, compare, reload."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from .waiting import WORKS_MS, films, opened, pictured, reload, resting, said, settled

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
CHANGED = """async (flip) => { const canvas = document.querySelector('[data-testid="frame-player"] canvas');
  const read = () => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const before = read();
  document.querySelector(flip).click();
  const after = read();
  let changed = 0;
  for (let i = 0; i < after.length; i += 4) changed += [0, 1, 2].some((j) => before[i + j] !== after[i + j]);
  return 4 * changed / after.length; }"""
"""Share of the first camera's pixels that a switch changes."""


def cell(page: Page, stack: str, layer: int, head: int) -> Locator:
    place = f'[data-stack="{stack}"][data-layer="{layer}"][data-head="{head}"]'
    return page.locator(f'[data-testid="head-cell"]{place}')


def test_first_screen_needs_no_click(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    expect(page.get_by_test_id("head-map")).to_be_visible()
    expect(page.get_by_test_id("head-cell")).to_have_count(128)
    expect(page.get_by_test_id("selection-summary")).to_contain_text("20 heads selected")
    expect(page.get_by_test_id("head-inspector")).to_contain_text("explains")
    expect(page.get_by_test_id("lead")).to_contain_text("of how the action varies")
    expect(page.get_by_test_id("lead-set")).to_contain_text("The 20 selected: ")
    expect(page.get_by_test_id("frame-player")).to_be_visible()
    page.wait_for_function("() => wb.state.attention !== null")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_the_sentence_stands_with_the_map_and_not_later(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.add_init_script(
        """new MutationObserver(() => {
          if (window.led !== undefined || !document.querySelector('[data-testid=head-cell]')) return;
          window.led = document.querySelector('[data-testid=lead]').textContent; })
        .observe(document, { subtree: true, childList: true });"""
    )
    reload(page)
    assert "of how the action varies" in page.evaluate("() => window.led")


def test_head_map_by_click_and_keyboard(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    chosen = cell(page, "expert", 2, 3)
    expect(chosen).to_have_attribute("aria-selected", "false")
    chosen.click()
    expect(chosen).to_have_attribute("aria-selected", "false")  # a click shows a head
    expect(chosen).to_have_attribute("aria-current", "true")
    page.keyboard.press("Enter")
    expect(chosen).to_have_attribute("aria-selected", "false")
    page.keyboard.press("Space")
    expect(chosen).to_have_attribute("aria-selected", "true")
    expect(page.locator("#header")).to_contain_text("21 selected")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(cell(page, "expert", 3, 4)).to_have_attribute("aria-selected", "true")
    expect(cell(page, "expert", 3, 4)).to_be_focused()
    expect(page.get_by_test_id("head-inspector")).to_contain_text("Action expert 3.4")
    expect(page.locator("#header")).to_contain_text("22 selected")
    inert = cell(page, "vlm", 7, 0)
    inert.click(modifiers=["Control"])
    expect(inert.locator(".wb-cell-tick")).to_have_count(0)
    expect(inert).to_have_attribute("aria-selected", "false")
    expect(page.get_by_test_id("head-inspector")).to_contain_text("Inert")
    page.get_by_role("button", name="Undo").click()
    expect(cell(page, "expert", 3, 4)).to_have_attribute("aria-selected", "false")
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_test_id("selection-summary")).to_contain_text("0 heads selected")
    page.get_by_role("button", name="All", exact=True).click()
    expect(page.get_by_test_id("selection-summary")).to_contain_text("120 heads selected")
    expect(page.get_by_test_id("lead-set")).to_contain_text("The 120 selected: ")
    page.get_by_test_id("auto-select").click()
    expect(page.get_by_test_id("selection-summary")).to_contain_text("20 heads selected")


def test_fast_clicks_are_all_kept(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.get_by_role("button", name="Clear").click()
    for head in range(8):
        cell(page, "expert", 0, head).click(modifiers=["Control"])
    expect(page.locator("#header")).to_contain_text("8 selected")
    reload(page)
    expect(page.get_by_test_id("selection-summary")).to_contain_text("8 heads selected")


def test_player_scrubs_without_requests(
    open_page: OpenPage, sample_address: str, requests_of: Callable[[Page], list[str]]
) -> None:
    page = open_page(sample_address)
    page.wait_for_function("() => wb.state.attention !== null")
    pictured(page)
    requests = requests_of(page)
    # lines over a picture that stays sharp
    assert 0.005 < page.evaluate(CHANGED, ".wb-player .wb-switch input") < 0.4
    scrubber = page.get_by_test_id("scrubber")
    scrubber.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("frame-player")).to_contain_text("6 / 72")
    page.keyboard.press("Space")
    page.wait_for_function("() => wb.state.frame > 12")
    page.keyboard.press("Space")
    assert requests == []


def test_the_page_opens_on_a_selected_head_and_plays_once(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address, moving=True)
    assert page.evaluate("() => wb.state.selected.has(wb.state.pinned)")
    page.wait_for_function("() => wb.state.seen.played")
    play = page.get_by_role("button", name="Play", exact=True)
    expect(play).to_be_visible()  # it has come to its end
    expect(page.locator(".wb-time")).to_have_text("1 / 72")
    play.click()
    pause = "document.querySelector('.wb-player [aria-label=Pause]')"
    paused = f"() => {{ if (!(wb.state.frame > 3)) return false; {pause}.click(); return true; }}"
    page.wait_for_function(paused)  # in one go, for it plays four seconds
    expect(play).to_be_visible()
    assert page.evaluate("() => wb.state.frame") > 3
    still = open_page(sample_address)  # whoever asked for less motion
    expect(still.get_by_role("button", name="Play")).to_be_visible()
    still.wait_for_function("() => wb.state.seen.played")
    still.wait_for_timeout(400)
    assert still.evaluate("() => wb.state.frame") == 0


def test_link_restores_the_screen(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.get_by_role("button", name="Clear").click()
    cell(page, "vlm", 1, 1).click(modifiers=["Control"])
    page.wait_for_url(re.compile(r"heads=0040"))
    page.get_by_role("tab", name="Finetune").click()
    page.wait_for_url("**tab=finetune**")
    other = open_page(page.url)
    expect(other.get_by_test_id("finetune-start")).to_be_visible()
    expect(other.locator("#header")).to_contain_text("1 selected")


def test_episode_opens_from_the_list(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.get_by_role("tab", name="Demonstrations").click()
    page.get_by_test_id("episodes").get_by_role("button").nth(2).click()
    expect(page.get_by_test_id("frame-player").locator("select")).to_have_value("2")
    expect(page.get_by_role("button", name="Compute attention")).to_be_visible()


def test_the_inspector_speaks_of_the_open_episode_only(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    inspector, episodes = page.get_by_test_id("head-inspector"), page.get_by_test_id("frame-player").locator("select")
    looks = re.compile("Looks mostly at|Divides its attention")
    expect(inspector).to_contain_text(looks)
    expect(inspector).to_contain_text("Bar: this frame. Tick: mean of the episode.")
    mean = page.evaluate(
        """() => { const { attention: { frames, mass }, pinned } = wb.state;
        const of = (row) => mass.slice(row * frames, (row + 1) * frames).reduce((a, b) => a + b) / frames / 255;
        return [0, 1, 2, 3, 4].map((group) => 100 * of(pinned * 5 + group)); }"""
    )
    ticks = inspector.locator(".wb-bar-track b").evaluate_all(
        "ticks => ticks.map((tick) => parseFloat(tick.style.left))"
    )
    assert ticks == pytest.approx(mean, abs=0.06)
    episodes.select_option("2")
    expect(inspector).to_contain_text("Not computed for this episode. Press Compute attention")
    expect(inspector).to_contain_text("explains")
    expect(inspector).not_to_contain_text(looks)
    expect(inspector).not_to_contain_text("this frame")
    episodes.select_option("0")
    expect(inspector).to_contain_text(looks)


def test_a_chosen_theme_shows_from_the_first_picture_on(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.get_by_role("button", name="Switch between light and dark").click()
    page.add_init_script(
        """window.seen = new Set(); new MutationObserver(() => {
        if (document.querySelector('.wb-html')) window.seen.add(document.body.classList.contains('dark'));
        }).observe(document, { subtree: true, childList: true, attributes: true });"""
    )
    reload(page)
    assert page.evaluate("() => [...window.seen]") == [True]


def test_comparison_plays_all_methods_together(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.get_by_role("tab", name="Compare").click()
    expect(page.get_by_test_id("success")).to_contain_text("of 10")
    expect(page.get_by_test_id("verdict")).to_contain_text("no difference shown")
    films(page)
    page.evaluate(
        """() => { window.began = []; const of = HTMLMediaElement.prototype, { play } = of;
        of.play = function () { window.began.push(this.currentTime); return play.call(this); }; }"""
    )
    page.get_by_test_id("rollout-play").click()
    times = "() => [...document.querySelectorAll('[data-testid=rollout-player] video')].map(v => v.currentTime)"
    page.wait_for_function(f"() => ({times})().length === 3 && ({times})().every(t => t > 0.3)")
    assert page.evaluate("() => window.began") == [0, 0, 0]  # by one press, from one moment


def test_every_step_fits_a_phone(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address, width=390, height=844, dark=True)
    for name in ("Demonstrations", "Heads", "Finetune", "Compare"):
        opened(page, name)
        settled(page)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390, name
        for other in ("Demonstrations", "Heads", "Finetune", "Compare"):
            expect(page.get_by_role("tab", name=other)).to_be_visible()


def test_a_small_laptop_shows_the_map_and_what_is_open(open_page: OpenPage, sample_address: str) -> None:
    """At 1280x720: long names share the header's room, and the small print above the map stays small."""
    page = open_page(sample_address, width=1280, height=720)
    expect(page.get_by_test_id("origin")).to_be_visible()
    size = "node => getComputedStyle(node).fontSize"
    page.get_by_test_id("measure-line").click()
    for small in ("origin", "spread"):
        assert page.get_by_test_id(small).evaluate(size) == "12.5px", small
    page.get_by_test_id("measure-line").click()
    row = resting(page.locator('[data-testid="head-cell"][data-layer="0"]').first)
    assert row["y"] + row["height"] < 720
    shipped = {
        "Policy": "Embedded small π0",
        "Demonstrations": "Place cube in bowl, 20 episodes",
        "Last run": "example",
    }
    for name, words in shipped.items():
        page.locator(f'.wb-chip[data-name="{name}"] b').evaluate(
            "(node, words) => { node.textContent = words; }", words
        )
    cut = """nodes => nodes.filter(node => { const width = node.getBoundingClientRect().width;
        node.parentElement.style.flex = 'none';
        const whole = node.getBoundingClientRect().width;
        node.parentElement.style.flex = '';
        return whole > width + 0.01; }).map(node => node.textContent)"""
    assert page.locator(".wb-chip b").evaluate_all(cut) == []
    page.get_by_role("tab", name="Compare").click()
    lead, form = resting(page.get_by_test_id("veil")), resting(page.locator("details[data-fold=compare]"))
    assert form["y"] - lead["y"] - lead["height"] < 24  # no empty line between
    page.get_by_role("tab", name="Heads").click()
    for name in ("Demonstrations", "Heads"):
        page.locator(f'.wb-chip[data-name="{name}"] b').evaluate("node => node.textContent = 'a long name '.repeat(6)")
    for name in ("Demonstrations", "Heads"):
        assert resting(page.locator(f'.wb-chip[data-name="{name}"] b'))["width"] > 60, name
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


@pytest.mark.slow
def test_the_whole_way_on_the_embedded_policy(open_page: OpenPage, real_address: str) -> None:
    page = open_page(real_address)
    cell(page, "vlm", 3, 3).click(modifiers=["Control"])
    page.get_by_test_id("auto-select").click()
    expect(page.get_by_test_id("selection-summary")).to_contain_text("20 heads selected")
    page.get_by_role("tab", name="Finetune").click()
    page.locator("[name=steps]").fill("10")
    page.locator("[name=batch_size]").select_option("8")
    rows = page.get_by_test_id("finetune-results").locator("tbody tr")
    expect(rows).to_have_count(2)  # the shipped ones
    page.get_by_test_id("finetune-start").click()
    expect(rows.nth(2)).to_be_visible(timeout=WORKS_MS)
    page.get_by_role("tab", name="Compare").click()
    page.get_by_text("New comparison").click()
    page.locator("[name=trials]").fill("2")
    page.get_by_test_id("compare-start").click()
    expect(page.get_by_test_id("success")).to_contain_text("bowl, 2 scenes", timeout=WORKS_MS)  # its own, not shipped
    expect(page.get_by_test_id("rollout-player").locator("video")).to_have_count(3)
    expect(page.locator("[name=trials]")).to_have_value("2")


def test_what_cannot_be_done_is_said_in_a_toast(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#header")).to_contain_text("none selected")
    page.get_by_role("tab", name="Finetune").click()
    page.get_by_test_id("finetune-start").click()
    said(page, "Select heads on the map first")


def test_cameras_say_what_they_wait_for_and_why_they_stay_black(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    words = page.locator(".wb-camera-words")
    expect(words).to_have_text(["", ""])
    answers = {"exterior": [(503, "Preparing frames, 4 s left")], "wrist": [(422, "The video is damaged.")]}

    def answer(route: Route) -> None:
        camera = route.request.url.split("/")[-2]
        if answers[camera]:
            status, said = answers[camera][0]
            route.fulfill(status=status, body=said)
        else:
            route.continue_()

    page.route("**/previews/*/1/*/squares.webp", answer)
    page.get_by_test_id("frame-player").get_by_label("Episode").select_option("1")
    expect(words).to_have_text(["Preparing frames, 4 s left", "The video is damaged."])
    answers["exterior"] = []
    expect(words).to_have_text(["", "The video is damaged."])
