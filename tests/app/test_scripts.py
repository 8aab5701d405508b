"""The page's scripts: their own tests in Node, and that the page carries every one of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import components

ROOT = Path(__file__).resolve().parents[2]
TESTS = sorted((ROOT / "tests" / "app" / "static").glob("*.test.js"))


def test_the_pure_parts_do_what_they_say() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed; with it this test runs")
    found = subprocess.run([node, "--test", *map(str, TESTS)], cwd=ROOT, capture_output=True, text=True)
    assert len(TESTS) > 2 and found.returncode == 0, found.stdout + found.stderr


def test_no_script_is_global_and_every_import_is_of_a_file_there() -> None:
    for path in components.STATIC.rglob("*.js"):
        text = path.read_text("utf-8")
        assert not re.search(r"\b(?:window|globalThis)\.\w+ =[^=]|\bwb\.", text), path.name
        for name in re.findall(r'from "(.*?)"|^import "(.*?)"|import\("(.*?)"\)', text, re.M):
            assert (path.parent / "".join(name)).is_file(), f"{path.name} imports {name}"


def test_every_script_is_fetched_from_an_address_that_names_its_content(
    ask: Callable[..., tuple[int, dict[str, str], bytes]], served: Any
) -> None:
    page = ask("GET", "/")[2].decode()
    first = set(re.findall(r"scripts/[0-9a-f]{16}/[\w/]+\.(?:js|css)", page))
    every = {f"{components.scripts_address()}/{name}" for name in components.served()}
    later = {address for address in every if address.split("/", 2)[2].startswith(components.LATER)}
    assert len(first) > 20 and len(later) > 5 and first == every - later
    for address in every:
        status, headers, body = ask("GET", f"/{address}")
        kind = "text/css" if address.endswith(".css") else "text/javascript"
        assert status == 200 and headers["content-type"].startswith(kind)
        assert "immutable" in headers["cache-control"]
        assert body == (components.STATIC / address.split("/", 2)[2]).read_bytes()
    for other in (f"{components.scripts_address()}/../components.py", f"{components.scripts_address()}/none.js"):
        assert ask("GET", f"/{other}")[0] == 404
