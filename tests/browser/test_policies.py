"""The policy chooser: an allowed folder is checked, opened and used by everything that follows; what cannot is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .waiting import WORKS_MS, reload, resting

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
WIDE = "folder:wide"


@pytest.fixture(scope="module")
def address(
    serve: Callable[..., AbstractContextManager[str]],
    run_script: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
    samples: Path,
    policy: Path,
) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("policies")
    run_script("tests/browser/published_policy.py", folder / "models" / "wide")
    (folder / "models" / "broken").mkdir()
    (folder / "models" / "broken" / "config.json").write_text("{}")
    settings = {"STEERING_SAMPLES": samples, "STEERING_POLICY": policy, "STEERING_POLICY_FOLDERS": folder / "models"}
    with serve(folder, **{name: str(value) for name, value in settings.items()}) as found:
        yield found


def choose(page: Page, key: str) -> None:
    page.locator(".wb-chip[data-name=Policy]").click()
    page.locator(f'[data-policy="{key}"]').get_by_role("button", name="Open").click()


def test_a_folder_is_checked_opened_and_used(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    expect(page.get_by_test_id("head-cell")).to_have_count(128)
    choose(page, WIDE)
    expect(page.locator(f'[data-policy="{WIDE}"]')).to_have_attribute("aria-current", "true", timeout=WORKS_MS)
    check = page.get_by_test_id("policy-check")
    expect(check).to_contain_text("π0 in lerobot's layout, 2 × 18 layers × 8 heads")
    expect(check).to_contain_text("free memory")
    expect(check).to_contain_text("Normalised by the statistics of")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("policies")).to_be_hidden()
    expect(page.locator(".wb-chip[data-name=Policy]")).to_contain_text("wide")
    expect(page.get_by_text("These heads are not scored yet")).to_be_visible()  # another policy's scores do not count
    page.wait_for_url("**policy=folder%3Awide**")

    other = open_page(page.url)  # the link carries it
    expect(other.locator(".wb-chip[data-name=Policy]")).to_contain_text("wide")
    other.get_by_role("tab", name="Finetune").click()
    expect(other.get_by_test_id("parameters-lora")).not_to_be_empty()
    assert int(other.get_by_test_id("parameters-lora").inner_text().replace(",", "")) > 1_000_000
    expect(other.locator('[data-slot="cost-steering"]')).to_contain_text("Select heads on the map")

    reload(page)  # and so does the browser's memory
    expect(page.locator(".wb-chip[data-name=Policy]")).to_contain_text("wide")
    choose(page, "server:policy")
    expect(page.locator('[data-policy="server:policy"]')).to_have_attribute("aria-current", "true")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("head-cell")).to_have_count(128)
    expect(page.get_by_test_id("selection-summary")).to_contain_text("20 heads selected")
    page.wait_for_url("**policy=server%3Apolicy**")


@pytest.mark.slow
def test_heads_of_the_opened_policy_are_found_and_mapped(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    choose(page, WIDE)
    expect(page.locator(f'[data-policy="{WIDE}"]')).to_have_attribute("aria-current", "true", timeout=WORKS_MS)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Find heads").first.click()
    expect(page.get_by_test_id("head-cell")).to_have_count(288, timeout=WORKS_MS)
    sizes = page.get_by_test_id("head-cell").evaluate_all("cells => cells.map(c => c.getBoundingClientRect().height)")
    assert min(sizes) >= 12
    page.locator('[data-stack="vlm"][data-layer="16"][data-head="2"]').click()
    expect(page.locator("#header")).to_contain_text("selected")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    ("key", "words"),
    [("someone/nothing", "works offline"), ("../../etc", "Expected the id of a policy on the hub")],
)
def test_a_hub_id_that_is_not_here_is_said(open_page: OpenPage, address: str, key: str, words: str) -> None:
    page = open_page(address)
    page.locator(".wb-chip[data-name=Policy]").click()
    page.get_by_test_id("hub-id").fill(key)
    page.get_by_test_id("open-hub").click()
    said = page.locator("#policy-chooser .wb-failed, .toast-body").first
    expect(said).to_contain_text(words, timeout=WORKS_MS)
    expect(page.locator(".wb-chip[data-name=Policy]")).to_contain_text("policy")
    assert "etc" not in page.locator("#header").inner_text()


def test_a_folder_that_is_no_policy_is_said(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    choose(page, "folder:broken")
    failed = page.locator("#policy-chooser .wb-failed")
    expect(failed).to_contain_text("no config.json", timeout=WORKS_MS)
    failed.get_by_role("button", name="Dismiss").click()
    expect(failed).to_have_count(0)
    reload(page)
    expect(failed).to_have_count(0)


def test_the_chooser_fits_a_phone(open_page: OpenPage, address: str) -> None:
    page = open_page(address, width=390, height=844, dark=True)
    page.locator(".wb-chip[data-name=Policy]").click()
    box = resting(page.locator("#policy-chooser"))
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= 844
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_test_id("policies")).to_be_hidden()
