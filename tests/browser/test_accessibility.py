"""axe-core on every step, light and dark: nothing serious or critical."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .waiting import opened, settled

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
VERSION = "4.10.3"
STEPS = ("Demonstrations", "Heads", "Finetune", "Compare", "Learn")


@pytest.fixture(scope="session")
def axe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's script, fetched once through npm into pytest's cache; whole or not at all, whoever fetches beside."""
    script = Path(request.config.cache.mkdir("axe-core")) / f"{VERSION}.min.js"  # type: ignore[union-attr]
    if not script.is_file():
        folder = tmp_path_factory.mktemp("axe-core")
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("needs npm to fetch axe-core; install npm and run again")
        packed = subprocess.run([npm, "pack", f"axe-core@{VERSION}"], cwd=folder, capture_output=True, text=True)
        if packed.returncode != 0:
            pytest.skip(f"needs a registry of npm that has axe-core: {packed.stderr[-200:]}")
        with tarfile.open(folder / f"axe-core-{VERSION}.tgz") as archive:
            archive.extract("package/axe.min.js", folder, filter="data")
        beside = script.with_suffix(f".{os.getpid()}.part")
        shutil.copyfile(folder / "package" / "axe.min.js", beside)
        beside.replace(script)
    return script.read_text(encoding="utf-8")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_serious_violation_on_any_step(open_page: OpenPage, sample_address: str, axe: str, dark: bool) -> None:
    page = open_page(f"{sample_address}?lesson=baseline", dark=dark)
    page.evaluate(axe)
    for step in STEPS:  # last the list of lessons, a lesson in its column, and a teacher's form
        opened(page, step)
        if step == "Learn":
            expect(page.get_by_test_id("lesson")).to_be_visible()
            page.get_by_text("Teach a class").click()
            page.get_by_test_id("make-class").click()
            page.get_by_text("Hide or lock controls").click()
            expect(page.locator("[name=class-lock]").first).to_be_visible()
        settled(page)
        page.wait_for_function("() => !document.querySelector('.wb-html.pending')")
        found = page.evaluate("async () => (await axe.run()).violations")
        serious = [
            f"{step}: {one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []
