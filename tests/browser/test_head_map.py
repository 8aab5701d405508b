"""Choosing heads on the map: box, row, column, undo and redo, measures, tooltip, files, many layers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from .waiting import eventually, reload, resting, said, settled

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
Cell = Callable[[Page, str, int, int], Locator]


def cleared(page: Page) -> Locator:
    page.get_by_role("button", name="Clear").click()
    summary = page.get_by_test_id("selection-summary")
    expect(summary).to_contain_text("0 heads selected")
    return summary


def drag(page: Page, start: Locator, end: Locator) -> None:
    start.hover()
    page.mouse.down()
    end.hover()
    page.mouse.up()


def test_a_box_is_selected_by_dragging_and_dropped_again(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(sample_address)
    summary = cleared(page)
    drag(page, cell(page, "expert", 1, 2), cell(page, "expert", 3, 5))
    expect(summary).to_contain_text("12 heads selected")
    expect(page.locator("#header")).to_contain_text("12 selected")
    drag(page, cell(page, "expert", 2, 3), cell(page, "expert", 2, 4))
    expect(summary).to_contain_text("10 heads selected")


def test_the_last_set_reaches_a_slow_server(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(sample_address)
    held: list[Route] = []
    busy = [True]
    page.route("**/gradio_api/**", lambda route: held.append(route) if busy else route.continue_())
    page.get_by_role("button", name="Clear").click()
    eventually(page, lambda: len(held), bool)  # the server has the empty set and has not answered
    for head in range(3):
        cell(page, "expert", 1, head).click(modifiers=["Control"])
        page.wait_for_timeout(100)  # each is told by itself
    busy.clear()
    for route in held:
        route.continue_()
    expect(page.locator("#header")).to_contain_text("3 selected")
    settled(page)
    reload(page)
    expect(page.get_by_test_id("selection-summary")).to_contain_text("3 heads selected")


def test_shift_click_selects_the_box_from_the_shown_head(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(sample_address)
    summary = cleared(page)
    cell(page, "vlm", 5, 0).click()
    expect(summary).to_contain_text("0 heads selected")
    cell(page, "vlm", 7, 1).click(modifiers=["Shift"])
    expect(summary).to_contain_text("4 heads selected")  # layer 7 of the VLM is inert


def test_a_click_shows_a_head_and_its_tick_selects_it(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(sample_address)
    summary = cleared(page)
    looked, inspector = cell(page, "expert", 2, 3), page.get_by_test_id("head-inspector")
    looked.click()
    expect(inspector).to_contain_text("Action expert 2.3")
    expect(summary).to_contain_text("0 heads selected")
    looked.locator(".wb-cell-tick").click()
    expect(summary).to_contain_text("1 head selected")
    expect(page.locator("#header")).to_contain_text("1 selected")
    tick = inspector.get_by_test_id("head-tick")
    expect(tick).to_be_checked()
    tick.focus()
    page.keyboard.press("Space")
    expect(summary).to_contain_text("0 heads selected")
    expect(tick).to_be_focused()  # though the inspector was drawn anew
    cell(page, "expert", 4, 4).hover()
    cell(page, "expert", 4, 4).locator(".wb-cell-tick").click()
    expect(summary).to_contain_text("1 head selected")
    expect(inspector).to_contain_text("Action expert 4.4")


def test_on_a_phone_the_head_shown_has_its_tick_in_sight(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(sample_address, width=390, height=844)
    summary = cleared(page)
    cell(page, "vlm", 2, 3).click()
    shown = page.get_by_test_id("head-shown")
    expect(shown).to_contain_text("VLM 2.3")
    tick = shown.get_by_test_id("head-tick")
    expect(tick).to_be_in_viewport()
    tick.check()
    expect(summary).to_contain_text("1 head selected")


def test_rows_and_columns_flip_as_a_whole(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(sample_address)
    summary = cleared(page)
    page.locator('[data-row="1,3"]').click()
    expect(summary).to_contain_text("8 heads selected")
    page.locator('[data-column="0,2"]').click()
    expect(summary).to_contain_text("15 heads selected")
    page.locator('[data-row="1,3"]').click()
    expect(summary).to_contain_text("7 heads selected")
    cell(page, "expert", 0, 0).focus()
    page.keyboard.press("Shift+Space")
    expect(summary).to_contain_text("15 heads selected")
    page.keyboard.press("Control+Space")
    expect(summary).to_contain_text("22 heads selected")


def test_shift_arrows_select_on_the_way_and_changes_are_undone_and_redone(
    open_page: OpenPage, sample_address: str, cell: Cell
) -> None:
    page = open_page(sample_address)
    summary = cleared(page)
    cell(page, "expert", 4, 4).focus()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    expect(summary).to_contain_text("4 heads selected")
    page.keyboard.press("Control+z")
    expect(summary).to_contain_text("3 heads selected")
    page.keyboard.press("Control+Shift+z")
    expect(summary).to_contain_text("4 heads selected")
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Redo").click()
    expect(page.get_by_role("button", name="Redo")).to_be_disabled()
    expect(page.locator("#header")).to_contain_text("4 selected")


def test_hover_tells_value_interval_and_rank(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(sample_address)
    cell(page, "expert", 6, 3).hover()
    tooltip = page.get_by_role("tooltip")
    for words in ("Action expert 6.3", "Explained variance", "95 % interval", "rank", "p = .02"):
        expect(tooltip).to_contain_text(words)
    cell(page, "vlm", 7, 3).hover()
    expect(tooltip).to_contain_text("inert")
    expect(page.locator(".wb-legend")).to_contain_text("smaller: less sure")
    drawn = page.evaluate(
        """() => { const { heads: { trust, inert } } = wb.state;
        const known = [...document.querySelectorAll('.wb-cell:not(.wb-inert)')].map((cell) =>
          [trust.sure[cell.dataset.index], parseFloat(getComputedStyle(cell, '::before').width) / cell.clientWidth]);
        return known.sort((a, b) => a[0] - b[0]); }"""
    )
    assert len({sure for sure, _ in drawn}) > 1 and all(0 <= sure <= 1 for sure, _ in drawn)
    for sure, side in drawn:  # the less sure, the smaller
        assert side == pytest.approx(1 - 0.44 * (1 - sure), abs=0.03)


def test_the_map_stands_within_the_first_700_pixels(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    expect(page.get_by_test_id("origin")).to_be_visible()
    rule, button = page.locator(".wb-rule"), page.get_by_test_id("auto-select")
    for width, height in ((1280, 720), (1366, 768), (1440, 900)):
        page.set_viewport_size({"width": width, "height": height})
        for last in (*page.locator(".wb-stack").all(), button):
            box = resting(last)
            assert box["y"] + box["height"] <= 700
        for name in rule.locator("[name=rule] option").evaluate_all("(all) => all.map((one) => one.value)"):
            rule.locator("[name=rule]").select_option(name)
            assert resting(button)["y"] <= 660
            assert rule.evaluate("(r) => r.scrollWidth <= r.clientWidth && r.scrollHeight <= r.clientHeight + 1")
        assert resting(page.get_by_test_id("measure-line"))["height"] <= 32  # one line
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_one_colour_means_the_same_in_both_stacks(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    expect(page.locator(".wb-scale")).to_have_count(1)
    alike = page.evaluate(
        """() => { const { heads: { score, inert, scale: { low, high } } } = wb.state;
        const cells = [...document.querySelectorAll('.wb-cell:not(.wb-inert)')];
        const due = (cell) => wb.colour((score[cell.dataset.index] - low) / (high - low));
        return cells.every((cell) => cell.style.getPropertyValue('--score') === due(cell)); }"""
    )
    assert alike


def test_the_measure_s_form_stays_open_while_it_is_used(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    line, target = page.get_by_test_id("measure-line"), page.get_by_test_id("measure-target")
    expect(target).to_be_hidden()
    line.click()
    target.select_option("chunk")
    expect(line).to_contain_text("the action chunk")
    expect(target).to_be_visible()
    line.click()
    expect(target).to_be_hidden()


def test_a_screen_reader_hears_all_that_the_tooltip_says(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(sample_address)
    chosen = cell(page, "expert", 6, 3)
    beside = page.locator('[data-testid="measure-beside"] option').nth(1)
    page.get_by_test_id("measure-line").click()
    page.get_by_test_id("measure-beside").select_option(beside.get_attribute("value"))
    expect(page.locator(".wb-split")).to_have_count(120)
    chosen.hover()
    lines = page.get_by_role("tooltip").locator("span")
    expect(lines).to_have_count(6)
    heard = chosen.get_attribute("aria-label") or ""
    assert all(line in heard for line in lines.all_inner_texts())
    doubtful = page.evaluate("() => wb.state.heads.trust.doubtful.indexOf(true)")
    expect(page.locator(f'[data-index="{doubtful}"]')).to_have_attribute("aria-label", re.compile("unstable"))


def test_drawing_the_map_anew_keeps_set_undo_shown_head_and_focus(
    open_page: OpenPage, sample_address: str, cell: Cell
) -> None:
    page = open_page(sample_address)
    chosen, summary = cell(page, "expert", 2, 3), page.get_by_test_id("selection-summary")
    undo, redo = page.get_by_role("button", name="Undo"), page.get_by_role("button", name="Redo")
    beside = page.locator('[data-testid="measure-beside"] option').nth(1)
    page.get_by_test_id("measure-line").click()
    chosen.click(modifiers=["Control"])
    page.keyboard.press("Space")
    page.keyboard.press("Control+z")
    expect(redo).to_be_enabled()
    page.get_by_test_id("measure-beside").select_option(beside.get_attribute("value"))
    expect(page.locator(".wb-split")).to_have_count(120)
    expect(redo).to_be_enabled()
    expect(chosen).to_be_focused()
    page.get_by_test_id("measure-target").select_option("chunk")
    expect(page.locator(".wb-scale")).to_contain_text("Gain over state and time")
    expect(chosen).to_have_class(re.compile("wb-pinned"))
    expect(page.get_by_test_id("head-inspector")).to_contain_text("Action expert 2.3")
    expect(summary).to_contain_text("21 heads selected")
    assert page.evaluate("() => wb.state.undo.length") == 1
    undo.click()
    expect(summary).to_contain_text("20 heads selected")


def test_a_drawing_that_began_before_a_click_does_not_undo_it(
    open_page: OpenPage, sample_address: str, cell: Cell
) -> None:
    page = open_page(sample_address)
    held: list[Route] = []

    def hold(route: Route) -> None:
        sent = (route.request.post_data_json or {}).get("event_data")
        if isinstance(sent, dict) and "selected" in sent and len(held) == 0:
            held.append(route)
        else:
            route.continue_()

    page.route("**/gradio_api/run/**", hold)
    cell(page, "expert", 2, 3).click(modifiers=["Control"])
    eventually(page, lambda: len(held), bool)
    page.get_by_test_id("measure-line").click()
    page.get_by_test_id("measure-target").select_option("chunk")
    expect(page.locator(".wb-scale")).to_contain_text("Gain over state and time")
    expect(page.get_by_test_id("selection-summary")).to_contain_text("21 heads selected")
    held[0].continue_()
    expect(page.locator("#header")).to_contain_text("21 selected")
    expect(cell(page, "expert", 2, 3)).to_have_attribute("aria-selected", "true")


def test_another_measure_is_chosen_and_kept_in_the_link(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(sample_address)
    page.get_by_test_id("measure-line").click()
    page.get_by_test_id("measure-target").select_option("chunk")
    expect(page.locator(".wb-scale")).to_contain_text("Gain over state and time")
    expect(page.get_by_test_id("measure-preset")).to_have_value("default")
    cell(page, "expert", 6, 3).hover()
    expect(page.get_by_role("tooltip")).to_contain_text("Gain over state and time")
    said = page.get_by_role("tooltip").inner_text()
    assert said.lower().count("over state and time") == 1  # the score is the gain, and is told once
    heard = cell(page, "expert", 6, 3).get_attribute("aria-label") or ""
    assert heard.lower().count("over state and time") == 1
    expect(page.get_by_test_id("selection-summary")).to_contain_text("20 heads selected")
    page.wait_for_url("**metric=knn.default.chunk**")
    other = open_page(page.url)
    expect(other.get_by_test_id("measure-target")).to_have_value("chunk")


def test_controls_are_selected_by_rule(open_page: OpenPage, sample_address: str, cell: Cell) -> None:
    page = open_page(sample_address)
    chosen = "() => new URL(location.href).searchParams.get('heads')"
    best = page.evaluate(chosen)
    page.locator("[name=rule]").select_option("bottom")
    page.get_by_test_id("auto-select").click()
    page.wait_for_function(f"best => ({chosen})() !== best", arg=best)
    expect(cell(page, "vlm", 4, 4)).to_have_attribute("aria-selected", "false")
    expect(page.get_by_test_id("selection-summary")).to_contain_text("20 heads selected")
    digits = page.evaluate(chosen)
    page.locator("[name=rule]").select_option("random")
    page.get_by_test_id("auto-select").click()
    page.wait_for_function(f"before => ({chosen})() !== before", arg=digits)
    expect(page.get_by_test_id("selection-summary")).to_contain_text("20 heads selected")


def test_files_of_scores_and_of_the_set(open_page: OpenPage, sample_address: str, tmp_path: Path) -> None:
    page = open_page(sample_address)

    def export(label: str) -> Path:
        page.locator(".wb-summary .wb-menu summary").click()
        with page.expect_download() as waiting:
            page.get_by_role("button", name=label).click()
        path = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    table = export("Scores as table").read_text().splitlines()
    assert len(table) == 129 and table[0].startswith("stack,layer,head,inert,selected,score")
    assert sum(row.split(",")[4] == "1" for row in table[1:]) == 20
    document = json.loads(export("Scores and set").read_text())
    assert document["metric"] == "knn" and len(document["selection"]["trainable_head_indices"]) == 20
    chosen = export("Head set, authors")
    authors = json.loads(chosen.read_text())
    assert authors["best_k"] == 10 and authors["cv_mse"] == 0.14
    image = export("Map as image")
    assert image.read_bytes()[:4] == b"\x89PNG" and image.stat().st_size > 10_000
    page.get_by_test_id("export").locator("summary").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Head map (PNG)").click()
    assert waiting.value.suggested_filename.startswith("head-map_place-cube-in-bowl_")
    expect(page.get_by_test_id("export").locator("div")).to_be_hidden()
    page.get_by_test_id("export").locator("summary").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Last run, one page").click()
    assert waiting.value.suggested_filename.endswith(".html")
    cleared(page)
    page.locator(".wb-menu input[type=file]").set_input_files(chosen)
    expect(page.get_by_test_id("selection-summary")).to_contain_text("20 heads selected")
    broken = tmp_path / "broken.json"
    broken.write_text('{"trainable_head_indices": [[99, 0]]}')
    page.locator(".wb-menu input[type=file]").set_input_files(broken)
    said(page, "99")
