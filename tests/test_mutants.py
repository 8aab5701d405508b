"""The script that changes the code to see whether the tests notice: what it changes, and which tests it runs."""

import ast
import difflib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = '''
"""Words with 1 and a + b stay."""
WAITING_S = 3

def asked(x: int = 2, *, with_sum: bool = True) -> float:
    """Another 5."""
    if not x or x < 10 and with_sum:
        report(1)
        raise ValueError(f"{x + 1} is too few")
    check(x)
    return max(x - 1, -0.5)
'''


@pytest.fixture(scope="module")
def mutants() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "scripts" / "mutants.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module
    spec.loader.exec_module(module)
    return module


def test_each_mutant_changes_one_place_and_no_words(mutants: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text(CODE)
    plain = ast.unparse(ast.parse(CODE)).splitlines()
    found = mutants.mutants_of(file)
    changed = set()
    for one in found:
        lines = [line for line in difflib.ndiff(plain, mutants.source_of(one).splitlines()) if line[0] in "+-"]
        assert len(lines) == 2, (one.words, lines)
        changed.add(lines[1][2:].strip())
    assert changed == {
        "def asked(x: int=3, *, with_sum: bool=True) -> float:",
        "def asked(x: int=2, *, with_sum: bool=False) -> float:",
        "if not x and (x < 10 and with_sum):",
        "if not x or (x < 10 or with_sum):",
        "if not not x or (x < 10 and with_sum):",
        "if not x or (x <= 10 and with_sum):",
        "if not x or (x < 11 and with_sum):",
        "None",
        "return min(x - 1, -0.5)",
        "return max(x + 1, -0.5)",
        "return max(x - 2, -0.5)",
        "return max(x - 1, +0.5)",
        "return max(x - 1, -1.1)",
    }
    assert len(found) == len(changed)


def test_every_mutant_of_the_named_rooms_compiles(mutants: ModuleType) -> None:
    for file in mutants.modules(("store", "comparison")):
        for one in mutants.mutants_of(file)[::7]:
            compile(mutants.source_of(one), str(file), "exec")


def test_a_module_s_tests_are_those_of_its_room_that_import_it(mutants: ModuleType) -> None:
    def named(file: str) -> list[str]:
        return [test.name for test in mutants.tests_of(ROOT / "steering" / file)]

    assert named("store.py")[0] == "test_store.py"
    assert named("finetune/schedule.py")[0] == "test_schedule.py"
    assert "test_adapters.py" not in named("finetune/schedule.py")
    assert all(named(str(file.relative_to(ROOT / "steering"))) for file in mutants.modules(mutants.ROOMS))
