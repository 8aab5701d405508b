"""The page as a person uses it: first screen, head map by click and keyboard, player, finetune, compare, reload."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, Route, expect

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]


def cell(page: Page, stack: str, layer: int, head: int) -> Locator:
    place = f'[data-stack="{stack}"][data-layer="{layer}"][data-head="{head}"]'
    return page.locator(f'[data-testid="head-cell"]{place}')


def picture(page: Page) -> np.ndarray:
    """The first camera as it is drawn: uint8 [height, width, 4]."""
    script = """() => { const canvas = document.querySelector('[data-testid="frame-player"] canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return [canvas.height, canvas.width, [...data]]; }"""
    height, width, values = page.evaluate(script)
    return np.array(values, np.uint8).reshape(height, width, 4)


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
    page.reload()
    page.wait_for_selector("html[data-ready='1']")
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
    page.reload()
    page.wait_for_selector("html[data-ready='1']")
    expect(page.get_by_test_id("selection-summary")).to_contain_text("8 heads selected")


def test_player_scrubs_without_requests(
    open_page: OpenPage, sample_address: str, requests_of: Callable[[Page], list[str]]
) -> None:
    page = open_page(sample_address)
    page.wait_for_function("() => wb.state.attention !== null")
    requests = requests_of(page)
    with_attention = picture(page)
    page.locator(".wb-switch").click()
    plain = picture(page)
    changed = np.any(with_attention != plain, axis=-1).mean()
    assert 0.005 < changed < 0.4  # lines over a picture that stays sharp
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
    page.wait_for_function("() => wb.state.frame > 3")
    shown = page.evaluate("() => wb.state.selected.has(wb.state.pinned)")
    assert shown
    page.get_by_role("button", name="Pause").click()
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
    page.reload()
    page.wait_for_selector("html[data-ready='1']")
    assert page.evaluate("() => [...window.seen]") == [True]


def test_finetune_survives_a_reload(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.get_by_role("tab", name="Finetune").click()
    rows = page.get_by_test_id("finetune-results").locator("tbody tr")
    expect(rows.first).to_be_visible()
    before = rows.count()
    page.locator("[name=steps]").fill("30")
    page.locator("[name=batch_size]").select_option("8")
    page.get_by_label("LoRA, all heads").uncheck()
    page.get_by_test_id("finetune-start").click()
    expect(page.get_by_test_id("job")).to_contain_text("Robotic Steering")
    page.reload()
    page.wait_for_selector("html[data-ready='1']")
    expect(page.get_by_test_id("job").first).to_contain_text("Robotic Steering")
    expect(page.get_by_test_id("training-curves")).to_be_visible(timeout=300_000)
    expect(rows).to_have_count(before + 1, timeout=300_000)
    expect(rows.first).to_contain_text("30")


def test_comparison_plays_all_methods_together(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.get_by_role("tab", name="Compare").click()
    expect(page.get_by_test_id("success")).to_contain_text("of 10")
    expect(page.get_by_test_id("verdict")).to_contain_text("no difference shown")
    page.get_by_test_id("rollout-play").click()
    times = "() => [...document.querySelectorAll('[data-testid=rollout-player] video')].map(v => v.currentTime)"
    page.wait_for_function(f"() => ({times})().every(t => t > 0.3)")
    seen = page.evaluate(times)
    assert len(seen) == 3 and max(seen) - min(seen) < 0.15


@pytest.mark.parametrize("tab", ["demonstrations", "heads", "finetune", "compare"])
def test_every_step_fits_a_phone(open_page: OpenPage, sample_address: str, tab: str) -> None:
    page = open_page(f"{sample_address}?tab={tab}", width=390, height=844, dark=True)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    for name in ("Demonstrations", "Heads", "Finetune", "Compare"):
        expect(page.get_by_role("tab", name=name)).to_be_visible()


def test_a_small_laptop_shows_the_map_and_what_is_open(open_page: OpenPage, sample_address: str) -> None:
    """At 1280x720: long names share the header's room, and the small print above the map stays small."""
    page = open_page(sample_address, width=1280, height=720)
    expect(page.get_by_test_id("origin")).to_be_visible()
    size = "node => getComputedStyle(node).fontSize"
    page.get_by_test_id("measure-line").click()
    for small in ("origin", "spread"):
        assert page.get_by_test_id(small).evaluate(size) == "12.5px", small
    page.get_by_test_id("measure-line").click()
    row = page.locator('[data-testid="head-cell"][data-layer="0"]').first.bounding_box()
    assert row is not None and row["y"] + row["height"] < 720
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
    lead, form = page.get_by_test_id("veil").bounding_box(), page.locator("details[data-fold=compare]").bounding_box()
    assert (
        lead is not None and form is not None and form["y"] - lead["y"] - lead["height"] < 24
    )  # no empty line between
    page.get_by_role("tab", name="Heads").click()
    for name in ("Demonstrations", "Heads"):
        page.locator(f'.wb-chip[data-name="{name}"] b').evaluate("node => node.textContent = 'a long name '.repeat(6)")
    for name in ("Demonstrations", "Heads"):
        shown = page.locator(f'.wb-chip[data-name="{name}"] b').bounding_box()
        assert shown is not None and shown["width"] > 60, name
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_an_empty_store_says_what_to_do(open_page: OpenPage, empty_address: str) -> None:
    page = open_page(empty_address)
    page.get_by_role("button", name="Record demonstrations").click()
    expect(page.get_by_text("No demonstrations yet")).to_be_visible()
    expect(page.get_by_test_id("record-start")).to_be_enabled()
    page.get_by_role("tab", name="Compare").click()
    expect(page.get_by_text("Nothing compared yet")).to_be_visible()
    expect(page.locator("#header")).to_contain_text("none yet")


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
    expect(rows.nth(2)).to_be_visible(timeout=240_000)
    page.get_by_role("tab", name="Compare").click()
    page.get_by_text("New comparison").click()
    page.locator("[name=trials]").fill("2")
    page.get_by_test_id("compare-start").click()
    expect(page.get_by_test_id("success")).to_contain_text("bowl, 2 scenes", timeout=240_000)  # its own, not shipped
    expect(page.get_by_test_id("rollout-player").locator("video")).to_have_count(3)
    expect(page.locator("[name=trials]")).to_have_value("2")


def test_what_cannot_be_done_is_said_in_a_toast(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#header")).to_contain_text("none selected")
    page.get_by_role("tab", name="Finetune").click()
    page.get_by_test_id("finetune-start").click()
    expect(page.locator(".toast-body")).to_contain_text("Select heads on the map first")


def test_an_error_of_a_quick_event_is_said_too(
    open_page: OpenPage, samples: Path, policy: Path, serve: Callable, tmp_path: Path
) -> None:
    shutil.copytree(samples, tmp_path / "samples")
    with serve(tmp_path, STEERING_SAMPLES=str(tmp_path / "samples"), STEERING_POLICY=str(policy)) as address:
        page = open_page(address)
        player = page.get_by_test_id("frame-player")
        expect(player).to_be_visible()
        artefacts = tmp_path / "samples" / "artefacts"
        artefacts.rename(artefacts.with_name("away"))
        player.locator("select").select_option("1")
        expect(page.get_by_test_id("toasts")).to_contain_text("There is no artefact")
        artefacts.with_name("away").rename(artefacts)
        player.locator("select").select_option("2")  # not held back by the one before
        page.wait_for_function("() => wb.state.episode.episode === 2")
        page.close()


def test_progress_is_not_read_aloud(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.get_by_role("tab", name="Finetune").click()
    page.locator("[name=steps]").fill("60")
    page.get_by_label("LoRA, all heads").uncheck()
    page.evaluate(
        """() => { window.told = []; window.seen = new Set(); window.regions = new Set(); new MutationObserver(() => {
          for (const job of document.querySelectorAll('.wb-job header span')) window.seen.add(job.textContent);
          for (const live of document.querySelectorAll('.wb-jobs :is([role=status], [role=alert], [aria-live])'))
            if (window.regions.add(live) && window.told.at(-1) !== live.textContent) window.told.push(live.textContent);
        }).observe(document.body, { childList: true, subtree: true, characterData: true }); }"""
    )
    page.get_by_test_id("finetune-start").click()
    page.wait_for_function("() => window.seen.size >= 4", timeout=120_000)
    page.get_by_test_id("job").first.get_by_role("button", name="Stop").click()
    expect(page.locator(".wb-job", has_text="finished results are kept").first).to_be_visible(timeout=60_000)
    assert page.evaluate("() => window.regions.size") == 1  # drawn anew it would be read again
    told = page.evaluate("() => window.told")
    assert told and all(re.search(r": (starts next|running|stopping at the next step|stopped)\.$", one) for one in told)


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
