"""The laboratory in Chromium: live questions, split cells, why, gains, two measures with a loop, cost, a job."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
Cell = Callable[[Page, str, int, int], Locator]


@pytest.fixture(scope="module")
def address(
    tmp_path_factory: pytest.TempPathFactory, run_script: Callable, serve: Callable, policy: Path
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("laboratory")
    run_script("tests/app/laboratory_store.py", folder / "samples")
    with serve(folder, STEERING_SAMPLES=str(folder / "samples"), STEERING_POLICY=str(policy)) as served:
        yield served


def ask(page: Page, kind: str) -> Locator:
    page.get_by_test_id("laboratory").scroll_into_view_if_needed()
    page.locator(f'.wb-lab-tabs [data-kind="{kind}"]').click()
    return page.get_by_test_id("lab-body")


def test_questions_to_kept_neighbours_change_the_map_and_the_link(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    before = page.evaluate("() => wb.state.heads.score")
    page.get_by_test_id("measure-target").select_option("state")
    page.wait_for_function("(before) => JSON.stringify(wb.state.heads.score) !== JSON.stringify(before)", arg=before)
    expect(page.get_by_test_id("measure-k")).to_have_value("20")
    page.get_by_test_id("measure-k").select_option("10")
    page.wait_for_url("**metric=knn.*.state.whole.*.10**")
    page.reload()
    page.wait_for_selector("html[data-ready='1']")
    expect(page.get_by_test_id("measure-target")).to_have_value("state")


def test_a_second_measure_splits_the_cells_and_a_loop_selects(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    other = page.locator('[data-testid="measure-beside"] option', has_text="Attribution patching")
    page.get_by_test_id("measure-beside").select_option(other.get_attribute("value"))
    expect(page.locator(".wb-split")).to_have_count(120)
    page.wait_for_url("**beside=attribution_patching**")
    body = ask(page, "two")
    expect(body).to_contain_text("Spearman")
    page.get_by_role("button", name="Clear").click()
    body.scroll_into_view_if_needed()
    plot = body.locator(".nsewdrag").first
    plot.wait_for()
    box = plot.bounding_box()
    assert box is not None
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for x, y in places[1:]:
        page.mouse.move(x, y, steps=8)
    page.mouse.up()
    page.wait_for_function("() => wb.state.selected.size > 100")
    expect(page.get_by_test_id("toasts")).to_contain_text("from the loop selected")


def test_why_follows_head_and_frame_without_asking_again(
    open_page: OpenPage, address: str, cell: Cell, requests_of: Callable[[Page], list[str]]
) -> None:
    page = open_page(address)
    cell(page, "expert", 3, 2).click()
    body = ask(page, "why")
    expect(body).to_contain_text("Action expert 3.2 at frame 1")
    expect(body.locator(".wb-near")).to_have_count(6)
    page.wait_for_function(
        """() => { const c = document.querySelector('.wb-near canvas');
        return c.getContext('2d').getImageData(20, 20, 1, 1).data[3] === 255; }"""
    )
    requests = requests_of(page)
    page.get_by_test_id("scrubber").evaluate("(s) => { s.value = 5; s.dispatchEvent(new Event('input')); }")
    expect(body).to_contain_text("at frame 6")
    page.wait_for_timeout(500)
    assert requests == []
    assert ask(page, "plane").get_by_test_id("lab-figure").locator(".scatterlayer").wait_for() is None


def test_the_cost_of_the_set_follows_the_selection(open_page: OpenPage, address: str, cell: Cell) -> None:
    page = open_page(address)
    line = page.get_by_test_id("what-if")
    expect(line).to_contain_text("Held-out error")
    page.get_by_role("button", name="Clear").click()
    expect(line).to_contain_text("Select heads")
    cell(page, "expert", 3, 2).click()
    expect(line).to_contain_text("parameters at rank 16")
    expect(line).to_contain_text("estimate from 1 measured run")
    first = line.inner_text()
    cell(page, "expert", 0, 0).click()
    expect(line).not_to_have_text(first)


def test_the_strip_and_the_trust_of_the_chosen_head_show(open_page: OpenPage, address: str, cell: Cell) -> None:
    page = open_page(address)
    expect(page.get_by_test_id("strip").locator("i")).to_have_count(20)
    before = page.get_by_test_id("strip").get_attribute("aria-label")
    cell(page, "vlm", 0, 0).click()
    expect(page.get_by_test_id("strip")).not_to_have_attribute("aria-label", str(before))
    page.get_by_test_id("measure-preset").select_option("default")
    expect(page.get_by_test_id("trusted")).to_contain_text("95 % interval")


def test_a_gain_is_worked_out_by_the_policy_and_then_turns_freely(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    body = ask(page, "gain")
    knob = page.get_by_test_id("gain-knob")
    knob.wait_for(timeout=90_000)
    expect(body).to_contain_text("The head as it is")
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_test_id("gain")).to_have_text("off")
    expect(body).to_contain_text("standard deviations")
    knob.evaluate("(k) => { k.value = 3; k.dispatchEvent(new Event('input')); }")
    expect(page.get_by_test_id("gain")).to_have_text("× 3")


def test_a_measure_runs_as_a_job_and_shows_when_done(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    page.locator('[data-testid="measure-menu"] summary').click()
    page.get_by_role("button", name="Gradient × activation").click()
    expect(page.get_by_test_id("job").first).to_be_visible()
    page.wait_for_url("**metric=gradient_activation**", timeout=120_000)
    expect(page.get_by_test_id("measure-metric")).to_have_value("gradient_activation")


@pytest.fixture
def bare_address(tmp_path: Path, samples: Path, serve: Callable) -> Iterator[str]:
    """Scores of the embedded policy without the head outputs that they came from."""
    shutil.copytree(samples, tmp_path / "samples")
    for outputs in (tmp_path / "samples" / "artefacts").glob("activations-*"):
        shutil.rmtree(outputs)
    with serve(tmp_path, STEERING_SAMPLES=str(tmp_path / "samples")) as served:
        yield served


def test_an_empty_panel_measures_the_set_and_fills(open_page: OpenPage, bare_address: str) -> None:
    page = open_page(bare_address)
    body = ask(page, "why")
    expect(page.get_by_test_id("strip")).to_contain_text("after a k-NN measure")
    body.get_by_role("button", name="Measure this set").click()
    expect(page.get_by_test_id("job").first).to_contain_text("Measuring heads")
    expect(body.locator(".wb-near")).to_have_count(6, timeout=240_000)
    expect(page.get_by_test_id("strip").locator("i")).to_have_count(20)


def test_intervals_and_two_measures_without_a_choice(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    expect(ask(page, "two")).to_contain_text("Spearman")
    page.get_by_test_id("measure-menu").locator("summary").click()
    expect(page.get_by_role("button", name="Intervals and chance")).to_be_visible()
