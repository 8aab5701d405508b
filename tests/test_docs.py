"""The code and the commands in README and docs run as they stand there, with fewer steps and scenes."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
FEWER = {
    "steps=300": "steps=2, batch_size=2",
    "trials=20": "trials=2",
    "--steps 300": "--steps 2 --batch-size 2",
    "--trials 20": "--trials 2",
    "--count 20": "--count 2",
}
"""What a reader runs -> what the test runs."""
ELSEWHERE = {
    "docs/ADAPTERS.md": ("tests/steering/models/test_worked_example.py", "ADAPTERS.md"),
    "docs/QUESTIONS.md": ("tests/app/test_public.py", "QUESTIONS.md"),
    "docs/ROBOT.md": ("tests/steering/serving/bench_client.py", "WebsocketClientPolicy("),
}
"""Pages whose code is run elsewhere -> where, and what says so there. openpi's client has an environment of its own."""
SERVES = "python -m steering serve"
"""Runs until it is ended; tests/steering/serving runs it."""
SLOW = {"README.md", "docs/ROBOTS.md"}


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


def shell(path: str) -> list[list[str]]:
    """The shell's lines of every block of a page, without remarks."""
    of_blocks = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / path).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    blocks = (block.splitlines() for language, block in of_blocks if not language)
    return [[line.split("  #")[0].strip() for line in block if line] for block in blocks]


@pytest.mark.slow
def test_every_cell_of_the_notebook_runs_and_shows_something() -> None:
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {}
    shown = [_run(cell, names) for cell in cells]
    assert [type(one).__name__ for one in shown if hasattr(one, "_repr_html_")] == [
        *("Episode", "Scores", "Selection", "FinetuneResult", "Comparison", "Scores"),
    ]
    assert names["whole"] != names["without"]


def _given(path: str) -> dict[str, Any]:
    """What a page's code takes for granted: arrays of the reader's own."""
    if path != "docs/DEMONSTRATIONS.md":
        return {}
    moves = np.random.default_rng(0).uniform(-1, 1, (12, 7)).astype(np.float32)
    return {"action": moves, "state": moves, "images": np.zeros((12, 32, 32, 3), np.uint8)}


def _check(path: str, names: dict[str, Any], said: str) -> None:
    """What the code of a page is there for has come about."""
    if path == "docs/HEAD_LORA.md":
        assert names["changed"] == [0, 5] and "[0, 5]" in said
        assert any(one.requires_grad for one in names["loaded"].parameters())
    if path in SLOW:
        assert Path("adapter/adapter_config.json").is_file()
    if path == "docs/ROBOTS.md":
        assert names["actions"].shape[1] == 7 and np.isfinite(names["actions"]).all()
    if path == "docs/TASKS.md":
        assert "place the cube in the bowl (192, 192, 3) (8,)" in said
    if path == "docs/DEMONSTRATIONS.md":
        from steering import pipeline

        found = pipeline.inspect_demonstrations("mine.npz")
        assert (found["format"], found["episodes"], found["frames"]) == ("NPZ", 1, 12)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning:gymnasium")
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(one, marks=[pytest.mark.slow] if one in SLOW else [])
        for one in PAGES
        if _blocks(one, "python") and one not in ELSEWHERE
    ],
)
def test_the_code_of_a_page_runs(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = _given(path)
    for block in _blocks(path, "python"):
        _run(block, names)
    _check(path, names, capsys.readouterr().out)


def test_what_others_run_is_run_there() -> None:
    for test, said in ELSEWHERE.values():
        assert said in (ROOT / test).read_text(encoding="utf-8")


def test_the_mapping_of_the_page_is_one() -> None:
    from steering.demonstrations.mapping import parse

    (block,) = _blocks("docs/DEMONSTRATIONS.md", "json")
    assert parse(json.loads(block)).cameras["exterior"].rotate == 180


def test_the_one_line_of_the_readme_prints_heads() -> None:
    (line,) = [one for block in shell("README.md") for one in block if one.startswith("python -c")]
    command = [sys.executable, *shlex.split(line)[1:]]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.startswith("Selection(20 of the VLM; top 20"), said.stderr


STARTS = ("python -m steering ", "accelerate launch ", "torchrun ")
COMMANDS = [
    (path, run)
    for path in PAGES
    for block in shell(path)
    if (run := [line for line in block if line.startswith(STARTS) and not line.startswith(SERVES)])
]


def _steering(room: Path, *arguments: str, program: tuple[str, ...] = ("-m", "steering")) -> dict[str, Any]:
    """Run a command in `room`; the JSON of its last line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    environment.pop("STEERING_STORE", None)
    command = [sys.executable, *program, *arguments]
    ran = subprocess.run(command, cwd=room, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode in (0, 1) and "Error" not in ran.stderr, ran.stderr[-3000:]  # 1: an inspect's warnings
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store `.workbench` of demonstrations, and a dataset `exported` of them."""
    folder = tmp_path_factory.mktemp("room")
    made = _steering(folder, "record", "--task", "press_button", "--count", "3")["artefact"]
    _steering(folder, "export", made, "exported")
    (folder / "id").write_text(made)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("path", "block"), COMMANDS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_the_commands_of_a_page_run(path: str, block: list[str], room: Path, tmp_path: Path) -> None:
    made = (room / "id").read_text()
    places = {"PATH": "exported", "DEMONSTRATIONS": made, "ID": made, "FOLDER": str(tmp_path / "new")}
    for line in block:
        said = _fewer(line).replace("/elsewhere", str(tmp_path)).replace(".restored", str(tmp_path / "restored"))
        program, *arguments = (places.get(word, word) for word in shlex.split(said))
        if program == "python":
            assert _steering(room, *arguments[2:])
        else:
            module = {"accelerate": "accelerate.commands.accelerate_cli", "torchrun": "torch.distributed.run"}[program]
            assert _steering(room, *arguments, program=("-m", module))["artefact"]
