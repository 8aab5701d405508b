"""What is declared is what is imported, with bounds and a lock; licence, citation and settings files agree."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOOLS = {"mkdocs-material", "mkdocstrings-python", "mypy", "pytest-benchmark", "pytest-xdist", "ruff", "vulture"}
"""Tools of `make check` and `make docs` and plugins of pytest, which nothing imports."""
ELSEWHERE = {
    "gym_aloha": ("scripts/serve_gym_aloha.py",),
    "lerobot": ("scripts/check_envhub.py", "scripts/check_export.py", "scripts/check_lerobot.py"),
    "openpi_client": (
        "scripts/serve_gym_aloha.py",
        "tests/benchmarks/bench_serve.py",
        "tests/steering/serving/bench_client.py",
    ),
    "robosuite": ("tests/benchmarks/robosuite_lift.py",),
}
"""Packages that cannot share this environment -> the files that may import them, and say how to get them."""


def requirements() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(one.name): one for one in map(Requirement, (x for x in lines if not x.startswith("#")))}


def extra(name: str) -> dict[str, Requirement]:
    return {canonicalize_name(one.name): one for one in map(Requirement, PROJECT["optional-dependencies"][name])}


def lock() -> dict[str, Version]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {name: Version(version) for name, version in pairs}


@cache
def installed() -> Mapping[str, list[str]]:
    """Package that can be imported -> the distributions that bring it; reading that takes seconds."""
    return packages_distributions()


@cache
def imported_packages(file: Path) -> frozenset[str]:
    """Top names of what a file imports from elsewhere than Python itself."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        found |= {name.split(".")[0] for name in names}
    return frozenset(found - set(sys.stdlib_module_names) - {"steering", "app"})


def imported(*places: str) -> dict[str, Path]:
    """Distribution name -> a file of these places that imports it; what is ours or Python's left out."""
    distributions = installed()
    declared = requirements().keys() | extra("dev").keys()
    own = {file.stem for folder in ("tests", "scripts") for file in (ROOT / folder).rglob("*.py")}
    found = {}
    for place in places:
        path = ROOT / place
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            for top in imported_packages(file):
                if str(file.relative_to(ROOT)) in ELSEWHERE.get(top, ()) or top in own:
                    continue
                names = [canonicalize_name(one) for one in (*distributions.get(top, ()), top)]
                found[next((one for one in names if one in declared), names[0])] = file
    return found


def test_the_product_declares_all_it_imports_and_nothing_else() -> None:
    used = {name: file.relative_to(ROOT) for name, file in imported("steering", "app", "app.py").items()}
    optional = {one for name in PROJECT["optional-dependencies"] for one in extra(name) if name != "dev"}
    assert not used.keys() - requirements().keys() - optional, f"not in requirements.txt: {used}"
    assert not requirements().keys() - used.keys(), "in requirements.txt and imported nowhere in steering/ or app/"


def test_the_tests_declare_all_they_import_and_nothing_else() -> None:
    used = imported("tests", "scripts")
    declared = requirements().keys() | extra("dev").keys()
    assert not used.keys() - declared, "not in the dev extra of pyproject.toml"
    assert not extra("dev").keys() - used.keys() - TOOLS - extra("ray").keys(), "in the dev extra and used nowhere"


def test_extras_are_tested_as_they_are_declared() -> None:
    """What people install as an extra is what the tests run with; two loggers come with `make test-slow` alone, for
    trackio brings another event loop for Gradio's server.
    """
    tested = {str(one) for one in extra("dev").values()}
    offered = {str(one) for name in PROJECT["optional-dependencies"] for one in extra(name).values()}
    assert {Requirement(one).name for one in offered - tested} == {"trackio", "wandb"}
    assert all("<" in one for one in offered), "an extra has no upper bound"


@pytest.mark.parametrize("name", [*requirements(), *extra("dev")])
def test_every_requirement_has_an_upper_bound_and_a_locked_version_within(name: str) -> None:
    wanted = requirements().get(name) or extra("dev")[name]
    assert any(one.operator == "<" for one in wanted.specifier), f"{wanted} has no version that is too new"
    if name == "torch":
        assert name not in lock(), "the machine chooses its torch"
        assert "2.8" in wanted.specifier
    else:
        assert lock()[name] in wanted.specifier


def test_licence_is_the_same_everywhere() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert all((ROOT / name).is_file() for name in PROJECT["license-files"])
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(readme.split("---")[1])
    card = yaml.safe_load((ROOT / "assets" / "policy" / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert front["license"] == card["license"] == "apache-2.0"
    assert Version(str(front["sdk_version"])) == lock()["gradio"], "the Space runs another Gradio than the lock has"


def test_citation_names_software_and_paper() -> None:
    from steering import __version__

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["cff-version"], cited["license"], cited["version"]) == ("1.2.0", "Apache-2.0", __version__)
    assert cited["authors"] and cited["message"] and cited["title"]
    (paper,) = cited["references"]
    assert "2511.22697" in paper["url"]
    assert [one["family-names"] for one in paper["authors"]][::9] == ["Mitra", "Herzig"]


def test_a_tagged_commit_has_the_version_of_its_tag() -> None:
    """The version stands in the package and not in the tags alone: a checkout makes results without being installed."""
    from steering import __version__

    command = ["git", "describe", "--exact-match", "--tags", "--match", "v*", "HEAD"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode != 0 or found.stdout.strip() == f"v{__version__}"
    assert Version(__version__).public == __version__


def test_forms_and_workflows_are_readable_and_run_what_must_pass() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    for form in forms:
        found = yaml.safe_load(form.read_text(encoding="utf-8"))
        assert form.name == "config.yml" or {"name", "description", "body"} <= found.keys()
    assert len(forms) > 1
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text(encoding="utf-8"))
    assert {"run": ".ci/run"} in flow["jobs"]["checks"]["steps"]
    site = yaml.safe_load((ROOT / ".github" / "workflows" / "docs.yml").read_text(encoding="utf-8"))
    assert "make docs" in {step.get("run") for step in site["jobs"]["site"]["steps"]}
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    assert {one["package-ecosystem"] for one in updates} == {"pip", "npm", "github-actions"}
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert {one["id"] for one in hooks} >= {"ruff", "ruff-format"}


def test_nothing_that_is_ignored_is_in_the_repository() -> None:
    """A link to an environment is not the folder that `.venv/` would name."""
    command = ("git", "ls-files", "--cached", "--ignored", "--exclude-standard")
    assert not subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
