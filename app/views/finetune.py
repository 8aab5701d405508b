"""The Finetune step: method cards with their trainable parameters, shared settings, and the table of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.views.markup import METHOD_TEXTS, choice, duration, number, tag, text
from steering.types import METHOD_LABELS, FinetuneSettings

TRAINED = ("steering", "lora")
RANKS = (4, 8, 16, 32)
BATCHES = (8, 16, 24, 32)
RATES = ("0.0003", "0.001", "0.003")
MAX_STEPS = 3000


@dataclass(frozen=True)
class ResultRow:
    """A finished finetune. heldout: first and last held-out error, None where it was not measured."""

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
    return f'<div class="wb-methods">{"".join(_card(m, parameters, heads, rank, total) for m in (*TRAINED, "zero_shot"))}</div>'


def _card(method: str, parameters: Mapping[str, int], heads: int, rank: int, total: int | None) -> str:
    name = f"<header><h3>{text(METHOD_LABELS[method])}</h3>"
    if method == "zero_shot":
        body, extra = (
            '<div class="wb-number">0 <small>trainable parameters</small></div>',
            "Nothing to train; runs in Compare.",
        )
        name += "</header>"
    elif method == "steering" and not heads:
        body = '<div class="wb-number">No heads <small>selected</small></div>'
        extra = 'Select heads on the map first. <button type="button" class="wb-button wb-quiet" data-tab="heads">Open the map</button>'
        name += "</header>"
    else:
        count = parameters[method]
        body = f'<div class="wb-number" data-testid="parameters-{method}">{count:,} <small>trainable parameters</small></div>'
        share = f"{100 * count / total:.1f} % of the policy, " if total else ""
        ratio = parameters["lora"] / count if method == "steering" and count else None
        extra = f"{share}rank {rank}" + (f"; {ratio:.0f} times fewer than LoRA" if ratio and ratio >= 1.5 else "")
        name += f"{tag(f'{heads} heads') if method == 'steering' else ''}</header>"
    return (
        f'<article class="wb-card wb-method" data-method="{method}">{name}{body}<p>{text(METHOD_TEXTS[method])}</p>'
        f'<p class="wb-muted">{extra}</p></article>'
    )


def settings_form(settings: FinetuneSettings) -> str:
    """Settings shared by both methods. Shown once, so that typing is never undone by an update."""
    return (
        '<div class="wb-form" data-live>'
        + number("steps", "Steps", 10, MAX_STEPS, settings.steps, "10")
        + choice("rank", "Rank", [(str(r), str(r)) for r in RANKS], str(settings.rank))
        + choice("batch_size", "Batch", [(str(b), str(b)) for b in BATCHES], str(settings.batch_size))
        + choice("learning_rate", "Learning rate", [(r, r) for r in RATES], f"{settings.learning_rate:g}")
        + number("seed", "Seed", 0, 999999, settings.seed)
        + '<fieldset class="wb-field"><legend>Train</legend><div class="wb-checks">'
        + "".join(
            f'<label><input type="checkbox" name="methods" value="{m}" checked>{text(METHOD_LABELS[m])}</label>'
            for m in TRAINED
        )
        + '</div></fieldset><button type="button" class="wb-button wb-primary" data-action="start" data-testid="finetune-start">'
        "Finetune</button></div>"
    )


def results_table(rows: Sequence[ResultRow]) -> str:
    """Finished finetunes, newest first."""
    if not rows:
        return '<div class="wb-card wb-section"><h2>Results</h2><p>Finished runs appear here with their parameters, seconds and held-out error.</p></div>'
    body = "".join(
        f'<tr data-method="{text(row.method)}"><td><i class="wb-swatch"></i>{text(METHOD_LABELS.get(row.method, row.method))}</td>'
        f"<td>{text(row.demonstrations)}</td><td>{row.heads if row.heads is not None else 'all'}</td><td>{row.rank}</td><td>{row.steps}</td>"
        f"<td>{row.parameters:,}</td><td>{duration(row.train_s)}</td><td>{row.loss:.3f}</td><td>{_heldout(row)}</td></tr>"
        for row in rows
    )
    head = "".join(
        f"<th>{name}</th>"
        for name in (
            "Method",
            "Demonstrations",
            "Heads",
            "Rank",
            "Steps",
            "Trainable parameters",
            "Training",
            "Loss",
            "Held-out error",
        )
    )
    return (
        '<div class="wb-card wb-section"><h2>Results</h2><div class="wb-scroll"><table class="wb-table" data-testid="finetune-results">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></div>"
    )


def _heldout(row: ResultRow) -> str:
    return "not measured" if row.heldout is None else f"{row.heldout[0]:.3f} → {row.heldout[1]:.3f}"
