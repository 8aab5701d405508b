"""The equal command of a training: what does the same on the command line and in Python."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NotRequired, TypedDict

from app.questions.training_form import Asked
from steering.finetune.presets import PRESETS


class SelectArguments(TypedDict):
    """Arguments of `pipeline.select` for the heads of a method. heads: rows of stack, layer and head."""

    relevance_id: str
    rule: str
    heads: NotRequired[list[list[str | int]]]
    origin: NotRequired[str]
    count: NotRequired[int]
    stacks: NotRequired[list[str]]
    seed: NotRequired[int]
    other_id: NotRequired[str]


def place(text: str) -> str:
    """A folder as it is written for all who see the page: from the working folder, elsewhere by its name alone.

    What is no absolute path (`embedded`, a hub id) stays.
    """
    path = Path(text)
    if path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return f"/path/to/{path.name}" if path.is_absolute() else text


def changed_settings(asked: Asked) -> dict[str, object]:
    """The settings as pipeline.finetune takes them: the preset, and what differs from it."""
    differing = _differing(asked, asked.preset)
    if any(value is False or value is None for value in differing.values()):
        # the command line cannot take away what a preset gives, so it starts from the one that gives nothing
        return _differing(asked, "default")
    return {**({"preset": asked.preset} if asked.preset != "default" else {}), **differing}


def _differing(asked: Asked, preset: str) -> dict[str, object]:
    base = asdict(PRESETS[preset])
    differing = {name: value for name, value in asdict(asked.settings).items() if value != base[name]}
    if "rank" in differing:  # on the command line alpha would follow it
        differing["alpha"] = asked.settings.alpha
    return differing


def keywords(arguments: Mapping[str, object]) -> str:
    """`arguments` as Python writes them in a call."""
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def select_command(arguments: SelectArguments, digits: str) -> str:
    """The command that stores a selection and prints its id. digits: the head set in hexadecimal."""
    words = ["python -m steering select", arguments["relevance_id"]]
    if arguments["rule"] == "manual":
        words += ["--hex", digits, "--origin", shlex.quote(arguments["origin"])]
    else:
        words += ["--rule", arguments["rule"], "--count", str(arguments["count"])]
        words += [word for stack in arguments["stacks"] for word in ("--stack", stack)]
        words += ["--other", arguments["other_id"]] if "other_id" in arguments else []
        words += ["--seed", str(arguments["seed"])] if "seed" in arguments else []
    taken = "python -c 'import json, sys; print(json.load(sys.stdin)[\"artefact\"])'"
    return f"{' '.join(words)} | {taken}"


def finetune_command(
    demonstrations_id: str,
    method: str,
    selected: bool,
    changed: Mapping[str, object],
    held: list[int] | None,
    source: str,
) -> str:
    """The command that trains. selected: on the heads of $SELECTION. held: episodes held out, None: as it chooses."""
    words = ["python -m steering finetune", demonstrations_id, "--method", method]
    words += ["--selection $SELECTION"] if selected else []
    for name, value in changed.items():
        flag = f"--{name.replace('_', '-')}"
        if name == "warmup_steps":  # the command shortens it with the steps, as the form does
            continue
        words += [flag] if value is True else [flag, shlex.quote(str(value))]
    if held is not None:
        words += [word for episode in held for word in ("--heldout", str(episode))] or ["--no-heldout"]
    words += [] if source == "embedded" else ["--policy", shlex.quote(source)]
    return " ".join(words)
