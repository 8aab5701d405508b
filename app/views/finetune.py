"""The Finetune step: method cards with their trainable parameters, shared settings, and the table of results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.views.markup import METHOD_TEXTS, button, checks, choice, duration, number, tag, text
from steering.types import METHOD_LABELS, FinetuneSettings

TRAINED = ("steering", "lora")
RANKS = (4, 8, 16, 32)
BATCHES = (8, 16, 24, 32)
RATES = ("0.0003", "0.001", "0.003")
MAX_STEPS = 3000
COLUMNS = (
    "Method",
    "Demonstrations",
    "Heads",
    "Rank",
    "Steps",
    "Trainable parameters",
    "Training",
    "Loss",
    "Held-out error",
    "",
)


@dataclass(frozen=True)
class ResultRow:
    """A finished finetune. heldout: first and last held-out error, None where it was not measured."""

    id: str
    method: str
    heads: int | None
    steps: int
    rank: int
    parameters: int
    train_s: float
    loss: float
    heldout: tuple[float, float] | None
    demonstrations: str


def method_cards(parameters: Mapping[str, int], heads: int, rank: int, total: int | None) -> str:
    """The three methods side by side. parameters: method -> trainable parameters at `rank`; total: of the policy."""
    cards = "".join(_card(method, parameters, heads, rank, total) for method in (*TRAINED, "zero_shot"))
    return f'<div class="wb-methods">{cards}</div>'


def _card(method: str, parameters: Mapping[str, int], heads: int, rank: int, total: int | None) -> str:
    mark = ""
    if method == "zero_shot":
        body, extra = "0 <small>trainable parameters</small>", "Nothing to train; runs in Compare."
    elif method == "steering" and not heads:
        body = "No heads <small>selected</small>"
        extra = f"Select heads on the map first. {button('Open the map', tab='heads', quiet=True)}"
    else:
        count = parameters[method]
        body = f'<span data-testid="parameters-{method}">{count:,}</span> <small>trainable parameters</small>'
        extra = f"{100 * count / total:.1f} % of the policy, rank {rank}" if total else f"rank {rank}"
        if method == "steering":
            mark = tag(f"{heads} head{'s' if heads > 1 else ''}")
            if parameters["lora"] >= 1.5 * count:
                extra += f"; {parameters['lora'] / count:.0f} times fewer than LoRA"
    return (
        f'<article class="wb-card wb-method" data-method="{method}"><header><h3>{text(METHOD_LABELS[method])}</h3>'
        f'{mark}</header><div class="wb-number">{body}</div><p>{text(METHOD_TEXTS[method])}</p>'
        f'<p class="wb-muted">{extra}</p></article>'
    )


def settings_form(settings: FinetuneSettings) -> str:
    """Settings shared by both methods. Shown once, so that typing is never undone by an update."""
    return (
        '<div class="wb-card wb-settings"><div class="wb-form" data-live>'
        + number("steps", "Steps", 10, MAX_STEPS, settings.steps, "10")
        + choice("rank", "Rank", [(str(r), str(r)) for r in RANKS], str(settings.rank))
        + choice("batch_size", "Batch", [(str(b), str(b)) for b in BATCHES], str(settings.batch_size))
        + choice("learning_rate", "Learning rate", [(r, r) for r in RATES], f"{settings.learning_rate:g}")
        + number("seed", "Seed", 0, 999999, settings.seed)
        + checks("methods", "Train", [(m, METHOD_LABELS[m], True, True) for m in TRAINED])
        + button("Finetune", "start", primary=True, testid="finetune-start")
        + "</div></div>"
    )


def results_table(rows: Sequence[ResultRow]) -> str:
    """Finished finetunes, newest first."""
    if not rows:
        return (
            '<div class="wb-card wb-section"><h2>Results</h2><p>Finished runs appear here with their parameters, '
            "seconds and held-out error.</p></div>"
        )
    head = "".join(f"<th>{name}</th>" if name else "<td></td>" for name in COLUMNS)
    return (
        '<div class="wb-card wb-section"><h2>Results</h2><div class="wb-scroll">'
        f'<table class="wb-table" data-testid="finetune-results"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(_row(row) for row in rows)}</tbody></table></div>{_told(rows)}"
        '<p class="wb-muted wb-note">Held-out error: mean squared error of predicted action chunks on episodes left '
        "out of training, before and after.</p></div>"
    )


def _told(rows: Sequence[ResultRow]) -> str:
    """The runs as data, for the lessons."""
    runs = [{"id": row.id, "method": row.method, "heldout": row.heldout[1] if row.heldout else None} for row in rows]
    return f'<span hidden data-emit="runs" data-emitted="{text(json.dumps(runs))}"></span>'


def _row(row: ResultRow) -> str:
    values = (
        text(row.demonstrations),
        "all" if row.heads is None else row.heads,
        row.rank,
        row.steps,
        f"{row.parameters:,}",
        duration(row.train_s),
        f"{row.loss:.3f}",
        "not measured" if row.heldout is None else f"{row.heldout[0]:.3f} → {row.heldout[1]:.3f}",
    )
    report = button("Report", "report", row.id, quiet=True, testid="report")
    cells = "".join(f"<td>{value}</td>" for value in (*values, report))
    label = text(METHOD_LABELS.get(row.method, row.method))
    return f'<tr data-method="{text(row.method)}"><td><i class="wb-swatch"></i>{label}</td>{cells}</tr>'
