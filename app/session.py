"""What a browser remembers: ids only, kept by the browser itself, so that a reload finds everything again.

Each part is one `gr.BrowserState`, written by its own handlers, so that events in flight do not undo each other.
What comes back from the browser is untrusted, see `app.untrusted`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

SECRET = "steering-workbench"  # the same after a restart, so that the browser's copy stays readable; guards nothing


@dataclass(frozen=True)
class States:
    """The parts. opened: [demonstrations id, episode]; heads: hexadecimal digits of the head set, None before any
    choice; origin: where it comes from; kept: sets of other demonstrations and policies (both: `app.head_sets`); rank:
    of the adapters; measure: key of the relevance shown, empty for the first; beside: key of a second one, empty for
    none; policy: key of the policy (`app.policies`), empty for the server's first; choosing: the job that opens
    another; training: the fields of the finetuning form.
    """

    opened: gr.BrowserState
    heads: gr.BrowserState
    origin: gr.BrowserState
    kept: gr.BrowserState
    rank: gr.BrowserState
    measure: gr.BrowserState
    beside: gr.BrowserState
    policy: gr.BrowserState
    choosing: gr.BrowserState
    training: gr.BrowserState


def states(rank: int) -> States:
    """The browser states of a page, inside its `gr.Blocks`."""
    defaults: dict[str, Any] = {
        "opened": ["", 0],
        "heads": None,
        "origin": None,
        "kept": {},
        "rank": rank,
        "measure": "",
        "beside": "",
    }
    defaults |= {"policy": "", "choosing": "", "training": {}}
    return States(
        **{
            key: gr.BrowserState(default, storage_key=f"steering-{key}", secret=SECRET)
            for key, default in defaults.items()
        }
    )
