"""The Compare step: forms, what is shown, success with intervals and the paired test in words, the player's data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from app.answers.comparison import MAX_SCENE_SET, MAX_SCENES, Choice, Effects, Square
from app.views.compare_table import condition, method_attribute, name_of
from app.views.markup import button, checks, choice, empty, number, slider, tab_button, term, text
from app.words import LABELS, how_it_went, label_of
from steering.types import INSTRUCTIONS, Comparison, Rollouts, SuccessRate

ALWAYS = ("zero_shot", "steering", "lora")
WORDS = tuple(name for name in INSTRUCTIONS if name != "original")
NOTHING = empty(
    "Nothing compared yet",
    "Choose a task and the methods, then start: every method runs in the same scenes, and the videos play side by side "
    "here. Zero-shot needs no finetune.",
)
UNTRAINED = empty(
    "Nothing compared yet",
    "Start with the untouched policy alone, or finetune first: then Robotic Steering and LoRA run in the same scenes "
    "beside it.",
    tab_button("Finetune first", "finetune", primary=False),
)


def compare_form(
    tasks: Sequence[str],
    variations: Sequence[str],
    task: str,
    trained: Mapping[str, str],
    recordings: str = "",
    origins: Sequence[str] = (),
    unfolded: bool = True,
) -> str:
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
    recorded = (
        '<div class="wb-form wb-recordings"><p><b>Without a simulator:</b> predicted against demonstrated action '
        f"chunks on the held-out episodes of “{text(recordings)}”.</p>"
        + button("Compare on recordings", "open_loop", testid="open-loop-start")
        + "</div>"
    )
    return (
        f'<details class="wb-card wb-settings" data-fold="compare"{" open" if unfolded else ""}><summary>New comparison'
        '</summary><div class="wb-form">'
        + choice("task", "Task", [(name, name.replace("_", " ").capitalize()) for name in tasks], chosen)
        + checks("variations", "Variations", [(name, name.capitalize(), False, True) for name in variations])
        + checks("words", "Instruction checks", [(n, INSTRUCTIONS[n].capitalize(), False, True) for n in WORDS])
        + checks("methods", "Methods", methods)
        + slider("trials", "Scenes", 2, MAX_SCENES, 10)
        + number("seed", "Scene set", 0, MAX_SCENE_SET, 0)
        + button("Compare", "start", primary=True, testid="compare-start")
        + "</div>"
        + origin_lines(origins, "form-origins")
        + (recorded if recordings else "")
        + "</details>"
    )


def origin_lines(origins: Sequence[str], testid: str) -> str:
    """Where the heads of the methods come from, a line each."""
    said = "".join(f"<span>{text(line)}</span>" for line in origins)
    return f'<p class="wb-muted wb-origins" data-testid="{testid}">{said}</p>' if said else ""


def chooser(choices: Sequence[Choice], shown: str, wanted: str, made: str) -> str:
    """Which comparison is shown, and what the ready example is. made: how it was made, empty for one's own."""
    options = "".join(
        f'<option value="{text(one.id)}"{" selected" if one.id == shown else ""}>{_titled(one)}</option>'
        for one in choices
    )
    example = (
        f'<p data-testid="example"><b>Ready example.</b> {text(made)} Your own comparison takes its place here.</p>'
        if made
        else ""
    )
    picker = (
        f'<label class="wb-field"><span>Shown</span><select name="comparison" data-testid="shown">{options}'
        "</select></label>"
        if len(choices) > 1
        else ""
    )
    query = text(json.dumps({"comparison": wanted}))
    own = any(one.own for one in choices if one.id == shown)
    drop = button("Delete", "delete", shown, quiet=True, testid="delete-comparison") if own else ""
    return f'<div class="wb-shown" data-live>{picker}{drop}{example}<span hidden data-query="{query}"></span></div>'


def _titled(one: Choice) -> str:
    name = condition(one.task, one.variations, one.instruction).capitalize()
    counts = f"{one.methods} method{'s' if one.methods > 1 else ''}, {one.scenes} scene{'s' if one.scenes > 1 else ''}"
    return f"{name}: {counts}{', example' if one.sample else ''}"


def rollout_player(
    key: str,
    rollouts: Sequence[Rollouts],
    disagreement: Sequence[int],
    videos: Sequence[Mapping[int, str]],
    traces: Sequence[Mapping[int, str]] = (),
    squares: Sequence[Sequence[Square]] = (),
) -> dict[str, Any]:
    """What static/compare/rollout_player.js draws; scenes where methods differ come first.

    videos, traces: a method's addresses by seed. squares: [method][scene].
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
    return {"key": key, "methods": methods, "scenes": scenes, "of": len(seeds), "squares": drawn}


def _words(one: Rollouts, j: int) -> str | None:
    """What the policy was told, None where the words are the task's own."""
    if one.instruction == "original" or j >= len(one.instructions):
        return None
    return one.instructions[j]


def leading(purpose: str, sentence: str = "") -> str:
    """The sentence that leads the step, hidden until a blind vote is cast where there is one; the purpose without."""
    if not sentence:
        return f'<div class="wb-lead"><p class="wb-lead-first">{text(purpose)}</p></div>'
    return (
        f'<div class="wb-lead"><p class="wb-lead-first wb-totals" data-testid="compare-lead">{text(sentence)}</p>'
        '<p class="wb-lead-first wb-veil" data-testid="veil">Which is best? Watch a scene below and vote: totals show '
        "afterwards, so that they cannot sway you.</p></div>"
    )


def _effect(one: Effects) -> str:
    """A bar on an axis of ±100 points: the difference, its interval, and 0."""
    at = [50 + value / 2 for value in (one.low, one.difference, one.high)]
    return (
        f'<div class="wb-effect" data-shown="{str(one.shown).lower()}"><span>{text(one.words)}</span>'
        f'<span class="wb-effect-track" role="img" aria-label="{text(one.words)}"><i style="left:{at[0]:.1f}%;'
        f'width:{at[2] - at[0]:.1f}%"></i><b style="left:{at[1]:.1f}%"></b></span></div>'
    )


def success(
    comparison: Comparison, sentences: Sequence[str], origins: Sequence[str] = (), effects: Sequence[Effects] = ()
) -> str:
    """Success with intervals, and the paired tests in words (sentences: from steering.comparison.compare.report).

    origins: where the heads of the methods come from, a line each. effects: a difference a pair.
    """
    bars = "".join(_rate(rate) for rate in comparison.rates)
    words = {rate.method.partition("/")[2] for rate in comparison.rates}
    where = comparison.task.replace("_", " ") + "".join(f", {name}" for name in comparison.variations)
    where += "".join(f", {INSTRUCTIONS.get(name, name)}" for name in sorted(words) if name)
    verdict = "".join(f"<p>{text(line)}</p>" for line in sentences)
    count = f"{len(comparison.seeds)} scene{'s' if len(comparison.seeds) > 1 else ''}"
    return (
        '<section class="wb-card wb-totals" data-testid="success">'
        f"<h2>Success: {text(where)}, {count}</h2>"
        f'<div class="wb-success">{bars}</div><p class="wb-muted wb-note">Whisker: '
        f"{term('wilson', '95 % Wilson interval')}.</p>{_effects(effects)}"
        f'<div class="wb-verdict" data-testid="verdict">{verdict}</div>'
        f"{origin_lines(origins, 'origins')}</section>"
    )


def _effects(effects: Sequence[Effects]) -> str:
    if not effects:
        return ""
    return (
        f'<div class="wb-effects" data-testid="effects"><h3>{term("effect", "Differences")}, with 95 % intervals</h3>'
        f"{''.join(_effect(one) for one in effects)}"
        '<p class="wb-muted">In percentage points; the line is no difference. Filled: shown by the '
        f"{term('paired', 'paired test')} after {term('holm', 'Holm')}.</p></div>"
    )


def _rate(rate: SuccessRate) -> str:
    low, high = 100 * rate.low, 100 * rate.high
    return (
        f'<div class="wb-rate" {method_attribute(rate.method)}><span>{name_of(rate.method)}</span>'
        f'<span class="wb-bar-track"><i style="width:{100 * rate.rate:.1f}%"></i>'
        f'<span class="wb-whisker" style="left:{low:.1f}%;width:{high - low:.1f}%"></span></span>'
        f"<span><b>{rate.successes} of {rate.trials}</b><small>{low:.0f}–{high:.0f} %</small></span></div>"
    )
