"""What is seen can be kept: pictures as images, tables and curves as numbers. What a head answers: test_measures."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from .waiting import pictured, reload, said, settled

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
SVG = "{http://www.w3.org/2000/svg}"
DAY = r"\d{4}-\d\d-\d\d"


def pictures(path: Path, row: int) -> np.ndarray:
    """A row of the pictures in a kept file of cameras."""
    top = 2 * (62 + row * 292)
    return np.asarray(Image.open(path).convert("RGB"))[top : top + 512]


def kept(page: Page, button: Locator, folder: Path) -> Path:
    with page.expect_download() as waiting:
        button.click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_what_is_seen_of_an_episode(open_page: OpenPage, sample_address: str, tmp_path: Path) -> None:
    page = open_page(sample_address)
    page.wait_for_function("() => wb.state.attention !== null")
    pictured(page)

    def export(label: str) -> Path:
        page.get_by_test_id("export").locator("summary").click()
        return kept(page, page.get_by_role("button", name=label), tmp_path)

    picture = export("Cameras at this frame")
    named = rf"cameras_place-cube-in-bowl_episode-1_frame-1_policy_{DAY}\.png"
    assert re.fullmatch(named, picture.name) and picture.read_bytes()[:4] == b"\x89PNG"
    clean, lined = (pictures(picture, row) for row in (0, 1))
    assert clean.std() > 10 and (clean != lined).any()  # the pictures as they are, and below them where the head looks
    page.locator(".wb-switch", has_text="Attention").click()
    alone = export("Cameras at this frame")
    assert (pictures(alone, 0) == clean).all() and len(pictures(alone, 1)) < 100  # no second row
    rows = list(csv.DictReader(export("State and actions").read_text().splitlines()))
    assert len(rows) == page.evaluate("() => wb.state.episode.frames") and rows[1]["frame"] == "2"
    assert float(rows[3]["action gripper"]) == page.evaluate("() => wb.state.episode.action.values.at(-1)[3]")


def test_tables_of_a_comparison(open_page: OpenPage, sample_address: str, tmp_path: Path) -> None:
    page = open_page(f"{sample_address}?tab=compare")
    cost = page.get_by_test_id("cost")
    path = kept(page, cost.get_by_role("button", name="CSV"), tmp_path)
    rows = list(csv.reader(path.read_text().splitlines()))
    assert re.fullmatch(rf"cost_place-cube-in-bowl_policy_{DAY}\.csv", path.name)
    assert rows[0] == ["Method", "Trainable", "Rank", "Steps", "training, s", "memory, MB", "a scene, s"]
    assert [row[0] for row in rows[1:]] == ["Zero-shot", "Robotic Steering", "LoRA, all heads"]
    assert all(cell == "" or float(cell) >= 0 for row in rows[1:] for cell in row[1:])
    page.get_by_test_id("show-labels").click()  # totals wait for the vote
    cells = kept(page, page.get_by_test_id("cells").get_by_role("button", name="CSV").first, tmp_path)
    table = list(csv.DictReader(cells.read_text().splitlines()))
    assert all(row["Condition"] == "place cube in bowl" for row in table)
    assert [int(row["successes"]) / int(row["scenes"]) for row in table] == [0.3, 0.8, 0.7]
    assert all(0 <= float(row["success low"]) < float(row["success high"]) <= 1 for row in table)


def test_a_figure_says_what_it_is_of(open_page: OpenPage, sample_address: str, tmp_path: Path) -> None:
    page = open_page(sample_address)
    page.locator(".wb-summary summary").click()
    drawing = kept(page, page.get_by_role("button", name="Map as drawing"), tmp_path)
    assert re.fullmatch(rf"head-map_place-cube-in-bowl_k-nn-paper_policy_{DAY}\.svg", drawing.name)
    root = ElementTree.fromstring(drawing.read_text())
    told = [one.text or "" for one in root.iter(f"{SVG}text")]
    assert told[0] == "Explained variance of every attention head (k-NN, paper)"
    assert re.fullmatch(rf"policy · Place cube in bowl, 6 episodes · {DAY}", told[1])
    scale = page.evaluate("() => wb.state.heads.scale")
    shown = [one.text_content() for one in page.locator(".wb-scale > span").all()]
    assert set(shown) <= set(told) and scale["high"] > scale["low"]  # the page's own range
    fills = [one.get("fill", "") for one in root.iter(f"{SVG}rect") if one.get("rx")]
    cells = [fill for fill in fills if fill.startswith("rgb") or fill == "url(#inert)"]
    score, inert = page.evaluate("() => [wb.state.heads.score, wb.state.heads.inert]")
    best = max((i for i in range(128) if not inert[i]), key=lambda i: score[i])
    assert len(cells) == 128 and cells[best] == "rgb(253,231,37)"
    assert [fill == "url(#inert)" for fill in cells] == inert, "stripes mean inert and nothing else"
    assert sum(one.get("fill") == "none" for one in root.iter(f"{SVG}rect")) == 20


def test_a_report_is_opened_again(open_page: OpenPage, sample_address: str, tmp_path: Path) -> None:
    page = open_page(sample_address)
    page.get_by_test_id("export").locator("summary").click()
    report = kept(page, page.get_by_role("button", name="Last run, one page"), tmp_path)
    assert re.fullmatch(rf"comparison_place-cube-in-bowl_policy_{DAY}\.html", report.name)
    page.locator("[data-command=clear]").click()
    expect(page.get_by_test_id("selection-summary")).to_contain_text("0 heads selected")
    page.locator(".wb-summary input[type=file]").set_input_files(report)
    expect(page.get_by_test_id("selection-summary")).to_contain_text("20 heads selected")
    said(page, "Robotic Steering 8 of 10")


@pytest.mark.slow
def test_a_finetuned_policy_as_one_file(open_page: OpenPage, real_address: str, tmp_path: Path) -> None:
    page = open_page(f"{real_address}?tab=finetune")
    path = kept(page, page.get_by_test_id("export-policy").first, tmp_path)
    with zipfile.ZipFile(path) as archive:
        assert {"README.md", "adapter_config.json", "adapter_model.safetensors"} <= set(archive.namelist())
    reload(page)
    page.get_by_test_id("export-policy").first.wait_for()
    settled(page)
    assert page.evaluate("() => document.querySelectorAll('a[download]').length") == 0  # asked for once, given once
