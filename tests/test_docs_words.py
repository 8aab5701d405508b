"""What README and docs name is there: commands and their options, files, settings, targets, sentences of errors; and
the site builds.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "NOTES.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "assets").rglob("*.md")),
]
TOPS = ("steering", "app", "assets", "docs", "scripts", "tests")
COMMAND = re.compile(r"(?<![\w/])(?:python -m steering|steering|--module steering)((?: +[^\s`#|)]+)+)")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def _code(page: Path) -> list[str]:
    """Blocks of the shell, line by line, and code within sentences."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    within = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    indented = re.findall(r"^    ((?:python -m )?steering .*)$", text, re.MULTILINE)
    return [" ".join(one.split()) for one in (*lines, *indented, *within)]


@cache
def _root() -> Any:
    import steering.cli.main  # noqa: F401  registers the commands
    from steering.cli.frame import app

    return typer.main.get_command(app)


def _fault(words: list[str]) -> str:
    """Why these words are no command, or empty. Options that are known may lack their values, as in a sentence."""
    command = _root()
    while words and hasattr(command, "commands"):
        name, *words = words
        if name not in command.commands:
            return "" if name.startswith(("-", "…", "...")) else f"there is no command {name!r}"
        command = command.commands[name]
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
    unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in known]
    return f"{command.name} has no {unknown}" if unknown else ""


@each_page
def test_every_command_and_option_exists(page: Path) -> None:
    found = [match for line in _code(page) for match in COMMAND.findall(line)]
    faults = [f"{words.strip()}: {fault}" for words in found if (fault := _fault(words.split()))]
    assert not faults, faults


def test_commands_that_are_none_would_be_found() -> None:
    assert _fault(["scores", "ID"]) and _fault(["score", "ID", "--presets", "paper"]) and _fault(["evidence", "grids"])
    assert not _fault(["score", "ID", "--preset", "paper"]) and not _fault(["evidence", "grid", "--plan"])


@pytest.mark.parametrize(
    "page", [one for one in PAGES if one.parent.name == "docs" or one.name == "README.md"], ids=str
)
def test_whole_lines_are_taken_by_the_command_line(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"^(?:python -m|\S+ .*--module) steering (.*)$", text, re.MULTILINE):
        command, words = _root(), shlex.split(line.split("  #")[0])
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context("steering", words)  # raises for what is missing or too much; runs nothing


@pytest.mark.parametrize("page", [one for one in PAGES if one.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = [word.strip(".,;:()") for line in _code(page) for word in line.split()]
    paths = [word for word in named if word.split("/")[0] in TOPS and "/" in word and not re.search(r"[<>…=*{]", word)]
    missing = [path for path in paths if not (ROOT / path).exists() and not (ROOT / path).with_suffix(".py").exists()]
    assert not missing, missing


def test_every_setting_and_target_exists() -> None:
    files = [path for folder in ("app", "steering", "scripts") for path in (ROOT / folder).rglob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in files)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        settings = set(re.findall(r"\bSTEERING_[A-Z_]+[A-Z]\b", text))
        tests_own = {"STEERING_FUZZ", "STEERING_TEST_DELAY_S", "STEERING_TEST_THROTTLE"}
        assert not {one for one in settings - tests_own if one not in code}, page
        made = {target for line in _code(page) for target in re.findall(r"\bmake ([a-z-]+)", line)}
        assert made <= targets, (page, made - targets)


@cache
def _sentences() -> str:
    """All text that the code may say, where a value stands in it the sign …"""
    said = []
    for folder in ("app", "steering"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values]
                    said.append("".join(parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    said.append(node.value)
    return "\n".join(said)


def _of_errors() -> list[str]:
    """What the page on troubleshooting says that the code says: the code in the first column of its tables."""
    rows = re.findall(r"^\| (.*?) \|", (ROOT / "docs" / "TROUBLESHOOTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    return [one for row in rows for one in re.findall(r"`([^`]+)`", row) if " " in one]


def test_the_symptoms_are_sentences_of_the_code() -> None:
    said = _of_errors()
    assert len(said) > 30
    strangers = [one for one in said if one not in _sentences()]
    assert not strangers, f"no error says: {strangers}"


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_holds_every_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    site = tmp_path / "site"
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / "docs" / page.stem / "index.html").is_file()
    assert "Robotic Steering" in (site / "index.html").read_text(encoding="utf-8")
    assert list((site / "assets" / "stylesheets").glob("main*.css")), "the theme's files are missing"
    reference = (site / "docs" / "API" / "index.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in reference for name in ("steering.lens.open", "steering.pipeline.activations.capture"))
    assert "--preset" in (site / "docs" / "COMMANDS" / "index.html").read_text(encoding="utf-8")
