"""What is seen can be kept: pictures as images, tables and curves as numbers. What a head answers: test_laboratory."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]


def kept(page: Page, button: Locator, folder: Path) -> Path:
    with page.expect_download() as waiting:
        button.click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_what_is_seen_of_an_episode(open_page: OpenPage, sample_address: str, tmp_path: Path) -> None:
    page = open_page(sample_address)
    page.wait_for_function("() => wb.state.attention !== null")

    def export(label: str) -> Path:
        page.get_by_test_id("export").locator("summary").click()
        return kept(page, page.get_by_role("button", name=label), tmp_path)

    picture = export("Cameras at this frame")
    assert picture.name == "episode-1-frame-1.png" and picture.read_bytes()[:4] == b"\x89PNG"
    rows = list(csv.DictReader(export("State and actions").read_text().splitlines()))
    assert len(rows) == page.evaluate("() => wb.state.episode.frames") and rows[1]["frame"] == "2"
    assert float(rows[3]["action gripper"]) == page.evaluate("() => wb.state.episode.action.values.at(-1)[3]")


def test_tables_of_a_comparison(open_page: OpenPage, sample_address: str, tmp_path: Path) -> None:
    page = open_page(f"{sample_address}?tab=compare")
    cost = page.get_by_test_id("cost")
    path = kept(page, cost.get_by_role("button", name="CSV"), tmp_path)
    rows = list(csv.reader(path.read_text().splitlines()))
    assert path.name == "cost.csv" and rows[0][:2] == ["Method", "Trainable"]
    assert [row[0] for row in rows[1:]] == ["Zero-shot", "Robotic Steering", "LoRA, all heads"]
    quoted = page.evaluate(
        """() => { const table = document.createElement('table'); document.body.append(table);
        for (const text of ['=1+1', '-0.5', '+x', '@a', '−3']) table.insertRow().insertCell().textContent = text;
        return wb.tableText(table); }"""
    )
    assert quoted.splitlines() == ['"\'=1+1"', '"-0.5"', '"\'+x"', '"\'@a"', '"−3"']


@pytest.mark.slow
def test_a_finetuned_policy_as_one_file(open_page: OpenPage, real_address: str, tmp_path: Path) -> None:
    page = open_page(f"{real_address}?tab=finetune")
    page.set_default_timeout(60_000)
    path = kept(page, page.get_by_test_id("export-policy").first, tmp_path)
    with zipfile.ZipFile(path) as archive:
        assert {"README.md", "adapter_config.json", "adapter_model.safetensors"} <= set(archive.namelist())
    page.reload()
    page.get_by_test_id("export-policy").first.wait_for()
    page.wait_for_timeout(1500)
    assert page.evaluate("() => document.querySelectorAll('a[download]').length") == 0  # asked for once, given once
