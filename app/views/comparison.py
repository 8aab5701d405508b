"""The Compare step: the form, success with intervals, the paired test in words, cost, and the rollout player's data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.views.finetune import TRAINED
from app.views.markup import button, checks, choice, duration, empty, number, slider, tab_button, text
from steering.types import METHOD_LABELS, METHODS, Comparison, FinetuneResult, Rollouts, SuccessRate

MAX_SCENES = 40
MAX_SCENE_SET = 80  # seeds of rollouts end where those of demonstrations begin (steering.pipeline.scene_seeds)
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


def compare_form(tasks: Sequence[str], variations: Sequence[str], task: str, trained: Mapping[str, str]) -> str:
    """The form. trained: method -> what its newest adapter was trained on, for the methods that have one."""
    methods = []
    for m in METHODS:
        ready = m == "zero_shot" or m in trained
        if not ready and m not in TRAINED:
            continue  # baselines show once they are trained
        methods.append((m, METHOD_LABELS[m] if ready else f"{METHOD_LABELS[m]} (not trained yet)", ready, ready))
    chosen = task if task in tasks else tasks[0]
    return (
        '<div class="wb-card wb-settings"><div class="wb-form">'
        + choice("task", "Task", [(name, name.replace("_", " ").capitalize()) for name in tasks], chosen)
        + checks("variations", "Variations", [(name, name.capitalize(), False, True) for name in variations])
        + checks("methods", "Methods", methods)
        + slider("trials", "Scenes", 2, MAX_SCENES, 10)
        + number("seed", "Scene set", 0, MAX_SCENE_SET, 0)
        + button("Compare", "start", primary=True, testid="compare-start")
        + "</div></div>"
    )


def rollout_player(
    key: str, rollouts: Sequence[Rollouts], disagreement: Sequence[int], videos: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """What static/rollout_player.js draws; scenes where methods differ come first. videos: [method][scene] address."""
    seeds = rollouts[0].seeds
    kept = [i for i, _ in enumerate(seeds) if any(i < len(row) and row[i] for row in videos)]
    order = sorted(kept, key=lambda i: (seeds[i] not in disagreement, i))
    places = [{seed: j for j, seed in enumerate(one.seeds)} for one in rollouts]
    scenes = []
    for i in order:
        at = [place[seeds[i]] for place in places]
        scenes.append(
            {
                "number": i + 1,
                "seed": seeds[i],
                "differs": seeds[i] in disagreement,
                "success": [bool(one.success[j]) for one, j in zip(rollouts, at, strict=True)],
                "seconds": [f"{one.steps[j] / one.rate_hz:.1f}" for one, j in zip(rollouts, at, strict=True)],
                "videos": [row[j] if j < len(row) else "" for row, j in zip(videos, at, strict=True)],
            }
        )
    methods = [{"name": one.method, "label": METHOD_LABELS.get(one.method, one.method)} for one in rollouts]
    return {"key": key, "methods": methods, "scenes": scenes}


def success(comparison: Comparison, sentences: Sequence[str]) -> str:
    """Success with intervals, and the paired tests in words (sentences: from steering.comparison.compare.report)."""
    bars = "".join(_rate(rate) for rate in comparison.rates)
    where = comparison.task.replace("_", " ") + "".join(f", {name}" for name in comparison.variations)
    verdict = "".join(f"<p>{text(line)}</p>" for line in sentences)
    count = f"{len(comparison.seeds)} scene{'s' if len(comparison.seeds) > 1 else ''}"
    return (
        f'<section class="wb-card" data-testid="success"><h2>Success: {text(where)}, {count}</h2>'
        f'<div class="wb-success">{bars}</div><p class="wb-muted wb-note">Whisker: 95 % Wilson interval.</p>'
        f'<div class="wb-verdict" data-testid="verdict">{verdict}</div></section>'
    )


def cost(comparison: Comparison, costs: Mapping[str, FinetuneResult | None], seconds: Mapping[str, float]) -> str:
    """Cost of each method. costs: method -> its finetune, None for methods without one.

    seconds: method -> wall seconds of its rollouts.
    """
    table = _costs(comparison, costs, seconds)
    return f'<section class="wb-card" data-testid="cost"><h2>Cost</h2><div class="wb-scroll">{table}</div></section>'


def _rate(rate: SuccessRate) -> str:
    low, high = 100 * rate.low, 100 * rate.high
    return (
        f'<div class="wb-rate" data-method="{text(rate.method)}"><span>{_label(rate.method)}</span>'
        f'<span class="wb-bar-track"><i style="width:{100 * rate.rate:.1f}%"></i>'
        f'<span class="wb-whisker" style="left:{low:.1f}%;width:{high - low:.1f}%"></span></span>'
        f"<span><b>{rate.successes} of {rate.trials}</b><small>{low:.0f}–{high:.0f} %</small></span></div>"
    )


def _costs(comparison: Comparison, costs: Mapping[str, FinetuneResult | None], seconds: Mapping[str, float]) -> str:
    rows = ""
    for rate in comparison.rates:
        run = costs.get(rate.method)
        trained = (run.trainable_parameters, duration(run.train_s)) if run else (0, "none")
        rows += (
            f'<tr data-method="{text(rate.method)}"><td><i class="wb-swatch"></i>{_label(rate.method)}</td>'
            f"<td>{trained[0]:,}</td><td>{trained[1]}</td><td>{duration(seconds.get(rate.method, 0.0))}</td></tr>"
        )
    return (
        '<table class="wb-table wb-costs"><thead><tr><th>Method</th><th>Trainable</th><th>Training</th>'
        f"<th>Rollouts</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _label(method: str) -> str:
    return text(METHOD_LABELS.get(method, method))
