"""The page's own components: a fixed shell of HTML, drawn and driven by the scripts in static/.

Each is a `gr.HTML` whose value is data (a dict) or, for a panel, markup made by a view. Events go to the server by
name with a small payload, which comes from the client and is checked by the handler. Updating the value never
remounts. (Functions rather than subclasses: Gradio writes a stub file beside the source of every subclass.)

Data travels as JSON in one text: at every event the browser side of Gradio copies all values of the page leaf by
leaf, which took 47 000 copies and a quarter of a second a click while they were objects.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import gradio as gr
import orjson
import plotly
from markupsafe import Markup

from app.glossary import GLOSSARY
from app.questions.lead_sentence import PLACES
from app.views.templates import Macros

STATIC = Path(__file__).parent / "static"
STYLES = ("page", "steps", "messages", "measures", "policies", "finetune", "upload", "compare", "driving")
LATER = ("learn/", "exports/", "frames/", "tour/", "strength/", "shared/sending.js", "shared/style.js")
"""What of static/ a page loads when it first needs it, and not with the first screen: folders and files."""
NARROW = "narrow.css"
"""Linked from the page's head, see there."""
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
PLOTLY_ADDRESS = f"plotly-{plotly.__version__}.min.js"
PAGE = Macros("page.html")
SHELL = PAGE.shell()


@functools.cache
def scripts_address() -> str:
    """Below this address lies what `served` gives, and nothing else is ever under it: it names their content."""
    digest = hashlib.sha256()
    for name, content in sorted(served().items()):
        digest.update(name.encode() + content)
    return f"scripts/{digest.hexdigest()[:16]}"


def served() -> dict[str, bytes]:
    """Name below static/ -> content, of every script, and of the styles that do not go through Gradio."""
    found = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in STATIC.rglob("*.*")}
    linked = (*LATER, NARROW)
    return {name: content for name, content in found.items() if name.endswith(".js") or name.startswith(linked)}


def scripts() -> Markup:
    """For the page's head: what `words` says, a style sheet, and the modules of the first screen, fetched at once."""
    modules = (name for name in sorted(served()) if name.endswith(".js") and not name.startswith(LATER))
    below = scripts_address()
    return PAGE.head(words(), f"{below}/{NARROW}", [f"{below}/{name}" for name in modules])


def words() -> dict[str, Any]:
    """Glossary and names of places, which the scripts read."""
    glossary = {key: [term.name, term.meaning] for key, term in GLOSSARY.items()}
    return {"glossary": glossary, "places": PLACES}


def main_script(call: str) -> str:
    """JavaScript that calls `call` of static/main.js."""
    return f"import(new URL('{scripts_address()}/main.js', document.baseURI)).then((page) => page.{call});"


def styles() -> str:
    """Every style sheet of the first screen."""
    return "\n".join((STATIC / f"{name}.css").read_text("utf-8") for name in STYLES)


def linked_styles() -> list[str]:
    """Every style sheet that does not go through Gradio."""
    return [content.decode() for name, content in sorted(served().items()) if name.endswith(".css")]


def panel(value: str = "", **options: Any) -> gr.HTML:
    """Markup made by a view. A click on `data-action` triggers `action` with {action, value, form}."""
    return _drawn("panel", ("action",), value, "${value ?? ''}", markup=True, **options)


def head_map() -> gr.HTML:
    """The head map; `toggle` carries {selected: [flat head index, ...]}, `keep` the name of a file to export, `take`
    the text of a selection file.
    """
    return _drawn("headMap", ("toggle", "keep", "take"))


def download() -> gr.HTML:
    """Its value {url, name} is fetched and kept by the browser."""
    return _drawn("download")


def frame_player() -> gr.HTML:
    """Both cameras and curves of an episode; `episode` carries {index}, `attention` asks for attention weights."""
    return _drawn("framePlayer", ("episode", "attention"))


def lead(purpose: str) -> gr.HTML:
    """The sentence that leads the Heads step, drawn with the map; purpose: what stands there until heads are scored."""
    return _drawn("lead", value={"purpose": purpose})


def inspector() -> gr.HTML:
    """The head shown; reads the head map's data from the page."""
    return _drawn("inspector")


def what_if() -> gr.HTML:
    """What the selected heads would cost; `ask` carries {selected} after every change of the set. Its value: markup."""
    return _drawn("whatIf", ("ask",), markup=True)


def measures(plotly: str) -> gr.HTML:
    """Questions about the head shown; `ask` carries {kind, head, frame, serial, turn}, answered by the value; an empty
    panel's button sends `measure` with {metric}; `stop` carries the {job} that an answer waits for.
    """
    return _drawn("measures", ("ask", "measure", "stop"), plotly=plotly)


def uploader(value: dict[str, Any]) -> gr.HTML:
    """Takes files: `begin` carries {files: [{name, size}]}, answered by {upload} or {error}; `sent` and `abandon` carry
    {upload}, `hub` a dataset's {name}. Every event has a serial, which the answer repeats.
    """
    return _drawn("uploader", ("begin", "sent", "abandon", "hub"), value=value)


def driving_panel() -> gr.HTML:
    """Live driving; its value as `app.views.driving` gives it, or {note} and {error} in words. `save` asks to store
    what was kept, `end` to drop the rest.
    """
    return _drawn("driving", ("save", "end"))


def rollout_player() -> gr.HTML:
    """Videos of every method on one scene; `report` asks for the comparison as one page."""
    return _drawn("rolloutPlayer", ("report",))


def learn() -> gr.HTML:
    """The Learn step: the list of lessons, and classes; a lesson that is on stands beside every step."""
    return _drawn("learn")


def figure(plotly: str) -> gr.HTML:
    """A Plotly figure as JSON, updated in place. plotly: address of plotly.js, fetched with the first figure."""
    return _drawn("figure", plotly=plotly)


def curves() -> gr.HTML:
    """Live curves of trainings: value as `figure` takes it, line charts only, drawn on a canvas without Plotly."""
    return _drawn("curves")


def _drawn(
    script: str,
    events: tuple[str, ...] = (),
    value: Any = None,
    shell: str = SHELL,
    markup: bool = False,
    **options: Any,
) -> gr.HTML:
    """A `gr.HTML` mounted by `script`. Gradio finds the events by their quoted names in `js_on_load`."""
    named = "".join(f' "{event}";' for event in events)
    mount = main_script(f"mount({script!r}, {str(markup).lower()}, element, props, trigger, watch)")
    made = gr.HTML(
        value if markup else _json(value),
        html_template=shell,
        js_on_load=f"{named} {mount}",
        apply_default_css=False,
        elem_classes="wb-html",
        **options,
    )
    if not markup:
        made.postprocess = _json  # type: ignore[method-assign]
    return made


def _json(value: Any) -> str | None:
    """`value` as JSON; numbers that are not finite become null. Plain types only, see `steering.figures.plain`."""
    return None if value is None else orjson.dumps(value).decode()
