"""A head over all its frames: points, colours, a brush by pointer and by keys, and where each picture leads."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import ask
from .waiting import eventually, resting

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
Cell = Callable[[Page, str, int, int], Locator]
FRAMES = 189
"""Of all episodes of the sample."""
PAINTED = """(plane) => { const canvas = plane.querySelector('canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const tones = new Map();
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) {
    const tone = `rgb(${data[i]}, ${data[i + 1]}, ${data[i + 2]})`;
    tones.set(tone, (tones.get(tone) ?? 0) + 1);
  }
  return Object.fromEntries(tones); }"""
"""Colour -> pixels of it, of the layer that holds all points."""


@pytest.fixture
def page(open_page: OpenPage, measures_address: str, cell: Cell) -> Page:
    opened = open_page(measures_address)
    cell(opened, "expert", 3, 2).click()
    plane = ask(opened, "frames").get_by_test_id("plane")
    expect(plane).to_be_visible()
    eventually(opened, lambda: plane.evaluate(PAINTED), bool)
    return opened


def brushed(page: Page, left: float, top: float, right: float, bottom: float) -> int:
    """How many frames a box holds that is dragged from corner to corner. In shares of the plane."""
    plane = page.get_by_test_id("plane")
    plane.scroll_into_view_if_needed()
    box = resting(plane)
    (x0, y0), (x1, y1) = (
        (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ((left, top), (right, bottom))
    )
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2)
    page.mouse.move(x1, y1)
    page.mouse.up()
    return count(page)


def count(page: Page) -> int:
    """Of frames that are brushed, as it is said."""
    said = page.get_by_test_id("brushed").inner_text()
    found = re.match(rf"(\d+) of {FRAMES} frames, of \d+ episodes?, mean score", said)
    return int(found.group(1)) if found else 0 if said == "No frame is in the box." else -1


def legend(page: Page) -> dict[str, str]:
    """What a colour says -> the colour."""
    keys = page.locator(".wb-frames-legend span").all()
    return {one.inner_text().strip("● "): one.locator("i").evaluate("(i) => getComputedStyle(i).color") for one in keys}


def test_points_are_coloured_by_phase_and_by_episode(page: Page) -> None:
    plane, phases = page.get_by_test_id("plane"), legend(page)
    by_phase = eventually(page, lambda: plane.evaluate(PAINTED), lambda tones: set(phases.values()) <= set(tones))
    assert len(phases) > 2 and min(by_phase[one] for one in phases.values()) > 9
    page.get_by_role("button", name="Episode", exact=True).click()
    # as many colours as episodes
    eventually(page, lambda: plane.evaluate(PAINTED), lambda tones: sum(pixels > 99 for pixels in tones.values()) >= 6)
    expect(page.locator(".wb-frames-legend")).to_contain_text("Episode 1")
    expect(page.locator(".wb-frames-legend")).to_contain_text("6")


def test_a_brush_shows_the_frames_in_it(page: Page) -> None:
    expect(page.get_by_test_id("brushed")).to_contain_text(f"All {FRAMES} frames, of 6 episodes, mean score")
    pictures = page.get_by_test_id("brushed-frames").get_by_role("button")
    expect(pictures).to_have_count(12)
    assert brushed(page, 0.01, 0.03, 0.99, 0.97) == FRAMES
    left, right = brushed(page, 0.01, 0.03, 0.5, 0.97), brushed(page, 0.99, 0.97, 0.5, 0.03)
    assert 0 < left < FRAMES and left + right == FRAMES
    by_phase = page.locator("[data-brushed]").all_inner_texts()
    assert sum(map(int, by_phase)) == right
    assert brushed(page, 0.01, 0.03, 0.03, 0.06) == 0
    expect(pictures).to_have_count(0)
    page.get_by_test_id("plane").focus()
    page.keyboard.press("Escape")
    assert count(page) == -1
    page.keyboard.press("ArrowRight")  # a box in the middle
    first = count(page)
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowDown")
    assert count(page) > first > 0
    expect(pictures).to_have_count(min(12, count(page)))
    wanted = pictures.last
    episode, frame = (int(wanted.get_attribute(f"data-{name}") or -1) for name in ("episode", "frame"))
    wanted.click()
    page.wait_for_function("([e, f]) => wb.state.episode?.episode === e && wb.state.frame >= f", arg=[episode, frame])


def test_a_tenth_and_a_failure_lead_to_their_frames(page: Page) -> None:
    tenths = page.locator("[data-tenth]")
    expect(tenths).to_have_count(10)
    tenths.first.click()
    expect(tenths.first).to_have_attribute("aria-pressed", "true")
    assert count(page) == 19  # the first of ten parts of 189
    tenths.first.click()
    assert count(page) == -1
    failure = page.get_by_test_id("failures").get_by_role("button").first
    episode = int(failure.get_attribute("data-episode") or -1)
    failure.click()
    page.wait_for_function("(e) => wb.state.episode?.episode === e", arg=episode)
