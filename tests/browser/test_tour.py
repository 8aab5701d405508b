"""The tour over the real controls, and the words that open their meaning on every step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from .waiting import eventually, opened

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
STOPS = 7
SHARE = """() => { const box = (node) => node.getBoundingClientRect();
  const [target, card] = [box(document.querySelector('.wb-toured')), box(document.querySelector('.wb-tour'))];
  const side = (boxes, from, to) => Math.max(0,
    Math.min(...boxes.map((one) => one[to])) - Math.max(...boxes.map((one) => one[from])));
  const area = (...boxes) => side(boxes, 'left', 'right') * side(boxes, 'top', 'bottom');
  const screen = { left: 0, top: 0, right: innerWidth, bottom: innerHeight };
  return [area(target, screen), area(target, screen, card)]; }"""
"""Of what is outlined: what is on the screen, and what of that the card covers. In pixels."""


@pytest.mark.parametrize(("width", "height"), [(1280, 720), pytest.param(390, 844, marks=pytest.mark.slow)])
def test_the_tour_outlines_what_it_speaks_of(open_page: OpenPage, sample_address: str, width: int, height: int) -> None:
    page = open_page(sample_address, width=width, height=height)
    page.get_by_role("button", name="Help: keys and words").click()
    page.get_by_test_id("tour-start").click()
    card, outlined = page.get_by_test_id("tour"), page.locator(".wb-toured")
    expect(card).to_be_focused()
    for stop in range(1, STOPS + 1):
        expect(card).to_contain_text(f"{stop} of {STOPS}")
        expect(outlined).to_have_count(1)
        # what is seen of it in pixels, and how many of them lie under the card
        eventually(page, lambda: page.evaluate(SHARE), lambda found: found[0] > 1000 and found[1] < found[0] / 2)
        card.get_by_role("button", name="Done" if stop == STOPS else "Next").click()
    expect(card).to_have_count(0)
    expect(outlined).to_have_count(0)
    expect(page.get_by_test_id("lessons")).to_be_visible()  # it ends where one learns


def test_the_tour_goes_back_and_is_left_by_escape(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    page.keyboard.press("?")
    page.get_by_role("button", name="Take the 30-second tour").click()
    card = page.get_by_test_id("tour")
    expect(card).to_contain_text("1 of 7")
    expect(card.get_by_role("button", name="Back")).to_be_disabled()
    card.get_by_role("button", name="Next").click()
    expect(card).to_contain_text("2 of 7")
    card.get_by_role("button", name="Back").click()
    expect(card).to_contain_text("1 of 7")
    page.keyboard.press("Escape")
    expect(card).to_have_count(0)
    expect(page.locator(".wb-toured")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.get_by_role("button", name="Take the tour again")).to_be_visible()


def test_words_open_their_meaning_on_every_step(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    meaning = page.get_by_test_id("meaning")
    for step in ("Demonstrations", "Heads", "Finetune", "Compare"):
        panel = opened(page, step)
        word = panel.locator(".wb-term:visible").first
        expect(word).to_be_visible()
        key = word.get_attribute("data-term")
        panel.locator(f'[data-term="{key}"]:visible').first.click()
        name, told = page.evaluate("(key) => wb.glossary[key]", key)
        expect(meaning).to_contain_text(told)
        assert name.lower() in meaning.inner_text().lower()
        page.keyboard.press("Escape")
        expect(meaning).to_be_hidden()
    unknown = (
        "() => [...document.querySelectorAll('[data-term]')].filter((word) => !wb.glossary[word.dataset.term]).length"
    )
    assert page.evaluate(unknown) == 0
