"""The menu that measures heads in other ways, and what a head set would cost: markup."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from markupsafe import Markup

from app.answers.training import TrainingEstimate
from app.views.templates import Macros
from app.words import TARGET_LABELS
from steering.metrics import METRICS
from steering.types import PHASES, SetError

HTML = Macros("measures_menu.html")
QUESTION = {"knn": "k-NN beyond state and time", "ridge": "Linear probe beyond state and time"}
TRUST_COST = "resamples episodes, and permutes trajectories between them: a minute or two"
ZERO_LABELS = {"state_time": "joint state and time", "mean_action": "the mean action", "time": "the time"}


def measure_menu(measured: Collection[str], targets: Sequence[str], scene: bool, trusted: bool) -> Markup:
    """A button for every way to measure. measured: names of metrics that were; scene: the simulator can redraw these
    demonstrations; trusted: the scores shown have intervals.
    """
    rows = [
        (QUESTION.get(one.name, one.label), one.name, one.meaning, one.cost, one.name in measured)
        for one in METRICS
        if one.needs != "simulator" or scene
    ]
    rows.append(
        ("Intervals and chance", "trust", "How far these scores and ranks can be trusted.", TRUST_COST, trusted)
    )
    frames = [("whole", "all frames"), *[(phase, f"{phase} frames") for phase in PHASES]]
    return HTML.menu(rows, [(name, TARGET_LABELS[name]) for name in targets], frames)


def menus(measuring: Markup, surgery: Markup) -> Markup:
    """The menu of measures, and beside it that of surgery, which may be empty."""
    return HTML.menus(measuring, surgery)


def what_if(
    heads: Sequence[int],
    parameters: int,
    lora: int,
    rank: int,
    error: SetError | None,
    training: TrainingEstimate | None,
) -> Markup:
    """What this head set would cost and how well it predicts, in one line.

    heads: their flat indices, rising. parameters: that would train at `rank`; lora: those of LoRA on all heads, which
    the lessons compare them with.
    """
    if not heads:
        return HTML.line("Select heads to see what training them would take.")
    told = ""
    if error is not None:
        zero = ZERO_LABELS.get(error.zero, error.zero.replace("_", " "))
        told = f"Held-out error {error.error:.3f} (k = {error.k}), {_share(error.score)} than {zero}."
    return HTML.what_if(heads, parameters, lora, rank, training, told)


def unknown_cost(words: str) -> Markup:
    """Why the cost of a set is not known."""
    return HTML.line(words)


def _share(score: float) -> str:
    return f"{abs(score):.0%} {'lower' if score >= 0 else 'higher'}".replace("%", "\u00a0%")
