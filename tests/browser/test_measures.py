"""What is asked below the map, in Chromium: live questions, split cells, why, gains, two measures, cost, a job."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from .conftest import ask
from .waiting import WORKS_MS, addressed, eventually, no_job, reload, resting, said

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
Cell = Callable[[Page, str, int, int], Locator]


def test_questions_to_kept_neighbours_change_the_map_and_the_link(open_page: OpenPage, measures_address: str) -> None:
    page = open_page(measures_address)
    before = page.evaluate("() => wb.state.heads.score")
    page.get_by_test_id("measure-line").click()
    page.get_by_test_id("measure-target").select_option("state")
    page.wait_for_function("(before) => JSON.stringify(wb.state.heads.score) !== JSON.stringify(before)", arg=before)
    expect(page.get_by_test_id("measure-k")).to_have_value("20")
    page.get_by_test_id("measure-k").select_option("10")
    page.wait_for_url("**metric=knn.*.state.whole.*.10**")
    reload(page)
    expect(page.get_by_test_id("measure-target")).to_have_value("state")


def test_a_second_measure_splits_the_cells_and_a_loop_selects(open_page: OpenPage, measures_address: str) -> None:
    page = open_page(measures_address)
    other = page.locator('[data-testid="measure-beside"] option', has_text="Attribution patching")
    page.get_by_test_id("measure-line").click()
    page.get_by_test_id("measure-beside").select_option(other.get_attribute("value"))
    expect(page.locator(".wb-split")).to_have_count(120)
    page.wait_for_url("**beside=attribution_patching**")
    body = ask(page, "two")
    expect(body).to_contain_text("Spearman")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#header")).to_contain_text("none selected")
    body.scroll_into_view_if_needed()
    box = resting(body.locator(".nsewdrag").first)
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for x, y in places[1:]:
        page.mouse.move(x, y, steps=8)
    page.mouse.up()
    page.wait_for_function("() => wb.state.selected.size > 100")
    said(page, "from the loop selected")


def test_why_follows_head_and_frame_without_asking_again(
    open_page: OpenPage, measures_address: str, cell: Cell, requests_of: Callable[[Page], list[str]]
) -> None:
    page = open_page(measures_address)
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
    page.wait_for_timeout(500)  # longer than it waits before it asks
    assert requests == []


def test_why_this_head_is_silent_while_other_demonstrations_are_on_their_way(
    open_page: OpenPage, measures_address: str
) -> None:
    page = open_page(measures_address)
    body = ask(page, "why")
    expect(body.locator(".wb-near")).to_have_count(6)
    page.get_by_role("tab", name="Demonstrations").click()
    opens = (
        page.get_by_test_id("sets")
        .locator(".wb-set")
        .filter(has_text="Press button")
        .get_by_role("button", name="Open")
    )
    expect(opens).to_be_visible()
    held: list[Route] = []
    page.route("**/gradio_api/**", lambda route: held.append(route))
    opens.click()
    page.get_by_role("tab", name="Heads").click()
    expect(body).to_contain_text("Working it out")
    expect(body.locator(".wb-near")).to_have_count(0)
    eventually(page, lambda: len(held), bool)  # though the server has not answered


def test_the_cost_of_the_set_follows_the_selection(open_page: OpenPage, measures_address: str, cell: Cell) -> None:
    page = open_page(measures_address)
    line = page.get_by_test_id("what-if")
    expect(line).to_contain_text("Held-out error")
    page.get_by_role("button", name="Clear").click()
    expect(line).to_contain_text("Select heads")
    cell(page, "expert", 3, 2).click(modifiers=["Control"])
    expect(line).to_contain_text("parameters at rank 16")
    expect(line).to_contain_text("estimate from 1 measured run")
    first = line.inner_text()
    cell(page, "expert", 0, 0).click(modifiers=["Control"])
    expect(line).not_to_have_text(first)


def test_the_strip_and_the_trust_of_the_chosen_head_show(
    open_page: OpenPage, measures_address: str, cell: Cell
) -> None:
    page = open_page(measures_address)
    expect(page.get_by_test_id("strip").locator("i")).to_have_count(20)
    before = page.get_by_test_id("strip").get_attribute("aria-label")
    cell(page, "vlm", 2, 1).click()
    expect(page.get_by_test_id("strip")).not_to_have_attribute("aria-label", str(before))
    page.get_by_test_id("measure-line").click()
    page.get_by_test_id("measure-preset").select_option("default")
    expect(page.get_by_test_id("trusted")).to_contain_text("95 % interval")


def test_keyframes_stand_over_the_scrubber_and_a_line_moves_over_the_strip(
    open_page: OpenPage, measures_address: str
) -> None:
    page = open_page(measures_address)
    marks, scrubber = page.get_by_test_id("keyframes"), page.get_by_test_id("scrubber")
    expect(marks).to_have_attribute("aria-label", re.compile(r"Keyframes 1, .*24: both ends"))
    assert marks.locator("i").count() >= 3  # both ends and the gripper
    line, strip = page.locator(".wb-timed .wb-cursor"), resting(page.get_by_test_id("strip"))
    ends = []
    for frame in (0, 23):
        scrubber.evaluate("(s, f) => { s.value = f; s.dispatchEvent(new Event('input')); }", frame)
        expect(page.locator(".wb-time")).to_have_text(f"{frame + 1} / 24")
        ends.append(resting(line)["x"] + 1 - strip["x"])
    assert ends == pytest.approx([0, strip["width"]], abs=1)


def test_a_head_clicked_among_two_measures_is_shown_on_the_map_and_in_the_address(
    open_page: OpenPage, measures_address: str, cell: Cell
) -> None:
    page = open_page(measures_address)
    ask(page, "two").locator(".nsewdrag").first.wait_for()
    page.get_by_test_id("lab-figure").evaluate(
        "(figure) => figure.emit('plotly_click', { points: [{ customdata: ['expert', 3, 4] }] })"
    )
    expect(cell(page, "expert", 3, 4)).to_have_class(re.compile("wb-pinned"))
    page.wait_for_url("**head=92**")


def test_unscored_demonstrations_are_not_described_by_heads_of_others(
    open_page: OpenPage, measures_address: str, cell: Cell
) -> None:
    def bare(query: dict[str, list[str]]) -> bool:
        return query["tab"] == ["heads"] and not query.keys() & {"head", "metric", "beside"}

    page = open_page(f"{measures_address}?tab=learn")
    page.locator("[data-lesson=inert]").click()
    lesson = page.get_by_test_id("lesson")
    lesson.locator("[data-choice=last]").click()
    cell(page, "vlm", 7, 0).click()
    lesson.get_by_role("button", name="Show the answer").click()
    expect(page.get_by_test_id("reveal")).to_contain_text("8 heads are inert")
    body, inspector = ask(page, "why"), page.get_by_test_id("head-inspector")
    expect(body.locator(".wb-near")).to_have_count(6)
    expect(page.get_by_test_id("what-if")).to_contain_text("Held-out error")
    page.get_by_role("tab", name="Demonstrations").click()
    sets = page.get_by_test_id("sets").locator(".wb-set")
    sets.filter(has_text="Press button").get_by_role("button", name="Open").click()
    expect(page.get_by_text("These heads are not scored yet")).to_be_visible()
    expect(page.get_by_test_id("frame-player")).to_contain_text("press the round button")
    expect(inspector).to_be_visible()
    expect(inspector).to_have_text("Once heads are scored, the one shown is described here.")
    expect(page.get_by_test_id("strip")).to_contain_text("after a k-NN measure")
    expect(body).to_contain_text("open once heads are scored")
    expect(page.locator(".wb-whatif")).to_contain_text("Once heads are scored, what training")
    expect(lesson).to_contain_text("8 heads are inert")
    addressed(page, bare)  # the header's answer comes when it comes
    page.get_by_role("tab", name="Demonstrations").click()
    sets.filter(has_text="Place cube in bowl").get_by_role("button", name="Open").click()
    expect(page.get_by_test_id("head-cell")).to_have_count(128)
    expect(inspector).to_contain_text("Rank in its stack")
    expect(page.get_by_test_id("strip").locator("i")).to_have_count(20)
    expect(lesson).to_contain_text("8 heads are inert")


def test_a_gain_is_worked_out_by_the_policy_and_then_turns_freely(open_page: OpenPage, measures_address: str) -> None:
    page = open_page(measures_address)
    body = ask(page, "gain")
    knob = page.get_by_test_id("gain-knob")
    knob.wait_for(timeout=WORKS_MS)
    expect(body).to_contain_text("The head as it is")
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_test_id("gain")).to_have_text("off")
    expect(body).to_contain_text("standard deviations")
    knob.evaluate("(k) => { k.value = 3; k.dispatchEvent(new Event('input')); }")
    expect(page.get_by_test_id("gain")).to_have_text("× 3")


def test_what_the_policy_works_out_can_be_stopped_and_asked_again(open_page: OpenPage, measures_address: str) -> None:
    page = open_page(measures_address)
    asks: list[dict[str, object]] = []

    def work(route: Route) -> None:
        asked = route.request.post_data_json["event_data"]
        if not isinstance(asked, dict) or asked.get("kind") != "words":
            route.continue_()
            return
        asks.append(asked)
        found = {**asked, "pending": "Loading the policy", "left": "8 s left", "job": "0"}
        route.fulfill(json={"data": [json.dumps(found), ""], "is_generating": False, "duration": 0.1})

    page.route("**/gradio_api/run/**", work)
    body = ask(page, "words")
    expect(page.get_by_test_id("lab-stage")).to_have_text("Loading the policy, 8 s left")
    page.get_by_test_id("lab-stop").evaluate("(button) => { window.button = button; button.focus(); }")
    before = len(asks)
    eventually(page, lambda: len(asks), lambda count: count > before + 2)  # asked again meanwhile
    assert page.evaluate("() => document.activeElement === window.button && window.button.isConnected")
    page.get_by_test_id("lab-stop").click()
    expect(body).to_contain_text("Stopped.")
    page.get_by_test_id("scrubber").evaluate("(s) => { s.value = 5; s.dispatchEvent(new Event('input')); }")
    page.wait_for_timeout(1000)  # longer than it waits before it asks
    expect(body).to_contain_text("Stopped.")
    page.unroute("**/gradio_api/run/**")
    body.get_by_role("button", name="Ask again").click()
    expect(body).to_contain_text("All of its attention", timeout=WORKS_MS)


def test_a_measure_runs_as_a_job_and_shows_when_done(open_page: OpenPage, measures_address: str) -> None:
    page = open_page(measures_address)
    no_job(page)
    page.locator('[data-testid="measure-menu"] summary').click()
    page.get_by_role("button", name="Gradient × activation").click()
    expect(page.get_by_test_id("job").first).to_be_visible()
    page.wait_for_url("**metric=gradient_activation**", timeout=WORKS_MS)
    expect(page.get_by_test_id("measure-metric")).to_have_value("gradient_activation")


@pytest.mark.slow
def test_a_set_that_a_job_has_grown_is_taken_over_each_time(
    open_page: OpenPage, measures_address: str, cell: Cell
) -> None:
    page = open_page(measures_address)
    summary = page.get_by_test_id("selection-summary")
    page.locator("[name=rule]").select_option("greedy")
    page.locator("[name=count]").evaluate(
        "(s) => { s.value = 2; s.dispatchEvent(new Event('input', { bubbles: true })); }"
    )
    no_job(page)
    page.get_by_test_id("auto-select").click()
    expect(summary).to_contain_text("2 heads selected", timeout=WORKS_MS)
    expect(page.locator("#header")).to_contain_text("2 selected")
    page.get_by_role("button", name="Undo").click()
    expect(summary).to_contain_text("20 heads selected")


@pytest.fixture
def bare_address(tmp_path: Path, samples: Path, serve: Callable) -> Iterator[str]:
    """Scores of the embedded policy without the head outputs that they came from."""
    shutil.copytree(samples, tmp_path / "samples")
    for outputs in (tmp_path / "samples" / "artefacts").glob("activations-*"):
        shutil.rmtree(outputs)
    with serve(tmp_path, STEERING_SAMPLES=str(tmp_path / "samples")) as served:
        yield served


@pytest.mark.slow
def test_an_empty_panel_measures_the_set_and_fills(open_page: OpenPage, bare_address: str) -> None:
    page = open_page(bare_address)
    body = ask(page, "why")
    expect(page.get_by_test_id("strip")).to_contain_text("after a k-NN measure")
    body.get_by_role("button", name="Measure this set").click()
    expect(page.get_by_test_id("job").first).to_contain_text("Measuring heads")
    expect(body.locator(".wb-near")).to_have_count(6, timeout=WORKS_MS)
    expect(page.get_by_test_id("strip").locator("i")).to_have_count(20)


def test_intervals_and_two_measures_without_a_choice(open_page: OpenPage, sample_address: str) -> None:
    page = open_page(sample_address)
    expect(ask(page, "two")).to_contain_text("Spearman")
    page.get_by_test_id("measure-menu").locator("summary").click()
    expect(page.get_by_role("button", name="Intervals and chance")).to_be_visible()


def test_answers_can_be_kept(open_page: OpenPage, measures_address: str, tmp_path: Path) -> None:
    page = open_page(measures_address)

    def kept(button: str) -> str:
        with page.expect_download() as waiting:
            page.get_by_test_id("lab-body").get_by_role("button", name=button).click()
        waiting.value.save_as(tmp_path / "kept")
        return (tmp_path / "kept").read_bytes().decode("latin-1")

    expect(ask(page, "why").locator(".wb-near").first).to_be_visible()
    why = json.loads(kept("JSON"))
    assert why["kind"] == "why" and why["frame"] == 1
    assert why["head"] == page.evaluate("() => wb.state.heads.names[wb.state.pinned]")
    expect(ask(page, "frames").get_by_test_id("plane")).to_be_visible()
    assert "PNG" in kept("PNG")[:4]
    points = kept("CSV").splitlines()
    assert points[0] == "episode,frame,phase,first,second,score" and len(points) > 100


def test_why_comes_while_frames_go_by(open_page: OpenPage, measures_address: str) -> None:
    page = open_page(measures_address)
    page.evaluate(
        """() => { const scrub = document.querySelector('.wb-player input[type=range]'); let frame = 0;
        setInterval(() => {
          scrub.value = frame = (frame + 1) % 8;
          scrub.dispatchEvent(new Event('input', { bubbles: true }));
        }, 60); }"""
    )
    page.get_by_test_id("lab-body").scroll_into_view_if_needed()
    expect(page.locator(".wb-near").first).to_be_visible()
