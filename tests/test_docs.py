"""The code in README and docs runs as it stands there, with fewer steps and scenes."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FEWER = {"steps=300": "steps=2, batch_size=2", "trials=20": "trials=2"}
"""What a reader runs -> what the test runs."""


def _fewer(source: str) -> str:
    for said, run in FEWER.items():
        source = source.replace(said, run)
    return source


def _run(source: str, names: dict[str, Any]) -> Any:
    """Run a cell and give what its last line evaluates to, as a notebook shows it."""
    tree = ast.parse(_fewer(source))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


def _blocks(path: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / path).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
def test_every_cell_of_the_notebook_runs_and_shows_something() -> None:
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(said in "".join(cells) for said in FEWER)
    names: dict[str, Any] = {}
    shown = [_run(cell, names) for cell in cells]
    assert [type(one).__name__ for one in shown if hasattr(one, "_repr_html_")] == [
        *("Episode", "Scores", "Selection", "FinetuneResult", "Comparison", "Scores"),
    ]
    assert names["whole"] != names["without"]


@pytest.mark.slow
def test_the_lines_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = _blocks("README.md", "python")
    names: dict[str, Any] = {}
    _run(block, names)
    assert (tmp_path / "adapter" / "adapter_config.json").is_file()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_example_of_head_lora_trains_the_heads_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in _blocks("docs/HEAD_LORA.md", "python"):
        _run(block, names)
    assert names["changed"] == [0, 5] and "[0, 5]" in capsys.readouterr().out
    assert any(one.requires_grad for one in names["loaded"].parameters())


def test_the_one_line_of_the_readme_prints_heads() -> None:
    (line,) = [one for block in _blocks("README.md", "") for one in block.splitlines() if one.startswith("python -c")]
    command = [sys.executable, *shlex.split(line)[1:]]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.startswith("Selection(20 of the VLM; top 20"), said.stderr
