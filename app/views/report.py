"""A run as one HTML page that opens offline: no script, no request; figures are SVG, videos lie inside.

The page follows the reader's light or dark setting and prints. Everything shown comes from the artefacts' values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from app.answers.report import Finetuned, Run, Scene
from app.views.compare_open_loop import open_loop
from app.views.compare_table import failures_card
from app.views.comparison import success
from app.views.head_map import colour_range
from app.views.markup import text, without_terms
from app.words import LABELS, duration
from steering.figures import method_colour
from steering.types import Head, Relevance

CELL, GAP = 18, 3
VIRIDIS = ((68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37))
STYLE = """
:root{color-scheme:light dark;--ink:#151a24;--dim:#566072;--line:#dde2ea;--bg:#fff;--sunken:#eef0f4;--good:#14773a;
--bad:#b42318}
@media(prefers-color-scheme:dark){:root{--ink:#eceff4;--dim:#a5afbe;--line:#2a313d;--bg:#12161d;--sunken:#1d222b;
--good:#57d389;--bad:#ff8f86}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--bg);max-width:1000px;margin:32px auto;
padding:0 20px;font-variant-numeric:tabular-nums}
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:34px 0 10px}h3{font-size:15px;margin:0}
p,small,figcaption{color:var(--dim)}table{border-collapse:collapse;width:100%}
:is(th,td){text-align:right;padding:6px 10px;border-bottom:1px solid var(--line)}:is(th,td):first-child{text-align:left}
.scroll{overflow-x:auto}svg{max-width:100%;height:auto}svg text{fill:var(--dim);font-size:11px}
.scenes{display:grid;grid-template-columns:repeat(auto-fit,minmax(220px,1fr));gap:14px}figure{margin:0}
video{width:100%;border-radius:6px;background:var(--sunken)}.good{color:var(--good)}.bad{color:var(--bad)}
.wb-card h2{margin-top:34px}.wb-rate{display:grid;grid-template-columns:150px 1fr 110px;gap:12px;align-items:center;
margin:8px 0}.wb-rate small{display:block}.wb-bar-track{position:relative;height:16px;background:var(--sunken);
border-radius:4px}.wb-bar-track i{display:block;height:100%;background:var(--method);border-radius:4px}
.wb-whisker{position:absolute;top:7px;height:2px;background:var(--ink)}
.wb-figure-tools{display:none}.wb-scroll{overflow-x:auto}.wb-two{display:grid;gap:16px}
.wb-curves-grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(260px,1fr));gap:12px 18px;margin:10px 0}
.wb-loop-legend{display:flex;flex-wrap:wrap;gap:6px 18px}.wb-swatch{display:inline-block;width:10px;height:10px;
border-radius:3px;background:var(--method);margin-right:8px}.wb-ink-swatch{background:var(--ink)}
.wb-chart svg{width:100%}.wb-chart text{font-size:9px}
.wb-chart polyline{fill:none;stroke:var(--method);stroke-width:1.3}
.wb-chart .wb-axis{fill:none;stroke:var(--line)}.wb-chart .wb-band{fill:var(--method);opacity:.18}
.wb-chart .wb-demonstrated polyline{stroke:var(--ink);stroke-width:2}
"""


def report(run: Run) -> str:
    """The whole page."""
    parts = [f"<h1>{text(run.title)}</h1>"]
    if run.finetunes:
        first = run.finetunes[0]
        parts.append(f"<p>“{text(first.instruction)}”, {first.episodes} demonstrations.</p>")
    else:
        parts.append("<p>Nothing was trained for this run.</p>")
    parts += [f'<p role="note">{text(note)}</p>' for note in run.notes]
    if run.comparison:
        parts.append(without_terms(success(run.comparison, run.sentences)) + failures_card(run.comparison.outcomes))
    if run.predictions:
        parts.append(f"<section>{open_loop(run.predictions, run.predictions.comparison.episodes[0])}</section>")
    parts += [_finetunes(run.finetunes)] if run.finetunes else []
    for one in run.finetunes:
        if one.relevance and one.result.selection and one.heads:
            parts.append(_heads(one.relevance, one.result.selection.heads, one.origin))
    if run.scenes:
        parts.append(_scenes(run.scenes))
    colours = "".join(f"[data-method={name}]{{--method:{method_colour(name)}}}" for name in LABELS)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{text(run.title)}</title><style>{STYLE}{colours}</style><body><main>{''.join(parts)}</main></body></html>"
    )


def method(name: str) -> str:
    """A method's name for people."""
    return LABELS.get(name, name)


def _finetunes(finetunes: Sequence[Finetuned]) -> str:
    rows = ""
    said = sorted({one.notice for one in finetunes} - {""})
    for one in finetunes:
        result = one.result
        heads = f"{one.heads} <small>{text(one.origin)}</small>" if one.heads else "all"
        error = result.heldout_error
        mark = f" {'*' * (said.index(one.notice) + 1)}" if one.notice else ""
        held = f"{error[0]:.3f} → {error[-1]:.3f}{mark}" if len(error) else "not measured"
        rows += (
            f"<tr><td>{text(method(result.method))}</td><td>{heads}</td><td>{result.trainable_parameters:,}</td>"
            f"<td>{len(result.loss)}</td><td>{duration(result.train_s)}</td><td>{held}</td></tr>"
        )
    notices = "".join(f"<p><small>{'*' * i} {text(one)}</small></p>" for i, one in enumerate(said, 1))
    settings = "; ".join(
        f"{text(k.replace('_', ' '))} {text(v)}" for k, v in asdict(finetunes[0].result.settings).items()
    )
    return (
        '<section><h2>Finetuning</h2><div class="scroll"><table><thead><tr><th>Method</th><th>Heads</th><th>Trainable '
        "parameters</th><th>Steps</th><th>Training</th><th>Held-out error</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{notices}{_curves(finetunes)}"
        f"<p><small>Settings: {settings}.</small></p></section>"
    )


def _curves(finetunes: Sequence[Finetuned], width: int = 900, height: int = 220) -> str:
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
    drawn = ""
    for name, x, y in lines:
        points = " ".join(
            f"{40 + (width - 60) * a / right:.1f},{10 + (height - 40) * (1 - b / top):.1f}"
            for a, b in zip(x, y, strict=True)
        )
        drawn += f'<polyline points="{points}" fill="none" stroke="{method_colour(name)}" stroke-width="2"/>'
    key = " ".join(
        f'<tspan fill="{method_colour(name)}" font-weight="600">■</tspan> {text(method(name))}' for name, _, _ in lines
    )
    what = "Held-out action error" if measured else "Training loss"
    base = height - 30
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{what} over training steps"><path d="M40 10V{base}H{width - 20}" fill="none" '
        f'stroke="var(--line)"/><text x="36" y="18" text-anchor="end">{top:.2f}</text><text x="36" y="{base}" '
        f'text-anchor="end">0</text><text x="{width - 20}" y="{base + 16}" text-anchor="end">{right:.0f} steps</text>'
        f'<text x="46" y="{base + 18}">{key}</text>{drawn}</svg><figcaption>{what} over training steps.</figcaption>'
        "</figure>"
    )


def _heads(relevance: Relevance, selected: Sequence[Head], origin: str) -> str:
    """The head map: layers down, heads across; ring = selected, hatched grey = inert. origin: of the set, in words."""
    chosen = set(selected)
    shape = relevance.shape
    step, left = CELL + GAP, 30
    width = left + shape.heads * step
    cells = ""
    low, high = colour_range(relevance)
    for s, one in enumerate(shape.stacks):
        stack, offset = one.name, s * (width + 30)
        cells += f'<text x="{offset + left}" y="12">{text(one.label)}</text>'
        for layer in range(one.layers):
            y = 20 + layer * step
            cells += f'<text x="{offset + left - 6}" y="{y + 13}" text-anchor="end">{layer}</text>'
            for head in range(one.heads):
                score = float(relevance.score[s, layer, head])
                inert = bool(relevance.inert[s, layer, head])
                fill = "rgba(128,128,128,.35)" if inert else _colour((score - low) / ((high - low) or 1))
                ring = ' stroke="var(--ink)" stroke-width="2.5"' if Head(stack, layer, head) in chosen else ""
                said = "inert" if inert else f"{score:.3f}"
                cells += (
                    f'<rect x="{offset + left + head * step}" y="{y}" width="{CELL}" height="{CELL}" rx="4" '
                    f'fill="{fill}"{ring}><title>{stack} {layer}.{head}: {said}</title></rect>'
                )
    total = len(shape.stacks) * (width + 30) - 30
    tall = 24 + shape.layers * step
    return (
        f'<section><h2>Heads</h2><figure><svg viewBox="0 0 {total} {tall}" width="{total}" height="{tall}" role="img" '
        f'aria-label="Relevance of every head">{cells}</svg><figcaption>Relevance ({text(relevance.metric)}, '
        f"{text(relevance.preset)} preset; {text(relevance.target)}), from "
        f"{low:.2f}, dark, to {high:.2f}, bright, in all stacks; ring: the {len(chosen)} heads that were trained; "
        f"grey: cannot move an action. Where the set comes from: {text(origin)}.</figcaption></figure></section>"
    )


def _colour(fraction: float) -> str:
    at = min(max(fraction, 0.0), 1.0) * (len(VIRIDIS) - 1)
    low = min(int(at), len(VIRIDIS) - 2)
    mixed = (a + (b - a) * (at - low) for a, b in zip(VIRIDIS[low], VIRIDIS[low + 1], strict=True))
    return f"rgb({','.join(str(round(one)) for one in mixed)})"


def _scenes(scenes: Sequence[Scene]) -> str:
    shown = ""
    for scene in scenes:
        shots = "".join(
            f'<figure><h3>{text(method(shot.method))}</h3><span class="{"good" if shot.success else "bad"}">'
            f"{f'succeeds in {shot.seconds:.1f} s' if shot.success else 'fails'}</span> <small>{text(shot.how)}</small>"
            + (f'<video src="{text(shot.video)}" controls muted loop playsinline></video>' if shot.video else "")
            + "</figure>"
            for shot in scene.shots
        )
        shown += f'<h3>Scene {scene.number} (seed {scene.seed})</h3><div class="scenes">{shots}</div>'
    return f"<section><h2>Scenes, those where the methods differ first</h2>{shown}</section>"
