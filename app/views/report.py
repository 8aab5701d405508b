"""A run as one HTML page that opens offline: no script, no request; figures are SVG, videos lie inside.

The page follows the reader's light or dark setting and prints. Everything shown comes from the artefacts' values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from markupsafe import Markup

from app.answers.report import Finetuned, Run
from app.answers.trials import BookCard
from app.views.compare_open_loop import open_loop
from app.views.compare_table import failures_card
from app.views.comparison import success
from app.views.head_map import colour_range
from app.views.templates import Macros
from app.views.trials import results
from app.words import LABELS
from steering.figures import method_colour
from steering.types import Head, Relevance

HTML = Macros("report.html")
CELL, GAP = 18, 3
VIRIDIS = ((68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37))
INERT = "rgba(128,128,128,.35)"


def report(run: Run) -> Markup:
    """The whole page."""
    note = "Nothing was trained for this run."
    if run.finetunes:
        first = run.finetunes[0]
        note = f"“{first.instruction}”, {first.episodes} demonstrations."
    return HTML.page(
        f"{run.title}: {run.data}" if run.data else run.title,
        [one for one in (run.policy, run.data, run.date) if one],
        dict(run.document),
        [(name, method_colour(name)) for name in LABELS],
        note,
        run.notes,
        Markup("\n").join(_parts(run)),
    )


def _parts(run: Run) -> list[Markup]:
    """What the run has, section by section."""
    parts = []
    if run.comparison:
        parts.append(success(run.comparison, run.sentences, [run.told] if run.told else [], opens=False))
        parts.append(failures_card(run.comparison.outcomes))
    if run.predictions:
        parts.append(HTML.section(open_loop(run.predictions, run.predictions.comparison.episodes[0])))
    parts += map(_trials, run.trials)
    if run.finetunes:
        parts.append(_finetunes(run.finetunes))
    for one in run.finetunes:
        if one.relevance and one.result.selection and one.heads:
            parts.append(_heads(one.relevance, one.result.selection.heads, one.origin))
    if run.scenes:
        parts.append(HTML.scenes([(one.number, one.seed, one.shots) for one in run.scenes]))
    return parts


def _trials(card: BookCard) -> Markup:
    """A book of trials on a robot; no method's name where its operator must not know them yet."""
    count = f"{card.done} of at most {card.total} trials" if card.slot else f"{card.total} trials"
    return HTML.trials(card.name, count, results(card), bool(card.rows))


def _finetunes(finetunes: Sequence[Finetuned]) -> Markup:
    notices = sorted({one.notice for one in finetunes} - {""})
    rows = []
    for one in finetunes:
        error = one.result.heldout_error
        mark = f" {'*' * (notices.index(one.notice) + 1)}" if one.notice else ""
        held = f"{error[0]:.3f} → {error[-1]:.3f}{mark}" if len(error) else "not measured"
        rows.append((one.result, one.heads, one.origin, held))
    settings = [(name.replace("_", " "), value) for name, value in asdict(finetunes[0].result.settings).items()]
    return HTML.finetunes(rows, notices, _curves(finetunes), settings)


def _curves(finetunes: Sequence[Finetuned], width: int = 900, height: int = 220) -> Markup:
    """Held-out error over steps where it was measured, else the loss."""
    measured = all(len(one.result.heldout_error) > 1 for one in finetunes)
    lines = []
    for one in finetunes:
        result = one.result
        x = result.heldout_step if measured else np.arange(1, len(result.loss) + 1)
        y = result.heldout_error if measured else result.loss
        lines.append((result.method, np.asarray(x, float), np.asarray(y, float)))
    right = max(float(x[-1]) for _, x, _ in lines) or 1.0
    top = max(float(np.nanmax(y)) for _, _, y in lines) or 1.0
    drawn = []
    for name, x, y in lines:
        points = " ".join(
            f"{40 + (width - 60) * a / right:.1f},{10 + (height - 40) * (1 - b / top):.1f}"
            for a, b in zip(x, y, strict=True)
        )
        drawn.append((name, method_colour(name), points))
    return HTML.curves("Held-out action error" if measured else "Training loss", width, height, top, right, drawn)


def _heads(relevance: Relevance, selected: Sequence[Head], origin: str) -> Markup:
    """The head map: layers down, heads across; ring = selected, hatched grey = inert. origin: of the set, in words."""
    chosen = set(selected)
    shape = relevance.shape
    step, left = CELL + GAP, 30
    width = left + shape.heads * step
    low, high = colour_range(relevance)
    stacks = []
    for s, one in enumerate(shape.stacks):
        start = s * (width + 30) + left
        layers = []
        for layer in range(one.layers):
            cells = []
            for head in range(one.heads):
                score = float(relevance.score[s, layer, head])
                inert = bool(relevance.inert[s, layer, head])
                colour = INERT if inert else _colour((score - low) / ((high - low) or 1))
                words = f"{one.name} {layer}.{head}: {'inert' if inert else f'{score:.3f}'}"
                cells.append((start + head * step, colour, Head(one.name, layer, head) in chosen, words))
            layers.append((20 + layer * step, layer, cells))
        stacks.append((start, one.label, layers))
    total, tall = len(shape.stacks) * (width + 30) - 30, 24 + shape.layers * step
    return HTML.heads(total, tall, CELL, stacks, relevance, low, high, len(chosen), origin)


def _colour(fraction: float) -> str:
    at = min(max(fraction, 0.0), 1.0) * (len(VIRIDIS) - 1)
    low = min(int(at), len(VIRIDIS) - 2)
    mixed = (a + (b - a) * (at - low) for a, b in zip(VIRIDIS[low], VIRIDIS[low + 1], strict=True))
    return f"rgb({','.join(str(round(one)) for one in mixed)})"
