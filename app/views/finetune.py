"""The Finetune step: methods with what they would train and take, settings, the equal command, live runs, results."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.answers.training import Outlook, ResultRow, Running
from app.views.markup import button, choice, kept_table, number, older, tag, term, text
from app.words import duration
from steering.types import CONTROL_LABELS, FFN_CHOICES, METHOD_LABELS, PRECISIONS

LABELS = {**METHOD_LABELS, **CONTROL_LABELS}
TEXTS = {
    "steering": "Low-rank adapters on queries and outputs of the selected heads. All else is frozen.",
    "lora": "Low-rank adapters on every head and feed-forward layer of both stacks, as openpi does it.",
    "lora_rank_matched": "LoRA on everything, at the rank that comes nearest to the selected heads' parameters.",
    "dense_heads": "The same rows and columns as Robotic Steering, at full rank.",
    "random": "As many heads per layer as the best have there, drawn by the seed. What selection must beat.",
    "bottom": "As many of the least relevant heads.",
    "other_task": "As many of the heads that another scored task would train.",
    "full": "Every parameter of the policy, the vision tower included.",
}
GROUP_LABELS = {
    "q_proj": "queries",
    "k_proj": "keys",
    "v_proj": "values",
    "o_proj": "outputs",
    "mlp": "feed-forward",
    "projections": "state, action and time",
    "all": "all",
}
PRESET_LABELS = {
    "default": "Quick",
    "paper": "The authors' recipe",
    "paper_ffn": "The authors' recipe, with every FFN",
    "release": "The authors' release, all that it trains",
    "openpi_lora": "openpi's LoRA",
}
FFN_LABELS = {"none": "of no layer", "selected": "of the selected layers", "all": "of all layers"}
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


def form(
    fields: Mapping[str, Any],
    offers: Sequence[str],
    presets: Collection[str],
    ranks: Sequence[int],
    batches: Sequence[int],
) -> str:
    """The whole form. fields: name -> value as text, `methods` and `options` as lists of what is ticked. What depends
    on the numbers is filled in by static/finetune/form.js, so that typing is never undone by an update.
    """
    shown = {name: text(value) for name, value in fields.items()}
    cards = "".join(_card(name, name in fields["methods"]) for name in offers)
    numbers = [(str(n), str(n)) for n in ranks], [(str(n), str(n)) for n in batches]
    return (
        '<div class="wb-training" data-live><div class="wb-methods" role="group" aria-label="Methods to train">'
        f"{cards}</div>"
        '<div class="wb-card wb-settings"><div class="wb-form">'
        + choice("preset", "Start from", [(p, PRESET_LABELS.get(p, p)) for p in presets], fields["preset"])
        + number("steps", "Steps", 1, 3000, fields["steps"])
        + choice("batch_size", "Batch", numbers[1], fields["batch_size"])
        + choice("rank", "Rank", numbers[0], fields["rank"])
        + number("learning_rate", "Learning rate", 1e-7, 0.1, fields["learning_rate"], "any")
        + number("seed", "Seed", 0, 999999, fields["seed"])
        + button("Finetune", "start", primary=True, testid="finetune-start")
        + "</div>"
        + _more(fields, shown, numbers[0])
        + '<details class="wb-fold"><summary>The same on the command line, or in Python</summary>'
        '<div data-slot="command"></div></details></div></div>'
        '<span hidden data-emit="training-form" data-emitted="null"></span>'
    )


def _more(fields: Mapping[str, Any], shown: Mapping[str, str], ranks: Sequence[tuple[str, str]]) -> str:
    ticked = fields["options"]
    return (
        '<details class="wb-fold" data-testid="more-options"><summary>More options</summary>'
        '<div class="wb-options"><div><h3>What else trains</h3>'
        + _tick("shared_kv", "Keys and values of the selected layers, which all their heads share", ticked)
        + choice("ffn", "Feed-forward", [(name, FFN_LABELS[name]) for name in FFN_CHOICES], fields["ffn"])
        + _tick("projections", "State and action projections, whole", ticked)
        + _tick("time_mlp", "The layers that the flow-matching time passes through, whole", ticked)
        + _tick("head_factors", "Low-rank factors of its own for every head", ticked)
        + choice("expert_rank", "Rank in the action expert", [("", "the same"), *ranks], fields["expert_rank"])
        + "</div><div><h3>How</h3>"
        + _unset("alpha", "Alpha (ΔW × alpha / rank)", 0.1, 1024, "as the rank", shown["alpha"])
        + number("noise_samples", "Noise samples of a frame", 1, 16, fields["noise_samples"])
        + number("accumulation", "Parts of a batch", 1, 64, fields["accumulation"])
        + choice("precision", "Precision", [(name, name) for name in PRECISIONS], fields["precision"])
        + "</div><div><h3>When it is good</h3>"
        + _unset("heldout", "Held-out episodes, the last ones", 0, 100, "a tenth", shown["heldout"])
        + number(
            "patience", "Stop after so many evaluations without a better one (0: never)", 0, 50, fields["patience"]
        )
        + _tick("keep_best", "Keep the weights of the lowest held-out error", ticked)
        + "</div></div></details>"
    )


def _unset(name: str, label: str, low: float, high: float, meaning: str, value: str) -> str:
    """A number field that may stay empty, which means `meaning`."""
    return (
        f'<label class="wb-field"><span>{text(label)}</span><input type="number" name="{name}" min="{low}" '
        f'max="{high}" step="any" placeholder="{text(meaning)}" value="{value}"></label>'
    )


def _tick(name: str, label: str, ticked: Collection[str]) -> str:
    return (
        f'<label class="wb-tick"><input type="checkbox" name="options" value="{name}"'
        f"{' checked' if name in ticked else ''}><span>{text(label)}</span></label>"
    )


def _card(name: str, ticked: bool) -> str:
    return (
        f'<label class="wb-card wb-method" data-method="{name}"><header><input type="checkbox" name="methods" '
        f'value="{name}" aria-label="{text(LABELS[name])}"{" checked" if ticked else ""}>'
        f"<h3>{text(LABELS[name])}</h3></header>"
        f'<p>{text(TEXTS[name])}</p><div class="wb-cost" data-slot="cost-{name}"></div></label>'
    )


def costs(found: Mapping[str, Outlook], command: str, python: str) -> str:
    """What the form shows beside its fields, for static/finetune/form.js: name of a slot -> markup, and what is off."""
    lora = sum(found["lora"].parameters.values()) if "lora" in found else 0
    slots = {f"cost-{name}": _cost(name, cost, lora) for name, cost in found.items()}
    slots["command"] = _code("Shell", command, "command-shell") + _code("Python", python, "command-python")
    told = {"slots": slots, "off": [name for name, cost in found.items() if cost.off]}
    return f'<span hidden data-emit="training" data-emitted="{text(json.dumps(told))}"></span>'


def _cost(name: str, cost: Outlook, lora: int) -> str:
    if cost.missing:
        step, label = ("demonstrations", "Demonstrations") if name == "other_task" else ("heads", "Open the map")
        more = button(label, tab=step, quiet=True)
        return f'<p class="wb-missing">{text(cost.missing)}</p>{more}'
    total = sum(cost.parameters.values())
    share = "" if cost.share is None or name == "full" else f", {_share(cost.share)} of the policy"
    fewer = f"; {lora / total:.0f} times fewer than LoRA" if name == "steering" and lora >= 1.5 * total > 0 else ""
    heads = "" if cost.heads is None else " " + tag(f"{cost.heads} head{'s' if cost.heads != 1 else ''}")
    rank = "" if cost.rank is None else f", rank {cost.rank}"
    lines = [
        f'<div class="wb-number"><span data-testid="parameters-{name}">{total:,}</span> <small>parameters</small>'
        f"{heads}</div>",
        f'<p class="wb-muted wb-origin" data-testid="origin-{name}">{text(cost.origin)}</p>' if cost.origin else "",
        f'<p class="wb-elsewhere">{text(cost.remark)}</p>' if cost.remark else "",
        _groups(cost.parameters),
        f'<p class="wb-muted">Trainable{share}{rank}{fewer}</p>' if share or rank or fewer else "",
    ]
    if cost.off:
        lines.append(f'<p class="wb-missing" data-testid="off-{name}">{text(cost.off)}</p>')
    elif cost.training is not None:
        memory = "" if cost.training.memory_mb is None else f" · {cost.training.memory_mb / 1024:.1f} GB"
        basis = (
            f"from {cost.training.runs} measured run{'s' if cost.training.runs != 1 else ''}"
            if cost.training.runs
            else "rough, no run measured yet"
        )
        lines.append(
            f'<p class="wb-time-cost" data-testid="time-{name}"><b>≈ {duration(cost.training.seconds)}{memory}</b> '
            f"<small>{text(basis)}</small></p>"
        )
    lines += [f'<p class="wb-muted">{text(notice)}</p>' for notice in cost.notices]
    return "".join(lines)


def _groups(groups: Mapping[str, int]) -> str:
    total = sum(groups.values()) or 1
    parts = "".join(
        f'<i data-group="{text(name)}" style="width:{100 * count / total:.2f}%"></i>' for name, count in groups.items()
    )
    told = " · ".join(f"{GROUP_LABELS.get(name, name)} {_short(count)}" for name, count in groups.items())
    return f'<div class="wb-groups" aria-hidden="true">{parts}</div><p class="wb-muted wb-groups-told">{text(told)}</p>'


def _short(count: int) -> str:
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _share(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "under 0.1 %"


def _code(label: str, code: str, testid: str) -> str:
    if not code:
        return ""
    return (
        f'<div class="wb-code"><header><b>{label}</b><button type="button" class="wb-button wb-quiet" data-copy-code>'
        f'Copy</button></header><pre tabindex="0" data-testid="{testid}"><code>{text(code)}</code></pre></div>'
    )


def live(runs: Sequence[Running]) -> str:
    """The trainings that run, in numbers."""
    if not runs:
        return ""
    return f'<div class="wb-live" data-testid="live-runs">{"".join(map(_live, runs))}</div>'


def _live(run: Running) -> str:
    def entry(name: str, value: str) -> str:
        return f"<div><dt>{name}</dt><dd>{value}</dd></div>"

    return (
        f'<dl aria-label="{text(run.name)}"><div><dt>{text(run.name)}</dt><dd>step {run.step} of {run.steps}</dd></div>'
        + entry("Time left", "" if run.left_s is None else duration(run.left_s))
        + entry("Samples a second", "" if run.samples_per_s is None else f"{run.samples_per_s:.1f}")
        + entry("Peak memory", "" if run.peak_memory_mb is None else f"{run.peak_memory_mb / 1024:.2f} GB")
        + entry("Loss", "" if run.loss is None else f"{run.loss:.3f}")
        + entry("Held-out error", "" if run.heldout is None else f"{run.heldout:.3f}")
        + "</dl>"
    )


def results_table(rows: Sequence[ResultRow], asked: str = "") -> str:
    """Finished finetunes, newest first. asked: markup of the question before one is deleted."""
    if not rows:
        return (
            '<div class="wb-card wb-section"><h2>Results</h2><p>Finished runs appear here with their parameters, '
            "seconds and held-out error.</p></div>"
        )
    head = "".join(f"<th>{name}</th>" if name else "<td></td>" for name in COLUMNS)
    notices = sorted({row.notice for row in rows if row.notice})
    table = (
        f'<table class="wb-table" data-testid="finetune-results"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(_row(row, _mark(row.notice, notices)) for row in rows)}</tbody></table>"
    )
    return (
        f'{asked}<div class="wb-card wb-section"><h2>Results</h2>{kept_table("finetunes", table)}{_told(rows)}'
        f'<p class="wb-muted wb-note">{term("heldout", "Held-out error")}: mean squared error of predicted action '
        "chunks on episodes left out of training, before and after."
        f"{''.join(f'<br>{_mark(notice, notices)} {text(notice)}' for notice in notices)}"
        f"{''.join(f'<br>{text(old)}' for old in sorted({row.old for row in rows} - {''}))}</p></div>"
    )


def change_card(method: str, demonstrations: str, lines: Sequence[str]) -> str:
    """What a finetune did to the heads, in sentences; the two maps are drawn below."""
    said = "".join(f"<p>{text(line)}</p>" for line in lines)
    return (
        f'<section class="wb-card wb-section" data-testid="head-change"><h2>Heads before and after: '
        f"{text(METHOD_LABELS.get(method, method))}, {text(demonstrations)}</h2>{said}"
        '<p class="wb-muted wb-note">Gain over state and time on the demonstrations that it was trained on: where it '
        "rises, a head tells more of their actions; that the policy acts better is not shown by it.</p></section>"
    )


TOLD = ("id", "method", "control", "heads", "steps", "rank", "demonstrations")


def _told(rows: Sequence[ResultRow]) -> str:
    """The runs as data, for the lessons."""
    runs = [
        {
            **{name: getattr(row, name) for name in TOLD},
            "heldout": row.heldout[1] if row.heldout else None,
        }
        for row in rows
    ]
    return f'<span hidden data-emit="runs" data-emitted="{text(json.dumps(runs))}"></span>'


def _mark(notice: str, notices: Sequence[str]) -> str:
    """A star for the first notice, two for the second, and so on."""
    return "*" * (notices.index(notice) + 1) if notice else ""


def _row(row: ResultRow, star: str) -> str:
    mark = f" {star}" if star else ""
    kept = "" if row.best_step is None else f" <small>kept step {row.best_step}</small>"
    values = (
        text(row.demonstrations),
        "all" if row.heads is None else row.heads,
        "full" if row.rank is None else row.rank,
        f"{row.steps}{kept}",
        f"{row.parameters:,}",
        duration(row.train_s),
        f"{row.loss:.3f}",
        "not measured" if row.heldout is None else f"{row.heldout[0]:.3f} → {row.heldout[1]:.3f}{mark}",
    )
    buttons = button("Heads after", "heads_after", row.id, quiet=True, testid="heads-after") + button(
        "Report", "report", row.id, quiet=True, testid="report"
    )
    if row.method != "full":
        buttons += button("Export", "export", row.id, quiet=True, testid="export-policy")
    buttons += button("Delete", "delete", row.id, quiet=True) if row.own else ""
    cells = "".join(f"<td>{value}</td>" for value in (*values, f'<div class="wb-buttons">{buttons}</div>'))
    label = text(METHOD_LABELS.get(row.method, row.method))
    origin = f"<small>{text(row.origin)}</small>" if row.origin else ""
    named = f'<i class="wb-swatch"></i>{label}{origin}{older(row.old)}'
    return f'<tr data-method="{text(row.method)}"><td>{named}</td>{cells}</tr>'
