"""What the embedded policy answers about a head on the repository's own samples, and the chips of the header."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
WORKS_MS = 120_000  # the policy is loaded first


def ask(page: Page, kind: str) -> Locator:
    page.get_by_test_id("measures").scroll_into_view_if_needed()
    page.locator(f'.wb-lab-tabs [data-kind="{kind}"]').click()
    return page.get_by_test_id("lab-body")


def picture(page: Page) -> str:
    return str(page.evaluate("() => document.querySelector('.wb-cameras canvas').toDataURL()"))


@pytest.mark.slow
def test_words_and_the_predicted_path_of_a_head(open_page: OpenPage, real_address: str) -> None:
    page = open_page(real_address)
    page.wait_for_function("() => wb.state.attention !== null")
    body = ask(page, "words")
    words = body.locator(".wb-words span")
    expect(words.first).to_be_visible(timeout=WORKS_MS)
    assert "cube" in " ".join(words.all_inner_texts())
    shares = [float(text.split()[-2]) for text in words.all_inner_texts()]
    assert 0 < sum(shares) <= 101, "percent of all attention"
    before = picture(page)
    body = ask(page, "gain")
    page.get_by_test_id("gain-knob").wait_for(timeout=WORKS_MS)
    expect(body).to_contain_text("On the cameras: the path of the gripper")
    own = picture(page)
    assert own != before, "the path as it is lies over the camera"
    body.get_by_role("button", name="Three times").click()
    expect(page.get_by_test_id("gain")).to_have_text("× 3")
    expect(body).to_contain_text("At 3 times")
    assert picture(page) != own, "and the changed path beside it"
    expect(body.locator(".wb-mirrors canvas")).to_have_count(2)


def test_chips_open_what_they_name(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    for chip, step in (("Demonstrations", "Demonstrations"), ("Heads", "Heads"), ("Last run", "Compare")):
        page.locator(f'.wb-chip[data-name="{chip}"]').click()
        expect(page.get_by_role("tab", name=step, selected=True)).to_be_visible()
    page.locator('.wb-chip[data-name="Policy"]').click()
    expect(page.locator("#policy-chooser")).to_be_visible()
