"""The import rules of the design, as code."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = {"types", "errors", "progress", "metrics", "public", "assets"}
STAGES = {"demonstrations", "activations", "attribution", "relevance", "selection", "finetune", "rollout", "comparison"}
ALL = STAGES | {
    *("lossless_video", "serialisation", "stages", "owners", "store", "keeping"),
    *("jobs", "models", "simulation", "figures", "pretraining"),
    *("hub", "disk", "doctor", "policy_cache", "pipeline", "demo", "samples", "evidence", "lens", "cli"),
}

MAY_IMPORT: dict[str, set[str]] = {
    "__init__": {"activations", "lens"},  # by name, when one is first used
    "types": set(),
    "errors": set(),
    "progress": set(),
    "public": set(),
    "assets": set(),
    "metrics": set(),
    "lossless_video": set(),
    "serialisation": {"lossless_video"},
    "stages": STAGES | {"models", "simulation"},  # their constants alone
    "owners": set(),
    "keeping": {"owners", "store"},
    "store": {"serialisation", "stages", "owners", "__init__"},
    "hub": set(),
    "disk": set(),
    "doctor": {"disk", "hub", "jobs", "models", "samples", "simulation", "store", "__init__"},
    "policy_cache": {"models", "hub"},
    "jobs": {"store", "keeping", "pipeline", "policy_cache", "disk", "__init__"},
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
    "figures": set(),
    "pretraining": {"models", "simulation", "demonstrations", "rollout", "finetune", "store"},
    "pipeline": ALL - {"keeping", "jobs", "cli", "demo", "doctor", "samples", "evidence", "lens"},
    "demo": {"pipeline", "store"},
    "lens": {"attribution", "hub", "models", "pipeline", "policy_cache", "relevance", "samples", "selection", "store"},
    "samples": {"pipeline", "store"},
    "evidence": {
        *("pipeline", "policy_cache", "comparison", "store", "figures", "samples", "__init__"),
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


def imports(path: Path, *, at_module_level: bool = False) -> set[str]:
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
    return names


def room(path: Path) -> str:
    return path.relative_to(ROOT / "steering").parts[0].removesuffix(".py")


def rooms_of(names: set[str]) -> set[str]:
    """Rooms of steering/ among imported names; the package itself counts as __init__."""
    rooms = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == "steering":
            named = parts[1] if len(parts) > 1 else "__init__"
            rooms.add(named if named in MAY_IMPORT else "__init__")
    return rooms


@pytest.mark.parametrize("path", python_files("steering"), ids=lambda path: str(path.relative_to(ROOT)))
def test_each_room_imports_only_what_the_design_allows(path: Path) -> None:
    own = room(path)
    assert own in MAY_IMPORT, f"steering/{own} has no line in the table of this test; add one, and to the design"
    wrong = rooms_of(imports(path)) - MAY_IMPORT[own] - CONTRACTS - {own}
    assert not wrong, f"steering/{own} may not import {sorted(wrong)}"


@pytest.mark.parametrize("path", python_files("steering"), ids=lambda path: str(path.relative_to(ROOT)))
def test_steering_knows_nothing_of_the_page(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & {"gradio", "app"}


def test_stages_never_import_each_other() -> None:
    assert all(not MAY_IMPORT[stage] & STAGES for stage in STAGES)


def test_some_rooms_load_no_torch_when_imported() -> None:
    for path in python_files("steering"):
        if room(path) in NO_TORCH_AT_IMPORT:
            heavy = {name.split(".")[0] for name in imports(path, at_module_level=True)} & {"torch", "transformers"}
            assert not heavy, f"{path.relative_to(ROOT)} imports {heavy} at module level"


def test_views_see_only_dataclasses_and_figures() -> None:
    for path in python_files("app/views"):
        wrong = rooms_of(imports(path)) - CONTRACTS - {"figures"}
        assert not wrong, f"{path.relative_to(ROOT)} may not import {sorted(wrong)}"


def test_importing_the_page_loads_no_torch() -> None:
    code = "import sys, app.main; print({'torch', 'transformers', 'mujoco'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert output.returncode == 0, output.stderr
    assert output.stdout.strip() == "set()"


def test_no_source_file_is_too_long_and_no_room_is_a_drawer() -> None:
    for path in tracked():
        name = path.relative_to(ROOT)
        assert not set(name.with_suffix("").parts) & FORBIDDEN_ROOMS, f"{name}: name the room after what lives there"
        if path.suffix in (".py", ".js", ".css", ".sh"):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            assert lines <= MAX_LINES, f"{name} has {lines} lines; split it by idea"


def test_every_package_says_what_it_is() -> None:
    for folder in {path.parent for path in python_files("steering") + python_files("app")} - {ROOT / "app" / "static"}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))), folder


def test_nothing_names_a_machine_or_a_registry() -> None:
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for pattern in (MACHINE_PATHS, REGISTRIES):
            found = pattern.search(text)
            assert not found, f"{path.relative_to(ROOT)} contains {found and found.group()!r}"
