"""Every benchmark still runs: each script with `--quick`, as `make bench` runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(Path(__file__).parent.glob("bench_*.py"))


def _marks(script: Path) -> list[pytest.MarkDecorator]:
    return [pytest.mark.browser] if "playwright" in script.read_text(encoding="utf-8") else []


@pytest.mark.slow
@pytest.mark.parametrize("script", [pytest.param(one, id=one.stem, marks=_marks(one)) for one in SCRIPTS])
def test_it_runs_and_prints_its_figures(script: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), "--quick"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert any(sign.isdigit() for sign in ran.stdout), "it printed no figure"
