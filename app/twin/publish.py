"""Write the static twin: a folder that any web server gives out, and `handout.html`, one file that needs none.

Of the store nothing is copied but what the page shows: pictures, attention, films, traces, tables and reports, each
under a name made from its content. Frames are encoded on the way, 5 ms each. The handout holds the episodes whose
attention is known, for it is read at once.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson

from app import questions
from app.components import scripts_address
from app.questions.context import Context
from app.twin.parts import WORKBENCH, Opened, parts, with_attention
from app.twin.shell import inside, linked, modules, page
from steering.errors import InputError

MOST_BYTES = 30_000_000
"""What a twin should not pass; it is written all the same, and said."""
MEDIA_TYPES = {".webp": "image/webp", ".gz": "application/gzip", ".mp4": "video/mp4", ".json": "application/json"}
HANDOUT = "handout.html"
_ADDRESS = re.compile(r"(?:previews|media)/[\w.~%@/-]+")


@dataclass(frozen=True)
class Published:
    """What was written. episodes: how many the folder and the handout hold; notes: what is to be known of it."""

    folder: Path
    files: int
    bytes: int
    handout_bytes: int
    episodes: tuple[int, int]
    notes: tuple[str, ...]


def publish(context: Context, target: Path, shown: Opened) -> Published:
    """Fill `target`, a new or empty folder. Raises InputError for another one."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target.name} is not an empty folder. Name a new one.")
    card = questions.demonstrations.card(context, shown.demonstrations)
    title = f"{card.title.replace('_', ' ').capitalize()}: Robotic Steering"
    everything, known = list(range(len(card.frames))), with_attention(context, shown.demonstrations)
    (target / "files").mkdir(parents=True)

    def filed(path: Path) -> str:
        content = path.read_bytes()
        name = f"files/{hashlib.sha256(content).hexdigest()[:16]}{path.suffix}"
        (target / name).write_bytes(content)
        return name

    scripts = scripts_address()
    for name, source in modules().items():
        (target / scripts / name).parent.mkdir(parents=True, exist_ok=True)
        (target / scripts / name).write_text(source, encoding="utf-8")
    whole = _placed(context, parts(context, shown, everything), filed)
    (target / "index.html").write_text(page(title, whole, linked(scripts)), encoding="utf-8")
    short = parts(context, shown, known)
    for one in short["comparisons"].values():
        del one["report"]  # has the same films in it once more
    (target / HANDOUT).write_text(page(title, _placed(context, short, _within), inside()), encoding="utf-8")
    (target / "README.md").write_text(readme(title, card.title), encoding="utf-8")
    written = [path for path in target.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in written)
    notes = () if size <= MOST_BYTES else (f"More than {MOST_BYTES / 1e6:.0f} MB: some hosts refuse that much.",)
    episodes = (len(everything), len(known))
    return Published(target, len(written), size, (target / HANDOUT).stat().st_size, episodes, notes)


def readme(title: str, task: str) -> str:
    """The front matter of a static Space, and what the folder is."""
    return f"""---
title: {orjson.dumps(title).decode()}
emoji: 🦾
colorFrom: indigo
colorTo: blue
sdk: static
app_file: index.html
pinned: false
license: apache-2.0
short_description: Which attention heads of a robot policy carry a task?
tags:
  - robotics
  - interpretability
  - vision-language-action
  - attention-heads
---

# {title}

Which attention heads of a vision-language-action policy carry the task “{task.replace("_", " ")}”, and what comes of
training only those: plain files, made by `python -m steering publish`. Any static web server shows them; `handout.html`
opens without one. Training, recording and your own demonstrations need the workbench: `{WORKBENCH}`.
"""


def _within(path: Path) -> str:
    kind = MEDIA_TYPES.get(path.suffix, "application/octet-stream")
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _placed(context: Context, shown: dict[str, Any], place: Callable[[Path], str]) -> Mapping[str, Any]:
    """`shown` with every address of the server's media replaced by the one that `place` gives its file."""
    known: dict[str, str] = {}

    def moved(found: re.Match[str]) -> str:
        address = found[0]
        if address not in known:
            known[address] = place(_file(context, address))
        return known[address]

    told = orjson.dumps(shown, option=orjson.OPT_NON_STR_KEYS).decode()
    placed: Mapping[str, Any] = orjson.loads(_ADDRESS.sub(moved, told))
    return placed


def _file(context: Context, address: str) -> Path:
    if address.startswith("media/"):
        return context.media.folder / Path(unquote(address)).name
    return context.media.file(unquote(address), None)
