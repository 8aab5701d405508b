"""The menu that measures heads in other ways, and what a head set would cost: markup."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from app.answers.training import TrainingEstimate
from app.views.markup import button, choice, text
from app.words import TARGET_LABELS, duration
from steering.metrics import METRICS
from steering.types import PHASES, SetError

QUESTION = {"knn": "k-NN beyond state and time", "ridge": "Linear probe beyond state and time"}
TRUST_COST = "resamples episodes, and permutes trajectories between them: a minute or two"
ZERO_LABELS = {"state_time": "joint state and time", "mean_action": "the mean action", "time": "the time"}


def measure_menu(measured: Collection[str], targets: Sequence[str], scene: bool, trusted: bool) -> str:
    """A button for every way to measure. measured: names of metrics that were; scene: the simulator can redraw these
    demonstrations; trusted: the scores shown have intervals.
    """
    rows = [
        _row(QUESTION.get(one.name, one.label), one.name, one.meaning, one.cost, one.name in measured)
        for one in METRICS
        if one.needs != "simulator" or scene
    ]
    trust = _row("Intervals and chance", "trust", "How far these scores and ranks can be trusted.", TRUST_COST, trusted)
    asked = choice("target", "Heads predict", [(name, TARGET_LABELS[name]) for name in targets], "action")
    frames = [("whole", "all frames"), *[(phase, f"{phase} frames") for phase in PHASES]]
    return (
        '<details class="wb-measuring" data-testid="measure-menu">'
        '<summary class="wb-button wb-quiet">Measure…</summary>'
        '<div class="wb-measuring-list"><div class="wb-form">'
        f"{asked}{choice('phase', 'Over', frames, 'whole')}"
        '<p class="wb-muted">for k-NN and the linear probe; the first run keeps the head outputs (about a minute)</p>'
        f"</div>{''.join(rows)}{trust}</div></details>"
    )


def _row(label: str, name: str, meaning: str, cost: str, done: bool) -> str:
    state = '<span class="wb-tag wb-good">measured</span>' if done else ""
    return (
        f'<div class="wb-measuring-row">{button(label, "measure", name, quiet=True)}{state}'
        f"<p>{text(meaning)} <small>{text(cost[:1].upper() + cost[1:])}.</small></p></div>"
    )


def what_if(
    heads: int, parameters: int, lora: int, rank: int, error: SetError | None, training: TrainingEstimate | None
) -> str:
    """What this head set would cost and how well it predicts, in one line.

    parameters: that would train at `rank`; lora: those of LoRA on all heads, which the lessons compare them with.
    """
    if not heads:
        return '<p class="wb-whatif" data-testid="what-if">Select heads to see what training them would take.</p>'
    if training is None:
        cost = "These heads reach no action: add heads of another layer."
    else:
        memory = f", {training.memory_mb / 1024:.1f} GB" if training.memory_mb else ""
        runs = f"estimate from {training.runs} measured run{'s' if training.runs != 1 else ''}"
        basis = runs if training.runs else "rough, no run measured yet"
        cost = f"About {duration(training.seconds)}{memory} for {training.steps} steps ({basis})."
    if error is None:
        told = "Held-out error: press Measure this set below."
    else:
        zero = ZERO_LABELS.get(error.zero, error.zero.replace("_", " "))
        told = f"Held-out error {error.error:.3f} (k = {error.k}), {_share(error.score)} than {zero}."
    return (
        f'<p class="wb-whatif" data-testid="what-if" data-parameters="{parameters}" data-lora="{lora}">'
        f"<b>If trained:</b> {parameters:,} parameters at rank {rank}. "
        f"{text(cost)} {text(told)}</p>"
    )


def unknown_cost(words: str) -> str:
    """Why the cost of a set is not known."""
    return f'<p class="wb-whatif" data-testid="what-if">{text(words)}</p>'


def _share(score: float) -> str:
    return f"{abs(score):.0%} {'lower' if score >= 0 else 'higher'}".replace("%", "\u00a0%")
