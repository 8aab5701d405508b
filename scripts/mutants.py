"""Would the tests notice? Changes the code in one small place at a time and runs the tests that mirror it.

    PYTHONPATH=. python scripts/mutants.py [--sample 100] [--seed 0] [--minutes 60] [--room relevance] [--list]

`make mutants` runs it. A mutant swaps a comparison or an operator, moves a number, turns a truth around, takes `and`
for `or` or `min` for `max`, or leaves a call out. Words, annotations, progress and sizes of caches are left alone: they
change no result. Each runs the test files that import its module, one after another, those of its room first, in a copy
of the sources and a process forked from one that has the heavy libraries loaded. It is killed when a file fails, or
takes longer than PATIENCE_S, that passes without the change. Cost: a few seconds a mutant on an idle core, most of it
the tests'; those of jobs a minute.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from steering.comparison.intervals import wilson

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("relevance", "selection", "finetune", "comparison", "store", "jobs")
COPIED = ("steering", "tests", "app", "scripts")
HEAVY = ("numpy", "scipy.stats", "torch", "transformers", "peft", "h5py", "pytest")
PATIENCE_S = 300.0
"""A test file takes far less."""

NO_TESTS = 5
"""Status of pytest where every test of a file is marked slow."""

SAID_FILE = "said.txt"
HOW = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:anyio", "-m", "not slow and not browser")
HOW += ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Pow: ast.Mult, ast.Mod: ast.Mult, ast.And: ast.Or, ast.Or: ast.And, ast.BitOr: ast.BitAnd},
    **{ast.BitAnd: ast.BitOr},
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "argmin": "argmax", "argmax": "argmin"}
SAID = {"report", "part", "warning", "info", "print", "flush"}
"""Calls that only say something."""
SIZES = ("_BYTES", "_BATCH", "_MB", "_S", "_ELEMENTS", "LIMIT", "BLOCK", "EMBED", "CHECKPOINT")
"""Constants of cost, by parts of their names."""
EQUIVALENT = {
    "minima.shape[1] >= 5 * k": "how far columns are halved before they are sorted; any number gives the same ones",
    "np.partition(minima, k - 1, axis=1)": "a larger bound lets more columns through to the sort",
    "draws=HELDOUT_FRAMES * evaluations": "what is kept in memory for later draws; the numbers are the same",
    "draws=settings.steps * settings.batch_size": "likewise",
    "draws=self.settings.steps * self.settings.batch_size": "likewise",
    "draws=2 * self.heldout_frames * max(len(self.heldout.episodes), 2)": "likewise",
    "len(frame) > limit": "as many frames as the limit, evenly spread, are those frames",
    "strict=True": "of zip, whose lists have one length by construction; another length is a fault of ours",
    "full_matrices=False": "more rows of the decomposition, which nothing reads",
    "np.where(size > 0, size, 1)": "by what a product is divided that is 0 there",
    "np.where(scale > 0, scale, 1)": "likewise",
    "np.where(length == 0, 1, length)": "likewise",
    "max(until_s - time.monotonic(), 0.1)": "how long at least one waits for a process that was told to end",
    "time.sleep(0.05)": "how often a lock is asked for",
    "sorted(frame)[:8]": "how many names an error lists",
    "uri=True": "of SQLite, most of whose builds read addresses anyway",
    "2 * sizes * mean_size / items ** 2 - sizes / items - mean_size / items": "the last term is one for all sets",
    "420": "rights of a file, 0o644",
    "os.nice(5)": "how much of the processor a worker leaves to the page",
    "os.fsync(file.fileno())": "what a loss of power leaves on the disk, which no test can take away",
    "cancel_futures=True": "ends waiting work sooner; what was asked for fails or is cancelled all the same",
}
"""Source whose changes cost time or memory and change no result, and why."""


@dataclass(frozen=True)
class Mutant:
    """file: the module's. index: of the change among those of the file. line, words: for people."""

    file: Path
    index: int
    line: int
    words: str


def mutants_of(file: Path) -> list[Mutant]:
    """Every mutant of a module."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [Mutant(file, i, getattr(node, "lineno", 0), words) for i, (node, words) in enumerate(_changes(tree))]


def source_of(mutant: Mutant) -> str:
    """The module's source with the change."""
    tree = ast.parse(mutant.file.read_text(encoding="utf-8"))
    for i, (node, _) in enumerate(_changes(tree)):
        if i == mutant.index:
            _apply(node)
            break
    return ast.unparse(tree)


def _changes(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Nodes that can be changed, in order, each with what would be changed; the tree stays as it is."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop(0)
        if _left_alone(node):
            continue
        if words := _change(node):
            yield node, words
        waiting += _children(node)


def _left_alone(node: ast.AST) -> bool:
    """Words, annotations, what is only said, and sizes of caches."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
        return True
    if isinstance(node, ast.Call) and _name(node.func) in SAID:
        return True
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return True
    if isinstance(node, ast.expr | ast.keyword) and (ast.unparse(node) in EQUIVALENT or _sized(node)):
        return True
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(one, ast.Name) and any(part in one.id for part in SIZES) for one in targets)


def _sized(node: ast.AST) -> bool:
    """Whether a sum or product holds a constant of cost."""
    names = (one.id for one in ast.walk(node) if isinstance(one, ast.Name)) if isinstance(node, ast.BinOp) else ()
    return any(part in name and name.isupper() for name in names for part in SIZES)


def _children(node: ast.AST) -> list[ast.AST]:
    """Nodes below, without annotations and decorators."""
    without = {"annotation", "returns", "decorator_list", "type_params"}
    if isinstance(node, ast.Call) and _name(node.func) == "reshape":
        return [node.func, *(one for one in node.args if ast.unparse(one) != "-1")]  # any below 0 says the same
    found: list[ast.AST] = []
    for name, value in ast.iter_fields(node):
        if name not in without:
            found += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, ast.AST)]
    return found


def _change(node: ast.AST) -> str:
    """What a change of this node would do, in words; empty where there is none."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        return f"{type(node.ops[0]).__name__} to {SWAPS[type(node.ops[0])].__name__}: {ast.unparse(node)}"
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPS and not _of_words(node):
        return f"{type(node.op).__name__} to {SWAPS[type(node.op)].__name__}: {ast.unparse(node)}"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        return f"without {type(node.op).__name__}: {ast.unparse(node)}"
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        return f"{node.value!r} to {_moved(node.value)!r}"
    if isinstance(node, ast.Call) and _name(node.func) in NAMES:
        return f"{_name(node.func)} to {NAMES[_name(node.func)]}: {ast.unparse(node)}"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _name(node.value.func) not in SAID:
        return f"left out: {ast.unparse(node)}"
    return ""


def _apply(node: ast.AST) -> None:
    if isinstance(node, ast.Compare):
        node.ops[0] = SWAPS[type(node.ops[0])]()  # type: ignore[call-overload]
    elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp):
        node.op = SWAPS[type(node.op)]()  # type: ignore[assignment]
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else ast.Not()
        if isinstance(node.op, ast.Not):
            node.operand = ast.UnaryOp(ast.Not(), copy.deepcopy(node.operand))
    elif isinstance(node, ast.Constant):
        node.value = _moved(node.value)  # type: ignore[arg-type]
    elif isinstance(node, ast.Call):
        other = NAMES[_name(node.func)]
        if isinstance(node.func, ast.Name):
            node.func.id = other
        elif isinstance(node.func, ast.Attribute):
            node.func.attr = other
    elif isinstance(node, ast.Expr):
        node.value = ast.Constant(None)


def _moved(value: bool | int | float) -> bool | int | float:
    return not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else 2 * value + 0.1


def _of_words(node: ast.AST) -> bool:
    """Whether texts are joined: that changes words alone."""
    texts = (ast.JoinedStr,)
    return any(
        isinstance(one, texts) or (isinstance(one, ast.Constant) and isinstance(one.value, str))
        for one in ast.walk(node)
    )


def _name(function: ast.expr) -> str:
    return (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )


def modules(rooms: Sequence[str]) -> list[Path]:
    """Source files of rooms, without `__init__`."""
    found: list[Path] = []
    for room in rooms:
        place = ROOT / "steering" / room
        found += sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    return [file for file in found if file.name != "__init__.py"]


def tests_of(file: Path) -> list[Path]:
    """Test files that import a module, those of its room first and one named so before them; else all of its room."""
    module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    room = file.relative_to(ROOT / "steering").parts[0].removesuffix(".py")
    folder, single = ROOT / "tests" / "steering" / room, ROOT / "tests" / "steering" / f"test_{room}.py"
    of_room = sorted(folder.glob("test_*.py")) if folder.is_dir() else [single]
    elsewhere = [test for test in sorted((ROOT / "tests" / "steering").rglob("test_*.py")) if test not in of_room]
    importing = [test for test in (*of_room, *elsewhere) if module in _imported(test)]

    def place(test: Path) -> tuple[bool, bool, int]:
        return test.stem != f"test_{file.stem}", test not in of_room, test.stat().st_size

    return sorted(importing or of_room, key=place)


@cache
def _imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def copied(folder: Path) -> Path:
    """The sources and tests in `folder`, and links to the rest."""
    for place in ROOT.iterdir():
        if place.name in COPIED:
            shutil.copytree(place, folder / place.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif place.name not in (".git", ".venv"):
            (folder / place.name).symlink_to(place)
    return folder


def is_killed(mutant: Mutant, folder: Path, whole: dict[Path, bool]) -> bool:
    """Whether a test file fails with the change that passes without. whole: which pass, as far as that was asked."""
    place = folder / mutant.file.relative_to(ROOT)
    before = place.read_text(encoding="utf-8")
    for test in tests_of(mutant.file):
        place.write_text(source_of(mutant), encoding="utf-8")
        passes = _passes(test, folder)
        place.write_text(before, encoding="utf-8")
        if passes:
            continue
        if test not in whole:
            whole[test] = _passes(test, folder)
            if not whole[test]:
                print(f"{test.name} fails without a change and is left out:", flush=True)
                print((folder / SAID_FILE).read_text(encoding="utf-8")[-1000:], flush=True)
        if whole[test]:
            return True
    return False


def _passes(test: Path, folder: Path) -> bool:
    """Whether a test file of the copy passes, in time."""
    until_s = time.monotonic() + PATIENCE_S
    child = os.fork()
    if child == 0:
        _tested(str(folder / test.relative_to(ROOT)), folder)
    while time.monotonic() < until_s:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) in (0, NO_TESTS)
        time.sleep(0.1)
    os.killpg(child, 9)
    os.waitpid(child, 0)
    return False


def _tested(test: str, folder: Path) -> None:
    """Run a test file in this forked process and end it."""
    import pytest

    os.setsid()
    os.chdir(folder)
    sys.path[:] = [str(folder), *(place for place in sys.path if place not in ("", str(ROOT)))]
    for name in [name for name in sys.modules if name.split(".")[0] in ("steering", "app", "tests")]:
        del sys.modules[name]
    os.environ["PYTHONPATH"] = str(folder)
    said = os.open(folder / SAID_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    try:
        status = int(pytest.main([*HOW, test]))
    except BaseException:  # this process must not go on as its parent
        traceback.print_exc()
        status = 2
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Run a sample of the mutants, say what survived, and the score with its interval."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=100, help="how many mutants, drawn from all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=120.0, help="no mutant is begun after that")
    parser.add_argument("--room", action="append", choices=ROOMS, help="only this room; repeatable")
    parser.add_argument("--list", action="store_true", help="say how many mutants there are; run nothing")
    asked = parser.parse_args()
    every = [mutant for file in modules(asked.room or ROOMS) for mutant in mutants_of(file)]
    print(f"{len(every)} mutants in {len({mutant.file for mutant in every})} modules.", flush=True)
    if asked.list:
        return
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    sys.dont_write_bytecode = True
    for name in HEAVY:
        __import__(name)
    chosen = random.Random(asked.seed).sample(every, min(asked.sample, len(every)))
    ends_s, whole, killed = time.monotonic() + 60 * asked.minutes, dict[Path, bool](), dict[Mutant, bool]()
    with tempfile.TemporaryDirectory(prefix="mutants-") as made:
        folder = copied(Path(made))
        for i, mutant in enumerate(chosen):
            if time.monotonic() > ends_s:
                print(f"Time is over: {i} of {len(chosen)} mutants were run.")
                break
            began_s = time.monotonic()
            killed[mutant] = is_killed(mutant, folder, whole)
            name = f"{mutant.file.relative_to(ROOT)}:{mutant.line}"
            said = f"{'killed' if killed[mutant] else 'LIVES '} {name} {mutant.words}"
            print(f"[{i + 1}/{len(chosen)}] {said} ({time.monotonic() - began_s:.0f} s)", flush=True)
    report(killed)


def report(killed: dict[Mutant, bool]) -> None:
    """Score of every room and of all, with Wilson's 95 % interval."""
    for room in (*ROOMS, ""):
        of_room = [dead for one, dead in killed.items() if room in one.file.relative_to(ROOT / "steering").parts[0]]
        if of_room:
            low, high = wilson(sum(of_room), len(of_room))
            words = f"{sum(of_room)} of {len(of_room)} killed, {sum(of_room) / len(of_room):.0%}"
            print(f"{room or 'all'}: {words} (95 % {low:.0%} to {high:.0%})")


if __name__ == "__main__":
    main()
