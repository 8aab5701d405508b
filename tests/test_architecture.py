"""The import rules of the design, as code."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = {"types", "errors", "progress", "metrics", "public", "assets", "child", "logins", "heap"}
STAGES = {"demonstrations", "activations", "attribution", "relevance", "selection", "finetune", "rollout", "comparison"}
ALL = STAGES | {
    *(
        "lossless_video",
        "serialisation",
        "integrity",
        "manifest",
        "kept",
        "stages",
        "owners",
        "store",
        "keeping",
        "backup",
    ),
    *("jobs", "models", "simulation", "figures", "pretraining"),
    *("serving", "driving", "export", "trials", "cluster"),
    *("hub", "disk", "doctor", "policy_cache", "pipeline", "demo", "samples", "evidence", "lens", "loggers", "cli"),
}

MAY_IMPORT: dict[str, set[str]] = {
    "__init__": {"activations", "lens"},  # by name, when one is first used
    "types": set(),
    "errors": set(),
    "progress": set(),
    "public": set(),
    "logins": set(),
    "assets": set(),
    "child": set(),
    "heap": set(),
    "metrics": set(),
    "lossless_video": set(),
    "serialisation": {"lossless_video"},
    "integrity": set(),
    "kept": {"lossless_video"},
    "manifest": {"integrity", "serialisation", "__init__"},
    "stages": STAGES | {"models", "simulation"},  # their constants alone
    "owners": set(),
    "keeping": {"owners", "store", "integrity", "manifest"},
    "store": {"serialisation", "integrity", "manifest", "kept", "stages", "owners"},
    "backup": set(),
    "hub": set(),
    "disk": set(),
    "cluster": set(),
    "driving": {"demonstrations", "pipeline", "simulation", "store"},
    "doctor": {"disk", "hub", "jobs", "models", "samples", "simulation", "store", "__init__"},
    "policy_cache": {"models", "hub"},
    "jobs": {"store", "manifest", "keeping", "pipeline", "policy_cache", "disk", "__init__"},
    "models": {"store", "hub"},
    "simulation": {"store"},
    "demonstrations": {"store", "simulation", "serialisation", "lossless_video", "hub"},
    "activations": {"store", "models"},
    "attribution": {"models"},
    "finetune": {"store", "models"},
    "relevance": set(),
    "selection": set(),
    "comparison": set(),
    "rollout": {"models", "simulation"},
    "serving": {"models"},
    "trials": {"comparison"},
    "export": {"models"},
    "figures": set(),
    "pretraining": {"models", "simulation", "demonstrations", "rollout", "finetune", "store"},
    "pipeline": ALL
    - {"keeping", "backup", "jobs", "cli", "demo", "doctor", "driving", "samples", "evidence", "lens", "loggers"},
    "demo": {"pipeline", "store", "manifest"},
    "loggers": set(),
    "lens": {"attribution", "hub", "models", "pipeline", "policy_cache", "relevance", "samples", "selection", "store"},
    "samples": {"pipeline", "store"},
    "evidence": {
        *("pipeline", "policy_cache", "comparison", "store", "manifest", "figures", "samples", "cluster", "__init__"),
        *(
            "attribution",
            "finetune",
            "rollout",
            "selection",
            "simulation",
        ),  # experiments ask what no stage of the pipeline gives
    },
    "cli": ALL,
    "__main__": {"cli"},
}
"""Room of steering/ -> other rooms it may import, anywhere in its files, besides the contracts."""

NO_TORCH_AT_IMPORT = (
    "relevance",
    "selection",
    "comparison",
    "figures",
    "store",
    "jobs",
    "pipeline",
    "serving",
    "driving",
    "trials",
    "cli",
    "samples",
    "lens",
    "__init__",
)
FORBIDDEN_ROOMS = {"utils", "util", "common", "misc", "helpers"}
MAX_LINES = 400
# The brackets keep this file from matching itself.
MACHINE_PATHS = re.compile(r"(?<![\w.~-])/(?:w[o]rk|r[o]ot|h[o]me|U[s]ers|o[p]t)/\w")
REGISTRIES = re.compile(r"pypi[.]org/simple|files[.]pythonhosted|download[.]pytorch|wheel[h]ouse")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so there is no list of tracked files")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@cache
def imports(path: Path, *, at_module_level: bool = False) -> frozenset[str]:
    """Full dotted names that a file imports; `from a.b import c` counts as a.b.c."""
    names: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if at_module_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if at_module_level and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.relative_to(ROOT)} uses a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        waiting += ast.iter_child_nodes(node)
    return frozenset(names)


def room(path: Path) -> str:
    return path.relative_to(ROOT / "steering").parts[0].removesuffix(".py")


def rooms_of(names: frozenset[str]) -> set[str]:
    """Rooms of steering/ among imported names; the package itself counts as __init__."""
    rooms = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == "steering":
            named = parts[1] if len(parts) > 1 else "__init__"
            rooms.add(named if named in MAY_IMPORT else "__init__")
    return rooms


def offenders(found: Iterator[str] | list[str]) -> str:
    """Every offender on a line of its own; empty where there is none, which is what a rule asserts."""
    return "\n".join(dict.fromkeys(found))


def test_each_room_imports_only_what_the_design_allows() -> None:
    files = python_files("steering")
    strangers = {room(path) for path in files} - MAY_IMPORT.keys()
    assert not strangers, f"no line in the table of this test, and none in the design: {sorted(strangers)}"
    wrong = ((path, rooms_of(imports(path)) - MAY_IMPORT[room(path)] - CONTRACTS - {room(path)}) for path in files)
    told = offenders(f"{path.relative_to(ROOT)} may not import {sorted(names)}" for path, names in wrong if names)
    assert not told, told


def test_steering_knows_nothing_of_the_page() -> None:
    seen = ((path, {name.split(".")[0] for name in imports(path)}) for path in python_files("steering"))
    told = offenders(str(path.relative_to(ROOT)) for path, names in seen if names & {"gradio", "app"})
    assert not told, f"these import the page or Gradio:\n{told}"


def test_stages_never_import_each_other() -> None:
    told = offenders(f"{stage}: {sorted(found)}" for stage in sorted(STAGES) if (found := MAY_IMPORT[stage] & STAGES))
    assert not told, f"the table lets stages import each other:\n{told}"


def test_some_rooms_load_no_torch_when_imported() -> None:
    light = [path for path in python_files("steering") if room(path) in NO_TORCH_AT_IMPORT]
    seen = ((path, {name.split(".")[0] for name in imports(path, at_module_level=True)}) for path in light)
    told = offenders(str(path.relative_to(ROOT)) for path, names in seen if names & {"torch", "transformers"})
    assert not told, f"these import torch or transformers at module level:\n{told}"


def test_views_see_only_dataclasses_and_figures() -> None:
    seen = ((path, rooms_of(imports(path)) - CONTRACTS - {"figures"}) for path in python_files("app/views"))
    told = offenders(f"{path.relative_to(ROOT)} may not import {sorted(wrong)}" for path, wrong in seen if wrong)
    assert not told, told


def test_no_source_file_is_too_long() -> None:
    sources = [path for path in tracked() if path.suffix in (".py", ".js", ".css", ".sh")]
    lengths = ((path, len(path.read_text(encoding="utf-8").splitlines())) for path in sources)
    told = offenders(f"{path.relative_to(ROOT)}: {lines} lines" for path, lines in lengths if lines > MAX_LINES)
    assert not told, f"split by idea, at most {MAX_LINES} lines:\n{told}"


def test_no_room_is_a_drawer() -> None:
    names = (path.relative_to(ROOT) for path in tracked())
    told = offenders(str(name) for name in names if set(name.with_suffix("").parts) & FORBIDDEN_ROOMS)
    assert not told, f"name the room after what lives there:\n{told}"


def test_every_package_says_what_it_is() -> None:
    folders = {path.parent for path in python_files("steering") + python_files("app")} - {ROOT / "app" / "static"}
    texts = ((folder, (folder / "__init__.py").read_text(encoding="utf-8")) for folder in sorted(folders))
    told = offenders(str(folder.relative_to(ROOT)) for folder, text in texts if not ast.get_docstring(ast.parse(text)))
    assert not told, f"no docstring in __init__.py of:\n{told}"


def test_nothing_names_a_machine_or_a_registry() -> None:
    told = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        hits = (found.group() for pattern in (MACHINE_PATHS, REGISTRIES) for found in pattern.finditer(text))
        told += [f"{path.relative_to(ROOT)}: {hit!r}" for hit in hits]
    assert not told, offenders(told)
