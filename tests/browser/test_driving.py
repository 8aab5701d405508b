"""Driving by hand: keys, held buttons, keeping, saving; what is pressed elsewhere or by the way does nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from steering.demonstrations.recording import driven_seed
from steering.driving.scene import DrivenScene
from steering.simulation.experts import expert_action

from .waiting import reload, resting

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
SEEN = "document.querySelector('.wb-drive canvas[data-camera={}]').toDataURL()"


@pytest.fixture(scope="module")
def address(
    tmp_path_factory: pytest.TempPathFactory,
    serve: Callable[..., AbstractContextManager[str]],
    policy: Path,
) -> Iterator[str]:
    """A page of its own over an empty store, for what is saved stays."""
    folder = tmp_path_factory.mktemp("driving")
    with serve(folder, STEERING_SAMPLES=str(folder / "none"), STEERING_POLICY=str(policy)) as found:
        yield found


def start(page: Page) -> str:
    """Start driving the button task; the address of the drive."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/driving/" in request.url else None)
    expect(page.get_by_test_id("record-start")).to_be_visible()
    page.get_by_text("You, by keyboard").click()
    expect(page.get_by_test_id("record-start")).to_be_hidden()
    expect(page.locator(".wb-record [name=count]")).to_be_hidden()
    page.locator(".wb-record [name=task]").select_option("press_button")
    page.get_by_test_id("drive-start").click()
    drawn(page)
    return asked[0]


def drawn(page: Page) -> None:
    expect(page.locator(".wb-drive[data-drawn]")).to_be_visible()


def steps(page: Page) -> int:
    return int(page.get_by_test_id("driving-steps").inner_text().split()[0])


def at_least(page: Page, count: int) -> None:
    page.wait_for_function(
        "n => parseInt(document.querySelector('[data-testid=driving-steps]').textContent) >= n", arg=count
    )


@pytest.mark.slow
def test_who_records_has_its_own_fields(open_page: OpenPage, address: str) -> None:
    page = open_page(f"{address}?tab=demonstrations")
    actor, count = page.locator(".wb-record [name=actor]"), page.locator(".wb-record [name=count]")
    expect(page.get_by_test_id("record-start")).to_be_visible()
    expect(actor).to_be_hidden()
    page.get_by_text("A policy", exact=True).click()
    expect(actor).to_be_visible()
    expect(actor).to_have_value("policy")
    expect(count).to_be_visible()
    expect(page.get_by_test_id("record-start")).to_be_visible()
    expect(page.get_by_text("failures too")).to_be_visible()
    page.get_by_text("Scripted expert", exact=True).click()
    expect(actor).to_be_hidden()
    expect(page.get_by_text("failures too")).to_be_hidden()


def succeed(page: Page, url: str) -> None:
    """Send what the expert would do in the first scene of the set."""
    drive = DrivenScene("press_button", driven_seed(0, 0))
    while not drive.success:
        action = expert_action(drive._world)[0]
        drive.step(action)
        body = json.dumps({"do": "step", "action": action.tolist()})
        assert page.request.post(url, data=body, headers={"Content-Type": "application/json"}).ok
    drive.close()


def test_a_set_is_driven_by_keys_kept_and_saved(open_page: OpenPage, address: str) -> None:
    page = open_page(f"{address}?tab=demonstrations")
    url = start(page)
    view, kept = page.get_by_test_id("driving-view"), page.get_by_test_id("driving-kept")
    expect(view).to_be_focused()
    resting(view)
    page.wait_for_timeout(700)
    assert steps(page) == 0, "time does not run before the first key"
    before = [page.evaluate(SEEN.format(camera)) for camera in ("exterior", "wrist")]
    scroll = page.evaluate("scrollY")
    page.keyboard.down("d")
    page.keyboard.down("s")
    at_least(page, 12)
    expect(page.locator("[data-hold=right]")).to_have_attribute("data-on", "")
    page.keyboard.up("d")
    page.keyboard.up("s")
    for camera, one in zip(("exterior", "wrist"), before, strict=True):
        page.wait_for_function(f"(before) => {SEEN.format(camera)} !== before", arg=one)
    expect(page.get_by_test_id("driving-gripper")).to_have_text("Closed")
    page.keyboard.press("Space")
    expect(page.get_by_test_id("driving-gripper")).to_have_text("Open")
    driven = steps(page)
    for key in ("2", "5", "]", "ArrowDown", "a"):
        page.keyboard.press(key)
    assert page.evaluate("scrollY") == scroll, "keys do not scroll"
    expect(page.get_by_role("tab", name="Demonstrations")).to_have_attribute("aria-selected", "true")
    at_least(page, driven + 1)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("driving-words")).to_contain_text("not reached yet")
    page.keyboard.press("Backspace")
    expect(page.get_by_test_id("driving-steps")).to_have_text("0 of 560")

    page.keyboard.press("Escape")
    expect(page.get_by_text("Click here to drive")).to_be_visible()
    page.keyboard.press("d")
    page.wait_for_timeout(300)
    assert steps(page) == 0, "keys act only in the picture"
    page.keyboard.press("?")
    expect(page.get_by_test_id("shortcuts")).to_contain_text("Try the scene again")
    page.keyboard.press("Escape")

    succeed(page, url)
    view.click()
    page.keyboard.press("r")
    expect(page.get_by_test_id("driving-verdict")).to_contain_text("Reached")
    page.keyboard.press("Enter")
    expect(kept).to_have_text("1 episode")
    expect(page.get_by_text("Scene 2")).to_be_visible()

    page.locator("[data-hold=up]").hover()
    page.mouse.down()
    at_least(page, 12)
    page.mouse.up()
    page.get_by_test_id("driving-failure").click()
    expect(kept).to_have_text("2 episodes, 1 succeed")
    reload(page)
    drawn(page)
    expect(kept).to_have_text("2 episodes, 1 succeed")
    page.get_by_test_id("driving-save").click()
    card = page.get_by_test_id("set")
    expect(card).to_contain_text("1 of 2 succeed")
    expect(card).to_contain_text("By keyboard")
    expect(page.get_by_test_id("driving")).to_have_count(0)
    card.get_by_role("button", name="Open").click()
    expect(page.get_by_test_id("frame-player")).to_contain_text("press the button")


def test_a_broken_connection_and_an_ended_drive_are_said(open_page: OpenPage, address: str) -> None:
    page = open_page(f"{address}?tab=demonstrations")
    start(page)
    said, ended = page.get_by_test_id("driving-words"), json.dumps({"words": "This drive ended <b>early</b>."})
    page.route("**/driving/*", lambda route: route.abort())
    page.keyboard.press("w")
    expect(said).to_contain_text("The connection broke")
    page.unroute("**/driving/*")
    page.keyboard.down("w")
    at_least(page, 3)
    expect(said).to_be_hidden()
    page.route("**/driving/*", lambda route: route.fulfill(status=404, body=ended, content_type="application/json"))
    expect(said).to_have_text("This drive ended <b>early</b>.")
    page.keyboard.up("w")
    expect(page.get_by_test_id("driving-next")).to_be_disabled()
    page.unroute("**/driving/*")
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.get_by_test_id("driving")).to_have_count(0)


def test_a_phone_drives_by_held_buttons_and_stops(open_page: OpenPage, address: str) -> None:
    page = open_page(f"{address}?tab=demonstrations", width=390, height=844)
    url = start(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("[data-hold=away]").hover()
    page.mouse.down()
    at_least(page, 12)
    page.mouse.up()
    page.get_by_test_id("driving-failure").click()
    expect(page.get_by_test_id("driving-kept")).to_have_text("1 episode, 0 succeed")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_test_id("driving-stop").click()
    confirm = page.get_by_test_id("driving-confirm")
    confirm.get_by_role("button", name="Go on driving").click()
    expect(confirm).to_have_count(0)
    page.get_by_test_id("driving-stop").click()
    confirm.get_by_role("button", name="Drop and stop").click()
    expect(page.get_by_test_id("driving")).to_have_count(0)
    answer = page.request.post(url, data='{"do": "look"}', headers={"Content-Type": "application/json"})
    assert answer.status == 404 and "Start a new one" in answer.json()["words"]
