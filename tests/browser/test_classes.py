"""A class of three browsers: the teacher's link, what it hides and locks, one live chart, and its table."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .waiting import eventually, said

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
Cell = Callable[..., object]
ROOT = Path(__file__).parents[2]
CONTROLS = re.findall(r'^  (\w+): \["', (ROOT / "app/static/learn/controls.js").read_text("utf-8"), re.M)


def made(page: Page, title: str) -> str:
    """Make a class; the learners' link."""
    page.get_by_text("Teach a class").click()
    page.locator("[name=class-title]").fill(title)
    page.get_by_test_id("make-class").click()
    page.locator("[name=class-lesson]").select_option("evidence")
    page.get_by_text("Hide or lock controls").click()
    page.locator("[name=class-hide][value=export]").check()
    for name in ("selection", "finetune"):
        page.locator(f"[name=class-lock][value={name}]").check()
    link = page.get_by_test_id("class-link")
    expect(link).to_have_value(re.compile("&lesson=evidence&hide=export&lock=finetune,selection"))
    return link.input_value()


def test_a_class_of_three_browsers(open_page: OpenPage, sample_address: str, cell: Cell, tmp_path: Path) -> None:
    teacher = open_page(f"{sample_address}?tab=learn")
    link = made(teacher, "Week <b>3</b>")
    assert "heads=" not in link
    learners = [open_page(link), open_page(link)]
    for page, choices in zip(learners, (("two", "four"), ("six",)), strict=True):
        column = page.get_by_test_id("lesson")
        expect(column.get_by_test_id("class-line")).to_contain_text("Week <b>3</b>: your predictions")
        for i, choice in enumerate(choices):
            if i:
                column.get_by_role("button", name="Change").click()
            column.locator(f"[data-choice={choice}]").click()
    one = learners[0]
    one.get_by_test_id("scene").nth(1).click()  # plays
    expect(one.get_by_test_id("lesson").locator("[data-state=done]")).to_have_count(1)
    one.get_by_test_id("vote").get_by_role("button", name="No difference").click()
    one.get_by_role("button", name="Show the answer").click()
    chart = teacher.get_by_test_id("class-chart")
    expect(chart).to_contain_text("Week <b>3</b>: 2 learners")
    expect(chart.locator(".wb-class-bar")).to_contain_text(
        ["Two0", "Four1", re.compile("Six.*data say so.*1"), "No difference1"]
    )
    with teacher.expect_download() as kept:
        teacher.get_by_test_id("class-csv").click()
    kept.value.save_as(tmp_path / "class.csv")
    rows = list(csv.DictReader((tmp_path / "class.csv").read_text("utf-8").splitlines()))
    assert sorted((row["kind"], row["answer"], row["data_say"]) for row in rows) == [
        *(("prediction", "four", "six"), ("prediction", "six", ""), ("vote", "same", "")),
    ]
    assert len({row["learner"] for row in rows}) == 2

    # What the link hides and locks.
    expect(one.get_by_test_id("export")).to_be_hidden()
    one.get_by_role("tab", name="Finetune").click(force=True)
    said(one, "has locked the Finetune step")
    expect(one.get_by_test_id("finetune-start")).to_be_hidden()
    one.get_by_role("tab", name="Heads").click()
    before = one.evaluate("() => [...wb.state.selected].length")
    cell(one, "vlm", 2, 2).click(modifiers=["Control"])  # type: ignore[attr-defined]
    one.keyboard.press("Space")
    assert one.evaluate("() => [...wb.state.selected].length") == before
    expect(one.locator(".wb-pinned")).to_have_attribute("data-layer", "2")  # looking is not locked

    one.get_by_test_id("lesson").get_by_role("button", name="Leave the class").click()
    expect(one.get_by_test_id("class-line")).to_have_count(0)
    expect(chart).to_contain_text("1 learner")
    teacher.get_by_role("button", name="Close the class").click()
    teacher.get_by_role("button", name="Delete it with all answers").click()
    expect(chart).to_have_count(0)


def test_what_a_link_names_is_there_and_in_the_guide(open_page: OpenPage, sample_address: str) -> None:
    steps = [name for name in CONTROLS if name in ("demonstrations", "heads", "finetune", "compare", "learn")]
    page = open_page(f"{sample_address}?lesson=magic&hide={','.join({*CONTROLS, 'moon'} - {*steps})}")
    said(page, "no lesson called magic. The lessons are head, baseline")
    expect(page.get_by_test_id("lesson")).to_have_count(0)
    said(page, "hides or locks moon, which is not known here. Known are")
    for step, shown in (("Finetune", "finetune-start"), ("Compare", "rollout-player"), ("Heads", "head-map")):
        page.get_by_role("tab", name=step).click()
        expect(page.get_by_test_id(shown)).to_be_attached()
    found = page.evaluate(
        "() => performance.getEntriesByType('resource').find(one => /controls.js/.test(one.name)).name"
    )

    def wrong() -> list[str]:
        counted = page.evaluate(
            """async (found) => Object.entries((await import(found)).CONTROLS).map(([name, [, where]]) => {
            const all = [...document.querySelectorAll(where)];
            return [name, all.length, all.filter(one => one.checkVisibility()).length]; })""",
            found,
        )
        return [name for name, there, seen in counted if not there or (seen and name not in steps)]

    eventually(page, wrong, lambda names: names == [])
    guide = (ROOT / "docs" / "TEACHING.md").read_text("utf-8")
    assert [name for name in CONTROLS if f"| `{name}` |" not in guide] == [] and len(CONTROLS) > 10
