"""Robotic Steering: which attention heads of a vision-language-action policy carry a task?

And is it enough to train only those?

    lens = steering.open("embedded")       # or a hub id and your own demonstrations
    heads = lens.score().top(20)
    adapter = lens.finetune(heads, steps=300)

`open` starts there; `tap`, `Activations.from_arrays` and `score` do the same for the heads of any model. Importing this
loads nothing; a name is loaded when it is first used, and torch when something runs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steering.activations.tap import tap
    from steering.lens import Lens, Scores, open, score
    from steering.types import Activations, Comparison, Demonstrations, Episode, Head, Relevance, Selection

__version__ = "0.1.0"
"""Written here and not read from an installed package: results name the version that made them, and a checkout makes
results without being installed. A test holds it against the tags."""

__all__ = [
    "Activations",
    "Comparison",
    "Demonstrations",
    "Episode",
    "Head",
    "Lens",
    "Relevance",
    "Scores",
    "Selection",
    "open",
    "score",
    "tap",
]

_FROM = {"tap": "steering.activations.tap"} | dict.fromkeys(("Lens", "Scores", "open", "score"), "steering.lens")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'steering' has no attribute {name!r}")
    return getattr(importlib.import_module(_FROM.get(name, "steering.types")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
