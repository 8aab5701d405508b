"""The static twin as one HTML page: the page's own layout by its names, over which app/twin/host.js mounts its scripts.

The scripts are the page's own, fetched as modules, or, for a page that opens without a web server, inside it as data
addresses that an import map names.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from app import components
from app.tabs import compare, demonstrations, finetune, learn
from app.theme import FONTS
from app.twin.parts import WORKBENCH
from app.views.comparison import leading
from app.views.templates import Macros

HERE = Path(__file__).parent
HOST = "twin/host.js"
HTML = Macros("shell.html")
ICON = base64.b64encode(Macros("header.html").logo(file=True).encode()).decode()
_IMPORT = re.compile(r"""((?:\bfrom|\bimport)\s*\(?\s*)["'](\.{1,2}/[^"']+\.js)["']""")
SERVED_STEPS = {
    "demonstrations": "Recording, driving by hand and bringing your own recordings need the workbench.",
    "finetune": "Training runs the policy, so it needs the workbench. What finetunes did is under Compare.",
    "compare": "New comparisons run the policy in the simulator, so they need the workbench.",
    "learn": "The lessons that choose by rule and train need the workbench.",
}


def modules() -> dict[str, str]:
    """Place -> source of every script: those of the page below `static/`, and the host."""
    found = {
        f"static/{path.relative_to(components.STATIC).as_posix()}": path.read_text("utf-8")
        for path in sorted(components.STATIC.rglob("*.js"))
    }
    return {**found, HOST: (HERE / "host.js").read_text("utf-8")}


def page(title: str, shown: Mapping[str, Any], scripts: Markup) -> Markup:
    """The whole page. shown: of `app.twin.parts`, its markup as JSON keeps it; scripts: of `linked` or `inside`."""
    first = shown["comparisons"][next(iter(shown["comparisons"]))] if shown["comparisons"] else {}
    lead, chooser, success, tables = (Markup(first.get(name, "")) for name in ("lead", "chooser", "success", "tables"))
    needs = {step: HTML.served(words, WORKBENCH) for step, words in SERVED_STEPS.items()}
    panels = {
        "demonstrations": HTML.demonstrations(demonstrations.PURPOSE, Markup(shown["grid"]), needs["demonstrations"]),
        "heads": HTML.heads(),
        "finetune": HTML.finetune(finetune.PURPOSE, needs["finetune"]),
        "compare": HTML.compare(lead or leading(compare.PURPOSE), chooser, success, tables, needs["compare"]),
        "learn": HTML.learn(learn.PURPOSE, needs["learn"]),
    }
    sheets = [(HERE / "twin.css").read_text("utf-8"), components.styles(), *components.linked_styles()]
    style = Markup("\n".join(sheets).replace("</", "<\\/"))
    header = Markup(shown["header"])
    return HTML.page(title, ICON, FONTS, style, header, panels, components.words(), shown, scripts)


def linked(folder: str) -> Markup:
    """Scripts as files below `folder`, a relative address."""
    return HTML.linked([f"{folder}/{name}" for name in modules()], f"{folder}/{HOST}")


def inside() -> Markup:
    """Scripts inside the page. A module of a data address has no folder, so imports name places from the root."""
    named = {}
    for name, source in modules().items():
        whole = _from_the_root(name, source)
        named[f"wb/{name}"] = f"data:text/javascript;base64,{base64.b64encode(whole.encode()).decode()}"
    return HTML.inside(named, f"wb/{HOST}")


def _from_the_root(name: str, source: str) -> str:
    """A module's source whose imports name places from the root."""
    return _IMPORT.sub(lambda found: f'{found[1]}"wb/{_place(name, found[2])}"', source)


def _place(name: str, relative: str) -> str:
    """Where `relative`, as a module called `name` writes it, lies."""
    parts = name.split("/")[:-1]
    for part in relative.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
