"""The import rules of `app/`, as code: who may use whom, no circle, no Gradio below the page, none of its insides."""

import ast
import re
import subprocess
import sys
from functools import cache
from itertools import combinations
from pathlib import Path

from app.views.templates import JINJA

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "words": set(),
    "glossary": set(),
    "untrusted": set(),
    "theme": set(),
    "session": set(),
    "admission": set(),
    "compression": {"admission"},
    "asked": set(),
    "visitors": set(),
    "damage": set(),
    "costs": set(),
    "uploads": {"visitors"},
    "answers": set(),
    "classbook": set(),
    "lessons": {"answers"},
    "visible": {"classbook", "visitors"},
    "policies": {"costs", "damage", "visitors"},
    "driving": {"answers", "visitors", "words"},
    "evidence": {"answers"},
    "views": {"answers", "glossary", "words"},
    "media": {"answers", "views", "words"},
    "questions": {
        *("answers", "words", "untrusted", "visitors", "visible", "damage", "costs", "classbook", "lessons"),
        *("policies", "uploads", "driving", "evidence", "media"),
    },
    "monitoring": {"questions"},
    "cookies": {"visitors", "monitoring"},
    "components": {"glossary", "questions", "views"},
    "tabs": {
        *("answers", "components", "cookies", "damage", "monitoring", "policies", "questions", "uploads", "session"),
        *("untrusted", "views", "visitors", "words"),
    },
    "endpoints": {"questions", "tabs", "untrusted"},
    "page": {"components", "endpoints", "questions", "session", "tabs", "untrusted", "views", "visitors"},
    "twin": {"answers", "components", "lessons", "questions", "tabs", "theme", "views"},
    "main": {
        *("admission", "asked", "components", "compression", "cookies", "media", "monitoring", "page", "policies"),
        *("questions", "theme", "visitors"),
    },
}
"""Room of app/ -> other rooms it may import; each uses only those above it in this table."""
BELOW_THE_PAGE = ("questions", "answers", "views")
"""Rooms that a script, an agent or a test can use without Gradio."""


@cache
def files() -> dict[str, Path]:
    """Dotted name -> file, of every module of app/."""
    found = sorted((ROOT / "app").rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in found}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> set[str]:
    """Full dotted names that a file imports, also for types alone."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def uses() -> dict[str, set[str]]:
    """Module of app/ -> modules of app/ that it imports."""
    known = files()
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        found[name] = set()
        for imported in imports(path):
            while imported and imported not in known:
                imported = imported.rpartition(".")[0]
            found[name] |= {imported} - {"", "app", name}
    return found


def texts(path: Path) -> list[str]:
    """Every string of a file, also the parts of f-strings, but no docstring and no string that stands alone."""
    tree = parsed(path)
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in alone)
    return [node.value for node in constants if isinstance(node.value, str)]


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef)]


def test_each_room_of_the_page_uses_only_those_below_it() -> None:
    graph = uses()
    assert {room(module) for module in graph} == MAY_IMPORT.keys(), (
        "a room without a line in the table, or a line of none"
    )
    wrong = {m: {room(o) for o in used} - MAY_IMPORT[room(m)] - {room(m)} for m, used in graph.items()}
    assert not {m: found for m, found in wrong.items() if found}
    order = list(MAY_IMPORT)
    assert all(order.index(lower) < order.index(upper) for upper, used in MAY_IMPORT.items() for lower in used)


def test_no_files_of_the_page_import_each_other_in_a_circle() -> None:
    graph = uses()
    while free := [module for module, used in graph.items() if not used & graph.keys()]:
        for module in free:
            del graph[module]
    assert not graph, f"in a circle, or above one: {sorted(graph)}"


def test_questions_know_nothing_of_gradio_and_of_markup() -> None:
    modules = {name: path for name, path in files().items() if room(name) in BELOW_THE_PAGE}
    assert not {name for name, path in modules.items() if any(one.split(".")[0] == "gradio" for one in imports(path))}


def test_questions_load_no_gradio_and_the_page_no_torch_and_no_scipy() -> None:
    """SciPy's distributions are 60 MB, its sparse and dense solvers 24: they wait for a question that needs them."""
    heavy = "{'torch', 'transformers', 'mujoco', 'scipy'}"
    code = f"""import sys, app.questions; print(({heavy} | {{'gradio'}}) & set(sys.modules))
import app.main; print({heavy} & set(sys.modules))"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout.split()) == (0, ["set()", "set()"]), found.stderr


def test_a_public_question_takes_and_gives_types_that_say_what_they_are() -> None:
    files_of = [ROOT / "app" / "questions" / name for name in ("public.py", "classes.py")]
    bodies = [node for path in files_of for node in parsed(path).body]
    asked = [node for node in bodies if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    vague = [one.name for one in asked for node in ast.walk(one) if isinstance(node, ast.Name) and node.id == "Any"]
    assert len(asked) > 20 and not vague and all(one.returns and ast.get_docstring(one) for one in asked)


def test_questions_and_answers_say_what_everything_is() -> None:
    """`object` is what a browser sends and nobody has checked; JSON documents are `app.answers.Json`."""
    vague = [
        f"{name}, line {node.lineno}"
        for name, path in files().items()
        if room(name) in ("questions", "answers")
        for node in ast.walk(parsed(path))
        if (isinstance(node, ast.Name) and node.id == "Any")
        or (isinstance(node, ast.Attribute) and node.attr == "Any")
        or (isinstance(node, ast.alias) and node.name == "Any")
    ]
    assert not vague


def test_nothing_of_gradios_insides_is_touched() -> None:
    touched = [
        f"{name}: {ast.unparse(node)}"
        for name, path in files().items()
        if any(one.split(".")[0] == "gradio" for one in imports(path))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]
    assert not touched


def test_no_class_holds_its_holder() -> None:
    """A class that hands itself to what it makes is known by its own part, so neither can be read alone."""
    handing = [
        f"{name}.{one.name}: {ast.unparse(call)}"
        for name, path in files().items()
        for one in classes(path)
        for method in one.body
        if isinstance(method, ast.FunctionDef) and method.name == "__init__"
        for call in ast.walk(method)
        if isinstance(call, ast.Call) and any(isinstance(given, ast.Name) and given.id == "self" for given in call.args)
    ]
    assert not handing


def test_no_dataclass_stands_twice() -> None:
    fields: dict[str, set[str]] = {}
    for name, path in files().items():
        for one in classes(path):
            found = {
                item.target.id
                for item in one.body
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            }
            if len(found) > 2 and any("dataclass" in ast.unparse(mark) for mark in one.decorator_list):
                fields[f"{name}.{one.name}"] = found
    twice = [
        (a, b) for a, b in combinations(fields, 2) if len(fields[a] & fields[b]) > 0.75 * len(fields[a] | fields[b])
    ]
    assert not twice


def test_markup_is_made_by_templates_alone() -> None:
    tag = re.compile(r"<[!/]?[a-z][a-z0-9]*(?:[\s>/]|$)", re.IGNORECASE)
    made = {name: [one for one in texts(path) if tag.search(one)] for name, path in files().items()}
    assert not {name: found for name, found in made.items() if found}


def test_no_text_passes_for_markup() -> None:
    """But in the twin, which takes the views' markup from JSON, and style sheets of its own."""
    passed = {
        name
        for name, path in files().items()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Markup"
        if any(not isinstance(given, ast.Constant) for given in node.args)
    }
    assert passed == {"app.twin.shell"}
    templates = sorted((ROOT / "app").rglob("*.html"))
    unsafe = re.compile(r"\|\s*safe\b|\bautoescape\b")
    assert len(templates) > 20 and JINJA.autoescape is True
    assert not [path.name for path in templates if unsafe.search(path.read_text(encoding="utf-8"))]
