"""Policies of other sizes: stacks with different numbers of heads, where every cell is a head, and the 18 layers of π0.

The first one's store is this file's own, so a damaged one is tried here, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from .waiting import resting, said

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
Cell = Callable[[Page, str, int, int], Locator]


@pytest.fixture(scope="module")
def folder(run_script: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("unequal")
    run_script("tests/browser/unequal_store.py", made)
    return made


@pytest.fixture(scope="module")
def address(serve: Callable[..., AbstractContextManager[str]], folder: Path) -> Iterator[str]:
    with serve(folder, STEERING_SAMPLES=str(folder / "none"), STEERING_POLICY=str(folder / "policy")) as found:
        yield found


def test_every_stack_has_its_own_cells(open_page: OpenPage, address: str, cell: Cell) -> None:
    page = open_page(address)
    expect(page.get_by_test_id("head-cell")).to_have_count(8 * 4 + 8 * 6)
    summary = page.get_by_test_id("selection-summary")
    expect(summary).to_contain_text("20 heads selected")  # the paper's rule
    page.get_by_role("button", name="All", exact=True).click()
    expect(summary).to_contain_text("76 heads selected")  # the VLM's last layer is inert
    expect(summary).to_contain_text("28 VLM, 48 expert")
    page.get_by_role("button", name="Clear").click()

    cell(page, "vlm", 3, 3).click(modifiers=["Control"])
    for key, place in (("ArrowRight", "expert 3 0"), ("End", "expert 3 5"), ("ArrowDown", "expert 4 5")):
        page.keyboard.press(key)
        focused = page.evaluate(
            "() => (({ stack, layer, head }) => [stack, layer, head])(document.activeElement.dataset)"
        )
        assert " ".join(focused) == place
    page.keyboard.press("Shift+Space")  # the whole layer
    expect(summary).to_contain_text("7 heads selected")
    expect(summary).to_contain_text("1 VLM, 6 expert")
    page.locator('[data-column="1,5"]').click()  # one of them is selected already
    expect(summary).to_contain_text("1 VLM, 13 expert")
    cell(page, "expert", 6, 5).hover()
    expect(page.get_by_test_id("head-inspector")).to_contain_text("Action expert 6.5")
    expect(page.get_by_test_id("head-inspector")).to_contain_text("1 of 48")
    # rank 16: each VLM head 2 × 16, its layer 32 + 32; each expert head 2 × 16, its 8 layers 24 + 24
    line = page.get_by_test_id("what-if")
    expect(line).to_contain_text(f"{16 * (14 * 32 + 64 + 8 * 48):,} parameters at rank 16")


def test_the_set_stays_in_the_link(open_page: OpenPage, address: str, cell: Cell) -> None:
    page = open_page(address)
    page.get_by_role("button", name="Clear").click()
    for stack, layer, head in (("vlm", 0, 3), ("expert", 0, 0), ("expert", 7, 5)):
        cell(page, stack, layer, head).click(modifiers=["Control"])
    expect(page.get_by_test_id("selection-summary")).to_contain_text("1 VLM, 2 expert")
    page.wait_for_url("**heads=10000000800000000001**")  # a bit a head: the 4th, 33rd and 80th
    other = open_page(page.url)
    expect(other.get_by_test_id("selection-summary")).to_contain_text("1 VLM, 2 expert")
    for stack, layer, head in (("vlm", 0, 3), ("expert", 0, 0), ("expert", 7, 5)):
        expect(cell(other, stack, layer, head)).to_have_attribute("aria-selected", "true")


def test_an_error_of_a_quick_event_is_said_and_holds_nothing_back(
    open_page: OpenPage, address: str, folder: Path
) -> None:
    page = open_page(address)
    player = page.get_by_test_id("frame-player")
    expect(player).to_be_visible()
    artefacts = folder / "store" / "artefacts"
    artefacts.rename(artefacts.with_name("away"))
    player.locator("select").select_option("1")
    said(page, "There is no artefact")
    artefacts.with_name("away").rename(artefacts)
    player.locator("select").select_option("1")
    page.wait_for_function("() => wb.state.episode.episode === 1")


@pytest.mark.slow
def test_eighteen_layers_stay_in_sight(open_page: OpenPage, big_address: str) -> None:
    page = open_page(big_address, height=1000)
    expect(page.get_by_test_id("head-cell")).to_have_count(288)
    assert resting(page.get_by_test_id("head-map"))["height"] < 560
    smallest = page.evaluate(
        "() => Math.min(...[...document.querySelectorAll('.wb-cell')].map(c => c.getBoundingClientRect().height))"
    )
    assert smallest >= 14
    phone = open_page(big_address, width=390, height=844)
    assert phone.evaluate("() => document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_what_cannot_run_is_off_and_says_why(open_page: OpenPage, big_address: str) -> None:
    page = open_page(f"{big_address}?tab=finetune", width=390, height=844, dark=True)
    box = page.locator("[name=methods][value=full]")
    expect(box).to_be_disabled()
    expect(page.get_by_test_id("off-full")).to_contain_text("not known")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
