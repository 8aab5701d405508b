"""axe-core on every step, light and dark: nothing serious or critical."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
VERSION = "4.10.3"
STEPS = ("demonstrations", "heads", "finetune", "compare", "learn")


@pytest.fixture(scope="session")
def axe(request: pytest.FixtureRequest) -> str:
    """axe-core's script, fetched once through npm into pytest's cache."""
    folder = Path(request.config.cache.mkdir(f"axe-core-{VERSION}"))  # type: ignore[union-attr]
    script = folder / "package" / "axe.min.js"
    if not script.is_file():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("needs npm to fetch axe-core; install npm and run again")
        packed = subprocess.run([npm, "pack", f"axe-core@{VERSION}"], cwd=folder, capture_output=True, text=True)
        if packed.returncode != 0:
            pytest.skip(f"needs a registry of npm that has axe-core: {packed.stderr[-200:]}")
        with tarfile.open(folder / f"axe-core-{VERSION}.tgz") as archive:
            archive.extract("package/axe.min.js", folder, filter="data")
    return script.read_text(encoding="utf-8")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("step", STEPS)
def test_no_serious_violation(open_page: OpenPage, sample_address: str, axe: str, step: str, dark: bool) -> None:
    lesson = "&lesson=baseline" if step == "learn" else ""
    page = open_page(f"{sample_address}?tab={step}{lesson}", dark=dark)
    if lesson:  # the list, a lesson in its column, and a teacher's form
        page.get_by_test_id("lesson").wait_for()
        page.get_by_text("Teach a class").click()
        page.get_by_test_id("make-class").click()
        page.get_by_text("Hide or lock controls").click()
    page.wait_for_function("() => !document.querySelector('.wb-html.pending')")
    page.wait_for_timeout(600)  # colours of hover and focus change within 0.15 s
    page.evaluate(axe)
    found = page.evaluate("async () => (await axe.run()).violations")
    serious = [
        f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
