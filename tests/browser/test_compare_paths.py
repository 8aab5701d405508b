"""Compare beyond the videos: paths in pictures and in space, failures, tables, words, recordings, the evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from steering.evidence.grid import TASKS, cells

from .waiting import WORKS_MS, eventually, films, no_job, reload

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
INKED = """canvas => { const found = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let count = 0; for (let i = 3; i < found.length; i += 4) if (found[i]) count++; return count; }"""

COLOURED = """canvas => {
    const found = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let count = 0;
    for (let i = 0; i < found.length; i += 4) {
        const [r, g, b] = found.slice(i, i + 3);
        if (found[i + 3] === 255 && Math.max(r, g, b) - Math.min(r, g, b) > 60) count++;
    }
    return count; }"""
"""Counts opaque pixels that are no grey."""


def compare_step(open_page: OpenPage, address: str, **options: object) -> Page:
    page = open_page(f"{address}?tab=compare", **options)
    page.get_by_test_id("show-labels").click()
    return page


def test_predicted_paths_follow_the_videos(open_page: OpenPage, sample_address: str) -> None:
    page = compare_step(open_page, sample_address)
    overlays = page.locator(".wb-paths")
    expect(overlays).to_have_count(3)
    expect(overlays.first).to_have_attribute("data-chunk", "0")
    start = eventually(page, lambda: overlays.first.evaluate(INKED), lambda count: count > 20)
    films(page)
    page.get_by_role("slider", name="Time").fill("900")
    eventually(page, lambda: int(overlays.first.get_attribute("data-chunk") or 0), lambda chunk: chunk >= 25)
    eventually(page, lambda: overlays.first.evaluate(INKED), lambda count: count > start)  # earlier chunks stay, fading
    page.get_by_role("button", name="Wrist").click()
    page.wait_for_function(f"(({INKED})(document.querySelector('.wb-paths')) > 0)")
    page.locator('label:has([data-testid="paths"])').click()
    expect(overlays.first).to_be_hidden()
    reload(page)
    expect(page.get_by_test_id("rollout-player")).to_be_visible()
    expect(page.locator(".wb-paths").first).to_be_hidden()


def test_all_methods_stand_in_one_view_of_space(open_page: OpenPage, sample_address: str) -> None:
    page = compare_step(open_page, sample_address)
    page.get_by_text("In space").click()
    space = page.get_by_test_id("space")
    expect(space).to_have_attribute("data-drawn", "3")
    before = space.evaluate("canvas => canvas.toDataURL()")
    space.focus()
    page.keyboard.press("ArrowLeft")
    expect(space).to_have_attribute("data-turn", "-0.85")
    turned = eventually(page, lambda: space.evaluate("canvas => canvas.toDataURL()"), lambda now: now != before)
    films(page)
    page.get_by_role("slider", name="Time").fill("500")
    page.wait_for_function("before => document.querySelector('[data-testid=space]').toDataURL() !== before", arg=turned)
    assert page.evaluate("() => window.Plotly === undefined"), "space is drawn without Plotly"


def test_a_blind_scene_gives_no_method_away(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(f"{sample_address}?tab=compare")
    player = page.get_by_test_id("rollout-player")
    expect(player).to_have_attribute("data-blind", "true")
    expect(page.locator(".wb-paths").first).to_have_attribute("data-chunk", "0")
    shown = page.locator(".wb-paths").evaluate_all(f"all => all.map({COLOURED})")
    assert shown == [0, 0, 0], "paths of a blind scene have no method's colour"
    assert "dropped" not in player.inner_text() and "cm left" not in player.inner_text()


def test_failures_are_named_by_scene_and_by_method(open_page: OpenPage, sample_address: str) -> None:
    page = compare_step(open_page, sample_address)
    expect(page.locator(".wb-videos figcaption").filter(has_text="fails").first).to_contain_text("6.2 cm left")
    failures = page.get_by_test_id("failures")
    expect(failures).to_contain_text("picked up, then dropped")
    expect(failures.locator("thead")).to_contain_text("LoRA, all heads")
    cells_table = page.get_by_test_id("cells")
    expect(cells_table.locator("tbody").first).to_contain_text("80 (80–80)")
    page.get_by_text("Paired tests (3 pairs)").click()
    expect(page.get_by_test_id("paired-tests").locator("tbody tr")).to_have_count(3)
    expect(page.get_by_test_id("cost")).to_contain_text("290,000")


def test_the_ready_example_says_what_it_is(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(f"{sample_address}?tab=compare")
    expect(page.get_by_test_id("example")).to_contain_text("The workbench's own policy, finetuned for 300 steps")


@pytest.mark.slow
def test_checks_of_the_words_join_the_table(
    open_page: OpenPage, tmp_path: Path, samples: Path, policy: Path, serve: Callable[..., Any]
) -> None:
    with serve(tmp_path, STEERING_SAMPLES=str(samples), STEERING_POLICY=str(policy)) as address:
        words_are_checked(open_page(f"{address}?tab=compare"))


def words_are_checked(page: Page) -> None:
    page.get_by_text("New comparison").click()
    for label in ("Robotic Steering", "LoRA, all heads"):
        page.get_by_label(label, exact=True).first.uncheck()
    page.get_by_label("No words").check()
    page.locator("#steps [name=task]").last.select_option("press_button")
    page.locator("[name=trials]").last.fill("2")
    page.get_by_test_id("compare-start").click()
    table = page.get_by_test_id("cells")
    expect(table).to_contain_text("press button (no words)", timeout=WORKS_MS)
    expect(page.get_by_test_id("example")).to_have_count(0)
    page.get_by_text("Paired tests (1 pair)").click()
    expect(page.get_by_test_id("paired-tests")).to_contain_text("Zero-shot and Zero-shot (no words)")
    shown = page.get_by_test_id("shown")
    untold = shown.locator("option", has_text="Press button (no words): 1 method, 2 scenes, ")  # and the day
    shown.select_option(untold.get_attribute("value"))
    expect(page.get_by_test_id("success")).to_contain_text("no words")
    expect(page.locator(".wb-told")).to_have_text("Told: nothing")
    page.wait_for_url("**comparison=comparison-*")
    reload(page)
    expect(page.locator(".wb-told")).to_have_text("Told: nothing")


@pytest.mark.slow
def test_recordings_are_compared_without_a_simulator(open_page: OpenPage, working_address: str) -> None:
    page = open_page(f"{working_address}?tab=compare")
    no_job(page)
    page.get_by_text("New comparison").click()
    for label in ("Robotic Steering", "LoRA, all heads"):
        page.get_by_label(label, exact=True).first.uncheck()
    page.get_by_test_id("open-loop-start").click()
    card = page.get_by_test_id("open-loop")
    expect(card).to_contain_text("1 held-out episode", timeout=WORKS_MS)
    expect(card.locator(".wb-curves-grid svg")).to_have_count(7)
    assert card.locator(".wb-demonstrated polyline").first.evaluate("line => getComputedStyle(line).stroke") != "none"
    page.get_by_text("Error by dimension and by step").click()
    expect(card.locator("table").first).to_contain_text("gripper")


@pytest.mark.slow
def test_the_evidence_says_how_far_it_is(
    open_page: OpenPage,
    samples: Path,
    policy: Path,
    serve: Callable[..., AbstractContextManager[str]],
    tmp_path: Path,
) -> None:
    for task in TASKS:
        for method, won in (("lora", 20), ("steering_vlm", 32)):
            file = tmp_path / "grid" / task / method / "0.json"
            file.parent.mkdir(parents=True)
            run = {"task": task, "variations": [], "success": "1" * won + "0" * (40 - won), "failure": [""] * 40}
            cost = dict.fromkeys(("extraction_s", "selection_s", "train_s", "peak_memory_mb"), 5.0)
            made = {"cell": f"{task}/{method}/0", "cost": {**cost, "trainable_parameters": 9}, "conditions": [run]}
            file.write_text(json.dumps({**made, "settings": {"heads": 20, "demonstrations": 20}, "wall_s": 1}))
    settings = {"STEERING_SAMPLES": samples, "STEERING_POLICY": policy, "STEERING_EVIDENCE": tmp_path}
    with serve(tmp_path, **{name: str(folder) for name, folder in settings.items()}) as address:
        page = open_page(f"{address}?tab=compare", width=390, height=844, dark=True)
        evidence = page.get_by_test_id("evidence")
        expect(evidence).to_contain_text(f"10 of {len(cells())} cells")
        expect(page.get_by_test_id("dumbbells")).to_be_hidden()
        evidence.locator("summary").first.click()
        expect(page.get_by_test_id("dumbbells").locator("svg")).to_have_count(9)
        expect(evidence.get_by_role("row").filter(has_text="pick cube").first).to_contain_text("+15")
        expect(evidence).to_contain_text("the twin agrees")
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
        assert page.evaluate("() => window.Plotly === undefined"), "no figure is fetched before it is asked for"
        page.get_by_test_id("evidence-figure").first.click()
        expect(page.locator("#compare-figure .main-svg").first).to_be_visible()
