"""The Compare step: forms, what is shown, success with intervals and the paired test in words, the player's data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from app.answers.comparison import MAX_SCENE_SET, MAX_SCENES, Choice, Effects, Square
from app.views.compare_table import condition
from app.views.templates import Macros
from app.words import LABELS, how_it_went, label_of
from steering.types import INSTRUCTIONS, Comparison, Rollouts

HTML = Macros("comparison.html")
ALWAYS = ("zero_shot", "steering", "lora")
WORDS = tuple(name for name in INSTRUCTIONS if name != "original")
NOTHING = HTML.nothing()
UNTRAINED = HTML.untrained()


def compare_form(
    tasks: Sequence[str],
    variations: Sequence[str],
    task: str,
    trained: Mapping[str, str],
    recordings: str = "",
    origins: Sequence[str] = (),
    unfolded: bool = True,
) -> Markup:
    """The forms. trained: method -> what its newest adapter was trained on, for the methods that have one. origins:
    of which heads these are, a line a method.

    recordings: name of the opened demonstrations, for the comparison that needs no simulator; empty without any.
    unfolded: they stand open, as where nothing was compared yet.
    """
    methods = []
    for m in LABELS:
        ready = m == "zero_shot" or m in trained
        if ready or m in ALWAYS:  # baselines and controls show once they are trained
            methods.append((m, LABELS[m] if ready else f"{LABELS[m]} (not trained yet)", ready, ready))
    chosen = task if task in tasks else tasks[0]
    named = [(name, name.replace("_", " ").capitalize()) for name in tasks]
    return HTML.compare_form(
        named,
        chosen,
        [(name, name.capitalize(), False, True) for name in variations],
        [(name, INSTRUCTIONS[name].capitalize(), False, True) for name in WORDS],
        methods,
        MAX_SCENES,
        MAX_SCENE_SET,
        origins,
        recordings,
        unfolded,
    )


def chooser(choices: Sequence[Choice], shown: str, wanted: str, made: str, yours: bool = True) -> Markup:
    """Which comparison is shown, and what the ready example is. made: how it was made, empty for one's own; yours:
    comparisons can be made here.
    """
    titled = [(one.id, _titled(one)) for one in choices]
    own = any(one.own for one in choices if one.id == shown)
    return HTML.chooser(titled, shown, own, made, yours, json.dumps({"comparison": wanted}))


def _titled(one: Choice) -> str:
    name = condition(one.task, one.variations, one.instruction).capitalize()
    counts = f"{one.methods} method{'s' if one.methods > 1 else ''}, {one.scenes} scene{'s' if one.scenes > 1 else ''}"
    return f"{name}: {counts}, {'example' if one.sample else one.date}"


def rollout_player(
    key: str,
    rollouts: Sequence[Rollouts],
    disagreement: Sequence[int],
    videos: Sequence[Mapping[int, str]],
    traces: Sequence[Mapping[int, str]] = (),
    squares: Sequence[Sequence[Square]] = (),
    task: str = "",
) -> dict[str, Any]:
    """What static/compare/rollout_player.js draws; scenes where methods differ come first.

    videos, traces: a method's addresses by seed. squares: [method][scene]. task: in the
    names of kept files.
    """
    seeds = rollouts[0].seeds
    kept = [i for i, seed in enumerate(seeds) if any(seed in row for row in videos)]
    order = sorted(kept, key=lambda i: (seeds[i] not in disagreement, i))
    traces = traces or [{}] * len(rollouts)
    scenes = []
    for i in order:
        seed = seeds[i]
        at = [one.seeds.index(seed) for one in rollouts]
        scenes.append(
            {
                "number": i + 1,
                "seed": seed,
                "differs": seed in disagreement,
                "success": [bool(one.success[j]) for one, j in zip(rollouts, at, strict=True)],
                "seconds": [f"{one.steps[j] / one.rate_hz:.1f}" for one, j in zip(rollouts, at, strict=True)],
                "steps": [int(one.steps[j]) for one, j in zip(rollouts, at, strict=True)],
                "how": [how_it_went(one, j) for one, j in zip(rollouts, at, strict=True)],
                "words": _words(rollouts[0], at[0]),
                "videos": [row.get(seed, "") for row in videos],
                "traces": [row.get(seed, "") for row in traces],
            }
        )
    methods = [{"name": one.method, "label": label_of(one.method)} for one in rollouts]
    drawn = [[[one.seed, one.number, one.success, one.filmed] for one in row] for row in squares]
    return {"key": key, "methods": methods, "scenes": scenes, "of": len(seeds), "squares": drawn, "task": task}


def _words(one: Rollouts, j: int) -> str | None:
    """What the policy was told, None where the words are the task's own."""
    if one.instruction == "original" or j >= len(one.instructions):
        return None
    return one.instructions[j]


def leading(purpose: str, sentence: str = "") -> Markup:
    """The sentence that leads the step, hidden until a blind vote is cast where there is one; the purpose without."""
    return HTML.leading(purpose, sentence)


def success(
    comparison: Comparison,
    sentences: Sequence[str],
    origins: Sequence[str] = (),
    effects: Sequence[Effects] = (),
    opens: bool = True,
) -> Markup:
    """Success with intervals, and the paired tests in words (sentences: from steering.comparison.compare.report).

    origins: where the heads of the methods come from, a line each. effects: a difference a pair. opens: words open
    their meaning, as they cannot in a page without scripts.
    """
    words = {rate.method.partition("/")[2] for rate in comparison.rates}
    where = comparison.task.replace("_", " ") + "".join(f", {name}" for name in comparison.variations)
    where += "".join(f", {INSTRUCTIONS.get(name, name)}" for name in sorted(words) if name)
    where += f", {len(comparison.seeds)} scene{'s' if len(comparison.seeds) > 1 else ''}"
    return HTML.success(where, comparison.rates, effects, sentences, origins, opens)
