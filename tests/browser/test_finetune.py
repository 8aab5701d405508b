"""The Finetune step in the browser: counting while one types, presets, the command, what is off, stop, reload."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from .waiting import WORKS_MS, no_job, reload, said, settled

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
LISTEN = """() => { window.told = []; window.seen = new Set(); window.regions = new Set(); new MutationObserver(() => {
          for (const job of document.querySelectorAll('.wb-job header span')) window.seen.add(job.textContent);
          for (const live of document.querySelectorAll('.wb-jobs :is([role=status], [role=alert], [aria-live])'))
            if (window.regions.add(live) && window.told.at(-1) !== live.textContent) window.told.push(live.textContent);
        }).observe(document.body, { childList: true, subtree: true, characterData: true }); }"""
"""Keeps how far the job says it is, and what is read aloud of it."""


def finetune(open_page: OpenPage, address: str, **options: object) -> Page:
    page = open_page(address, **options)
    page.get_by_role("tab", name="Finetune").click()
    expect(page.get_by_test_id("parameters-lora")).not_to_be_empty()
    return page


def count(page: Page, method: str) -> int:
    return int(page.get_by_test_id(f"parameters-{method}").inner_text().replace(",", ""))


def test_every_method_shows_what_it_trains_and_takes(open_page: OpenPage, sample_address: str) -> None:
    page = finetune(open_page, sample_address)
    for method in ("steering", "lora", "lora_rank_matched", "dense_heads", "random", "bottom", "full"):
        assert count(page, method) > 0
        expect(page.get_by_test_id(f"time-{method}")).to_contain_text("≈")
    assert count(page, "random") == count(page, "steering") and count(page, "lora") > 10 * count(page, "steering")
    expect(page.locator('[data-slot="cost-other_task"]')).to_contain_text("No demonstrations of another task")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_counts_follow_every_change_at_once(open_page: OpenPage, sample_address: str) -> None:
    page = finetune(open_page, sample_address)
    at_16 = count(page, "steering")
    for rank, parameters in (("8", at_16 // 2), ("64", 4 * at_16), ("16", at_16)):
        page.locator("[name=rank]").select_option(rank)
        expect(page.get_by_test_id("parameters-steering")).to_have_text(f"{parameters:,}")
    before, time_before = count(page, "steering"), page.get_by_test_id("time-steering").inner_text()
    page.get_by_text("More options").click()
    page.get_by_label("Keys and values of the selected layers").check()
    expect(page.get_by_test_id("parameters-steering")).not_to_have_text(f"{before:,}")
    expect(page.locator('[data-slot="cost-steering"]')).to_contain_text("keys")
    page.locator("[name=steps]").press("End")
    page.keyboard.type("0")  # 300 becomes 3000: no blur needed
    expect(page.get_by_test_id("time-steering")).not_to_have_text(time_before)
    assert page.evaluate("() => document.activeElement.name") == "steps"


def test_a_press_means_the_heads_that_are_shown_before_the_server_has_heard_of_them(
    open_page: OpenPage, sample_address: str, cell: Callable[[Page, str, int, int], Locator]
) -> None:
    """What tells the server of a click on the map is held back; the form counts that set all the same."""
    page = finetune(open_page, sample_address)
    page.get_by_text("The same on the command line").click()
    shell = page.get_by_test_id("command-shell")
    expect(shell).to_contain_text("--hex")
    before = re.findall(r"--hex (\w+)", shell.inner_text())[0]
    settled(page)
    held: list[Route] = []

    def hold(route: Route) -> None:
        told = '"event_data":{"selected":' in (route.request.post_data or "")
        held.append(route) if told else route.continue_()

    page.route("**/gradio_api/run/**", hold)
    page.get_by_role("tab", name="Heads").click()
    cell(page, "expert", 3, 3).click(modifiers=["Control"])
    page.get_by_role("tab", name="Finetune").click()
    page.locator("[name=steps]").fill("77")
    expect(shell).to_contain_text("--steps 77")
    expect(shell).not_to_contain_text(before)
    assert held, "the server has not heard of it"
    for route in held:
        route.continue_()
    page.unroute("**/gradio_api/run/**")
    settled(page)
    expect(shell).not_to_contain_text(before)


def test_presets_fill_the_form_and_a_reload_keeps_it(open_page: OpenPage, sample_address: str) -> None:
    page = finetune(open_page, sample_address)
    page.locator(".wb-training [name=preset]").select_option("paper_ffn")
    expect(page.locator("[name=steps]")).to_have_value("3000")
    expect(page.locator("[name=learning_rate]")).to_have_value("2.5e-05")
    expect(page.locator("[name=ffn]")).to_have_value("all")
    page.get_by_label("Control: worst heads").check()
    settled(page)
    kept = page.evaluate("() => localStorage.getItem('steering-training') ?? ''")
    with page.expect_response(lambda answer: re.search(r'"seed": ?"11"', answer.request.post_data or "") is not None):
        page.locator("[name=seed]").fill("11")
    page.wait_for_function("kept => (localStorage.getItem('steering-training') ?? '') !== kept", arg=kept)
    settled(page)
    reload(page)
    page.get_by_role("tab", name="Finetune").click()
    expect(page.locator("[name=seed]")).to_have_value("11")
    expect(page.locator("[name=steps]")).to_have_value("3000")
    expect(page.locator("[name=methods][value=bottom]")).to_be_checked()


def test_the_command_is_copied(open_page: OpenPage, sample_address: str) -> None:
    page = finetune(open_page, sample_address)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_text("The same on the command line").click()
    page.locator("[name=steps]").fill("77")
    shell = page.get_by_test_id("command-shell")
    expect(shell).to_contain_text("--steps 77")
    expect(page.get_by_test_id("command-python")).to_contain_text("'steps': 77")
    page.get_by_role("button", name="Copy", exact=True).first.click()
    said(page, "Copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == shell.inner_text()


def test_a_training_survives_a_reload_stops_within_a_step_and_errors_are_said(
    open_page: OpenPage, working_address: str
) -> None:
    page = finetune(open_page, working_address)
    no_job(page)
    page.get_by_text("More options").click()
    page.locator("[name=heldout]").fill("50")
    page.get_by_test_id("finetune-start").click()
    said(page, "leave none to train on")
    page.locator("[name=heldout]").fill("1")
    page.locator("[name=steps]").fill("2900")
    page.locator("[name=batch_size]").select_option("4")
    for method in ("steering", "lora"):
        page.locator(f"[name=methods][value={method}]").uncheck()
    page.locator("[name=methods][value=random]").check()
    page.get_by_test_id("finetune-start").click()
    live = page.get_by_test_id("live-runs")
    expect(live).to_contain_text("Control: random heads", timeout=WORKS_MS)
    expect(live).to_contain_text("of 2900")
    page.wait_for_function("() => /step [1-9]/.test(document.querySelector('[data-testid=live-runs]').textContent)")
    for named in ("Time left", "Samples a second", "Peak memory", "Held-out error"):
        expect(live).to_contain_text(named)
    reload(page)
    expect(page.get_by_test_id("job").first).to_contain_text("Control: random heads")
    expect(live).to_contain_text("of 2900", timeout=WORKS_MS)
    page.evaluate(LISTEN)
    page.wait_for_function("() => window.seen.size >= 3", timeout=WORKS_MS)
    page.get_by_test_id("job").get_by_role("button", name="Stop").click()
    expect(page.get_by_test_id("jobs").first).to_contain_text("stopped", timeout=WORKS_MS)
    assert page.evaluate("() => window.regions.size") == 1  # drawn anew it would be read again
    told = page.evaluate("() => window.told")  # not at every step
    assert told and all(re.search(r": (running|stopping at the next step|stopped)\.$", one) for one in told)
    expect(live).to_have_count(0)
    page.get_by_test_id("jobs").first.get_by_role("button", name="Continue").click()
    expect(page.get_by_test_id("job").first).to_be_visible()
    page.get_by_test_id("job").get_by_role("button", name="Stop").click()
    expect(page.get_by_test_id("jobs").first).to_contain_text("stopped", timeout=WORKS_MS)


def test_a_finished_training_joins_the_results(open_page: OpenPage, working_address: str) -> None:
    page = finetune(open_page, working_address)
    no_job(page)
    rows = page.get_by_test_id("finetune-results").locator("tbody tr")
    expect(rows.first).to_be_visible()
    before = rows.count()
    page.locator("[name=steps]").fill("7")
    page.locator("[name=batch_size]").select_option("4")
    page.get_by_label("LoRA, all heads").uncheck()
    page.get_by_test_id("finetune-start").click()
    expect(page.get_by_test_id("training-curves")).to_be_visible(timeout=WORKS_MS)
    expect(rows).to_have_count(before + 1, timeout=WORKS_MS)
    expect(rows.first).to_contain_text("7")
