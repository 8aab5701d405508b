"""The page and the pictures of the trial, written from its cells: `python -m steering evidence trial`."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from itertools import product
from pathlib import Path

import plotly.graph_objects as go

from steering.evidence.cell_files import Result
from steering.evidence.drawing import HEIGHT, forest_figure, interval, write_page
from steering.evidence.inference import MARGIN, Contrast, power
from steering.evidence.tables import Section, Table, markdown
from steering.evidence.trial import LORA, PRIMARY, SEEDS, STEERING, STUDIES, UNTOUCHED, TrialCell, cells, parse_cell
from steering.evidence.trial_results import Curve, Mean, arms_run, curves, label, mean, primary, rates, verdict
from steering.figures.style import METHOD_COLOURS, OTHER_COLOURS, faint, styled, text_colour
from steering.types import p_number

OWN = ("cube", (("place_cube_in_bowl", ()),))
"""The training and condition of the own task, beside which retention is shown."""
SAID = {
    "better": "Robotic Steering is better",
    "worse": "LoRA is better",
    "equal": "equal within 10 points",
    "undecided": "undecided",
}


def write_trial(results: Sequence[Result], folder: Path) -> Path:
    """The page beside the folder of cells, and its pictures; the page."""
    return write_page(folder, document(results), figures(results))


def document(results: Sequence[Result]) -> str:
    """The page in Markdown, from what is there."""
    there = {parse_cell(one["cell"]) for one in results}
    main = cells(("primary",))
    parts = [
        "# Robotic Steering against LoRA",
        "`python -m steering evidence trial --run` makes the cells that are missing, and this page. What was to be "
        "measured and what would be said of it was written before: [plan.md](plan.md).",
        f"**{len(there & set(main))} of {len(main)} cells of the five primary contrasts are there**, and "
        f"{len(there - set(main))} of the others. The unit is the training seed ({len(SEEDS)} are planned), which "
        "decides demonstrations, adapter start and batches of both arms; scenes are the same for all. Differences are "
        "in points of success, Robotic Steering (published rule, 20 VLM heads) − LoRA as openpi trains it; intervals: "
        "95 % t over seeds. Equal: within 10 points by two one-sided tests. p after Holm over the five.",
        "## Primary contrasts",
        *_primary(results),
    ]
    if names := arms_run(results):
        parts += [
            "## Every arm",
            "Success in percent with its interval, and the number of seeds. Secondary, without correction.",
            markdown(arm_table(results, names)),
        ]
    for name, of_arms in curves(results).items():
        parts += [f"## Success against {name}", markdown(curve_table(of_arms))]
    parts += ["## What is there", markdown(study_table(there))]
    return "\n\n".join(parts)


def sections(results: Sequence[Result]) -> tuple[Section, ...]:
    """The primary contrasts in sentences and as a table, every arm, and the curves, as far as they are there."""
    found = primary(results)
    lines = tuple(_sentence(name, *one).replace("**", "") for name, one in found.items())
    names = arms_run(results)
    parts = [
        Section("What may be said", lines=lines or ("Fewer than three training seeds are there: nothing yet.",)),
        Section("Primary contrasts", primary_table(results)),
    ]
    parts += [Section("Every arm", arm_table(results, names))] if names else []
    parts += [Section(f"Success against {name}", curve_table(of)) for name, of in curves(results).items()]
    return tuple(parts)


def study_table(there: Set[TrialCell]) -> Table:
    """A study a row, and how many of its cells are there; those whose arms the screen has to name come with it."""
    rows = []
    for study in STUDIES.values():
        planned = set(product(study.trainings, study.arms, study.seeds))
        made = {(cell.training, cell.arm, cell.seed) for cell in there if cell.training in study.trainings}
        count = len(made & planned) if planned else len(made)
        rows.append((study.title, f"{count} of {len(planned) or 'those that the screen will name'}"))
    return Table(("Study", "Cells"), tuple(rows))


def primary_table(results: Sequence[Result]) -> Table:
    """A primary contrast a row, those without enough seeds named as such."""
    found = primary(results)
    rows = []
    for name, (training, conditions) in PRIMARY.items():
        means = [_percent(mean(results, training, arm, conditions)) for arm in (STEERING, LORA)]
        if name in found:
            one, p, p_equal = found[name]
            rows.append(
                (
                    name,
                    *means,
                    f"{100 * one.difference:+.0f}",
                    f"{100 * one.low:+.0f} to {100 * one.high:+.0f}",
                    p_number(p),
                    p_number(p_equal),
                    f"{100 * power(MARGIN, one.spread, one.seeds):.0f} %" if one.spread else "",
                    f"{one.seeds} of {len(SEEDS)}",
                    SAID[verdict(one, p, p_equal)],
                )
            )
        else:
            done = len(rates(results, training, STEERING, conditions))
            rows.append((name, *means, "", "", "", "", "", f"{done} of {len(SEEDS)}", "too few seeds"))
    titles = ("Contrast", "Steering", "LoRA", "Difference", "95 %", "p", "p (equal)", "Power for 10", "Seeds", "Said")
    return Table(titles, tuple(rows))


def arm_table(results: Sequence[Result], names: Sequence[str]) -> Table:
    """An arm a row, its success in each of the five conditions."""
    rows = [
        (label(arm), *(_with_interval(mean(results, training, arm, where)) for training, where in PRIMARY.values()))
        for arm in names
    ]
    return Table(("Arm", *PRIMARY), tuple(rows))


def curve_table(of_arms: Sequence[Curve]) -> Table:
    """A number a row, both arms beside each other."""
    numbers = sorted({x for one in of_arms for x, _ in one.points})
    rows = [(f"{x:g}", *(_with_interval(dict(one.points).get(x)) for one in of_arms)) for x in numbers]
    return Table(("", *(label(one.arm) for one in of_arms)), tuple(rows))


def figures(results: Sequence[Result]) -> dict[str, go.Figure]:
    """Every picture that has something to show, by name: forest, trade, and a curve a number."""
    found = {}
    if contrasts := {name: one for name, (one, _, _) in primary(results).items()}:
        found["forest"] = forest_figure(contrasts)
    if trade := trade_figure(results):
        found["trade"] = trade
    return found | {
        f"by_{name.partition(' ')[0]}{'_retention' * ('retention' in name)}": curve_figure(name, of_arms)
        for name, of_arms in curves(results).items()
    }


def trade_figure(results: Sequence[Result], dark: bool | None = None) -> go.Figure | None:
    """Success on the own task against what of the pretraining was kept: an arm a point, its seeds as rings."""
    figure = go.Figure()
    colours = {STEERING: METHOD_COLOURS["steering"], LORA: METHOD_COLOURS["lora"]}
    others = iter(OTHER_COLOURS * 3)
    for arm in arms_run(results):
        own = rates(results, OWN[0], arm, OWN[1])
        kept = rates(results, *_of("retention", arm))
        seeds = sorted(set(own) & set(kept))
        if not seeds or arm == UNTOUCHED:
            continue
        colour = colours.get(arm) or next(others)
        x, y = ([100 * one[seed] for seed in seeds] for one in (own, kept))
        rings = {"size": 6, "symbol": "circle-open", "color": faint(colour)}
        figure.add_scatter(x=x, y=y, mode="markers", marker=rings, showlegend=False, hoverinfo="skip")
        figure.add_scatter(
            x=[sum(x) / len(x)],
            y=[sum(y) / len(y)],
            mode="markers",
            marker={"size": 13, "color": colour},
            name=label(arm),
            hovertext=[f"{len(seeds)} training seeds"],
        )
    if not figure.data:
        return None
    if untouched := mean(results, *_of("retention", UNTOUCHED)):
        figure.add_hline(
            y=100 * untouched.rate,
            line={"color": text_colour(dark), "dash": "dot"},
            annotation_text="untouched policy",
        )
    figure.update_xaxes(title="success on the own task (%)", range=[0, 105], dtick=20)
    figure.update_yaxes(title="success on push and place, pretrained (%)", range=[0, 105], dtick=20)
    return styled(figure, dark, height=HEIGHT)


def curve_figure(name: str, of_arms: Sequence[Curve], dark: bool | None = None) -> go.Figure:
    """Success of both arms against a number, with intervals over seeds."""
    figure = go.Figure()
    for one in of_arms:
        points = [point for _, point in one.points]
        figure.add_scatter(
            x=[x for x, _ in one.points],
            y=[100 * point.rate for point in points],
            error_y=interval(
                [(100 * point.rate, 100 * point.low, 100 * point.high) for point in points], METHOD_COLOURS[one.arm]
            ),
            mode="lines+markers",
            name=label(one.arm),
            line={"color": METHOD_COLOURS[one.arm]},
        )
    figure.update_xaxes(title=name)
    figure.update_yaxes(title="success (%)", range=[0, 105], dtick=20)
    return styled(figure, dark, height=HEIGHT)


def _primary(results: Sequence[Result]) -> list[str]:
    found = primary(results)
    parts = [markdown(primary_table(results))]
    if len(found) < len(PRIMARY) or any(one.seeds < len(SEEDS) for one, _, _ in found.values()):
        parts.insert(0, "Seeds are missing, so power is lower than planned; what is undecided here may be told later.")
    return parts + ["\n".join(f"- {_sentence(name, *one)}" for name, one in found.items())] * bool(found)


def _sentence(name: str, found: Contrast, p: float, p_equal: float) -> str:
    """A contrast in plain words."""
    said = verdict(found, p, p_equal)
    points, low, high = (100 * one for one in (found.difference, found.low, found.high))
    words = f"**{name.capitalize()}**: {SAID[said]}: {points:+.0f} points ({low:+.0f} to {high:+.0f}), "
    words += f"{found.seeds} seeds, p {p_number(p)}"
    if said == "undecided" and found.spread:
        words += f"; a difference of 10 points would be seen in {100 * power(MARGIN, found.spread, found.seeds):.0f} %"
    return words + "."


def _of(name: str, arm: str) -> tuple[str, str, Sequence[tuple[str, tuple[str, ...]]]]:
    training, conditions = PRIMARY[name]
    return training, arm, conditions


def _percent(one: Mean | None) -> str:
    return "" if one is None else f"{100 * one.rate:.0f}"


def _with_interval(one: Mean | None) -> str:
    if one is None:
        return ""
    between = "" if math.isnan(one.low) else f" ({100 * one.low:.0f} to {100 * one.high:.0f})"
    return f"{100 * one.rate:.0f}{between}, n = {one.seeds}"
